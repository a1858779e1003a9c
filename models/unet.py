"""ConvNeXt-UNet: a ConvNeXt as encoder, four convolution blocks as decoder (paper, section 2.2)."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.encoders import make_encoder

STRIDE = 4  # the decoder ends at 1/4 of the input size, where ConvNeXt's stem begins
DEEPEST_STRIDE = 32  # input height and width must be multiples of this
MIN_CHANNELS = 64  # a small encoder (atto: 40 at 1/4) would be narrower than the 33 StarDist maps made from it


class ConvBlock(nn.Sequential):
    """Twice: 3x3 convolution, ReLU, batch normalisation. Keeps height and width."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.BatchNorm2d(out_channels),
        )


class ConvNeXtUNet(nn.Module):
    """Feature extractor shared by both kinds of segmenter.

    Parameters
    ----------
    encoder, layer_scale, pretrained : as of `models.encoders.make_encoder`; the paper's encoder is convnext_small
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: str = "convnext_small", layer_scale: float | None = None, pretrained: bool = False):
        super().__init__()
        self.encoder, skips, mean, std = make_encoder(encoder, layer_scale, pretrained)
        widths = [max(MIN_CHANNELS, c) for c in skips]
        self.deepest = ConvBlock(skips[3], widths[3])
        self.blocks = nn.ModuleList(ConvBlock(widths[i + 1] + skips[i], widths[i]) for i in (2, 1, 0))
        self.out_channels = widths[0]
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Nx3xHxW in [0, 1], H and W multiples of 32 -> NxCx(H/4)x(W/4)."""
        *skips, deepest = self.encoder((images - self.mean) / self.std)
        x = self.deepest(deepest)  # 1/32
        for block, skip in zip(self.blocks, reversed(skips)):
            x = upsample(x, 2)
            x = block(torch.cat((x, skip), dim=1))  # 1/16, 1/8, 1/4
        return x


class ConvNeXtSegmenter(nn.Module):
    """A UNet and the two heads of one kind of network. Parameters as of `ConvNeXtUNet`.

    head_kind : class of the heads, which is made with the number of the UNet's channels
    """

    kind: ClassVar[str]
    head_kind: ClassVar[type[nn.Module]]

    def __init__(self, encoder: str = "convnext_small", layer_scale: float | None = None, pretrained: bool = False):
        super().__init__()
        self.unet = ConvNeXtUNet(encoder, layer_scale, pretrained)
        self.head = self.head_kind(self.unet.out_channels)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Nx3xHxW in [0, 1] -> the maps of both heads at H/4 x W/4, before their activations."""
        return self.head(self.unet(images))


def upsample(maps: Tensor, factor: int) -> Tensor:
    """Bilinear enlargement of NxCxhxw maps."""
    return F.interpolate(maps, scale_factor=factor, mode="bilinear", align_corners=False)
