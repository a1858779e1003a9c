"""The router: a ResNet18 that tells which of the four classes an image belongs to, and how large its cells look."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.classes import CLASSES
from models.encoders import IMAGE_MEAN, IMAGE_STD
from models.resnet import ResNet18

VIEW_SIZE = 224  # pixels; the input of the network (paper, section 2.1)
VIEW_SHORTER_SIDE = 256  # the image is resized to this before the centre crop


class RouterOutput(NamedTuple):
    """Of N views.

    classes : NxK logits
    log_diameter : N, natural logarithm of the median cell diameter in pixels of the view
    features : NxF, what both are told from
    """

    classes: Tensor
    log_diameter: Tensor
    features: Tensor


class Router(nn.Module):
    """ResNet18 with four class logits, as in the paper, and a fifth output for the size of the cells."""

    kind = "router"
    mean: Tensor
    std: Tensor

    def __init__(self, pretrained: bool = False):
        super().__init__()
        self.network = ResNet18(len(CLASSES) + 1)
        if pretrained:
            from torchvision.models import resnet18  # late: see models.resnet

            weights = resnet18(weights="IMAGENET1K_V1").state_dict()
            weights |= {f"fc.{name}": value for name, value in self.network.fc.state_dict().items()}
            self.network.load_state_dict(weights)
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGE_STD).view(1, 3, 1, 1))

    def forward(self, views: Tensor) -> RouterOutput:
        """Nx3x224x224 in [0, 1] -> class logits, log diameter and features."""
        features = self.network.features((views - self.mean) / self.std)
        out = self.network.fc(features)
        return RouterOutput(out[:, :-1], out[:, -1], features)
