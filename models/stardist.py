"""ConvNeXt-StarDist: object probability and star-convex distances (paper, section 2.2)."""

from typing import NamedTuple

from torch import Tensor, nn

from models.unet import ConvNeXtSegmenter

RAYS = 32  # paper, section 3.3: R = 32
INITIAL_DISTANCE = 10.0  # pixels; near a cell's radius, so that no ray begins below 0


class StarDistMaps(NamedTuple):
    """Two heads' outputs, before their activations. Ray k of R ends at y + r*sin(a), x + r*cos(a) with a = 2*pi*k/R:
    the first points right, the others follow clockwise on the screen.

    prob : Nx1xhxw, a logit
    dist : NxRxhxw, distance in pixels of the network's input
    """

    prob: Tensor
    dist: Tensor


class StarDistHead(nn.Module):
    """1x1 convolutions from features to the logit of the object probability and to the distances, at the features'
    size.
    """

    def __init__(self, in_channels: int):
        super().__init__()
        self.prob = nn.Conv2d(in_channels, 1, 1)
        self.dist = nn.Conv2d(in_channels, RAYS, 1)
        nn.init.constant_(self.dist.get_parameter("bias"), INITIAL_DISTANCE)

    def forward(self, features: Tensor) -> StarDistMaps:
        return StarDistMaps(self.prob(features), self.dist(features))


class ConvNeXtStarDist(ConvNeXtSegmenter):
    """The network of classes 0, 2 and 3 in the paper."""

    kind, head_kind = "stardist", StarDistHead
