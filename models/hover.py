"""ConvNeXt-Hover: cell pixels and horizontal/vertical distance maps (paper, section 2.2)."""

from typing import NamedTuple

from torch import Tensor, nn

from models.unet import ConvNeXtSegmenter


class HoverMaps(NamedTuple):
    """Two heads' outputs, before their activations.

    cp : Nx2xhxw, logits of background and cell
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


class ConvNeXtHover(ConvNeXtSegmenter):
    """The network of class 1 in the paper."""

    kind, head_kind = "hover", HoverHead
