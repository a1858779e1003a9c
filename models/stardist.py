"""ConvNeXt-StarDist: object probability and star-convex distances for every pixel (paper, section 2.2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.unet import ConvNeXtUNet, upsample

RAYS = 32  # paper, section 3.3: R = 32
INITIAL_DISTANCE = 10.0  # pixels; near a cell's radius, so that ReLU starts alive on every ray


class StarDistMaps(NamedTuple):
    """Two heads' outputs. Ray k of R ends at y + r*sin(a), x + r*cos(a) with a = 2*pi*k/R: the first points
    right, the others follow clockwise on the screen.

    prob : Nx1xhxw, a logit in `coarse`, in [0, 1] after `forward`
    dist : NxRxhxw, distance in pixels of the network's input; non-negative after `forward`
    """

    prob: Tensor
    dist: Tensor


class StarDistHead(nn.Module):
    """1x1 convolutions from features to the logit of the object probability and to the distances, at the features'
    size.
    """

    def __init__(self, in_channels: int, rays: int = RAYS):
        super().__init__()
        self.prob = nn.Conv2d(in_channels, 1, 1)
        self.dist = nn.Conv2d(in_channels, rays, 1)
        nn.init.constant_(self.dist.get_parameter("bias"), INITIAL_DISTANCE)

    def forward(self, features: Tensor) -> StarDistMaps:
        return StarDistMaps(self.prob(features), self.dist(features))


class ConvNeXtStarDist(nn.Module):
    """The network of classes 0, 2 and 3 in the paper."""

    kind = "stardist"

    def __init__(
        self,
        encoder: str = "convnext_small",
        rays: int = RAYS,
        layer_scale: float | None = None,
        pretrained: bool = False,
    ):
        super().__init__()
        self.unet = ConvNeXtUNet(encoder, layer_scale, pretrained)
        self.head = StarDistHead(self.unet.out_channels, rays)

    def coarse(self, images: Tensor) -> StarDistMaps:
        """Nx3xHxW in [0, 1] -> maps at H/4 x W/4 before their activations. Inference and training use this one."""
        return self.head(self.unet(images))

    def forward(self, images: Tensor) -> StarDistMaps:
        """Nx3xHxW in [0, 1] -> prob Nx1xHxW in [0, 1] and dist NxRxHxW in pixels, as the paper draws the network."""
        prob, dist = self.coarse(images)
        return StarDistMaps(torch.sigmoid(upsample(prob)), F.relu(upsample(dist)))
