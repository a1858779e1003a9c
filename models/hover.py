"""ConvNeXt-Hover: cell pixels and horizontal/vertical distance maps (paper, section 2.2)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models.unet import ConvNeXtUNet, upsample


class HoverMaps(NamedTuple):
    """Two heads' outputs.

    cp : Nx2xhxw, background and cell; logits in `coarse`, probabilities after `forward`
    hv : Nx2xhxw, offset from the cell's centre over its extent, y then x, in [-1, 1] within a cell and 0 outside
    """

    cp: Tensor
    hv: Tensor


class HoverHead(nn.Module):
    """1x1 convolutions from features to the cell-pixel logits and the HV maps, at the features' size."""

    def __init__(self, in_channels: int):
        super().__init__()
        self.cp = nn.Conv2d(in_channels, 2, 1)
        self.hv = nn.Conv2d(in_channels, 2, 1)

    def forward(self, features: Tensor) -> HoverMaps:
        return HoverMaps(self.cp(features), self.hv(features))


class ConvNeXtHover(nn.Module):
    """The network of class 1 in the paper."""

    kind = "hover"

    def __init__(self, encoder: str = "convnext_small", layer_scale: float | None = None, pretrained: bool = False):
        super().__init__()
        self.unet = ConvNeXtUNet(encoder, layer_scale, pretrained)
        self.head = HoverHead(self.unet.out_channels)

    def coarse(self, images: Tensor) -> HoverMaps:
        """Nx3xHxW in [0, 1] -> maps at H/4 x W/4, cp as logits. Inference and training use this one."""
        return self.head(self.unet(images))

    def forward(self, images: Tensor) -> HoverMaps:
        """Nx3xHxW in [0, 1] -> cp Nx2xHxW probabilities and hv Nx2xHxW, as the paper draws the network."""
        cp, hv = self.coarse(images)
        return HoverMaps(torch.softmax(upsample(cp), dim=1), upsample(hv))
