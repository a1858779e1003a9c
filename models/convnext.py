"""ConvNeXt (Liu et al. 2022) as an encoder: the feature maps of its four stages, under the names that timm gives its
weights.

timm has all these networks and many more, but importing it takes longer than importing PyTorch, which a program that is
started once for each image cannot afford. The function is the same (a test compares them); timm serves for pre-trained
weights and for encoders that are not in CONVNEXTS.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Name -> blocks and channels of the stages, and whether timm keeps the two linear layers of a block as 1x1
# convolutions.
CONVNEXTS = {
    "convnext_atto": ((2, 2, 6, 2), (40, 80, 160, 320), True),
    "convnext_femto": ((2, 2, 6, 2), (48, 96, 192, 384), True),
    "convnext_pico": ((2, 2, 6, 2), (64, 128, 256, 512), True),
    "convnext_nano": ((2, 2, 8, 2), (80, 160, 320, 640), True),
    "convnext_tiny": ((3, 3, 9, 3), (96, 192, 384, 768), False),
    "convnext_small": ((3, 3, 27, 3), (96, 192, 384, 768), False),
    "convnext_base": ((3, 3, 27, 3), (128, 256, 512, 1024), False),
    "convnext_large": ((3, 3, 27, 3), (192, 384, 768, 1536), False),
}
LAYER_SCALE = 1e-6  # initial value; paper of ConvNeXt, appendix A
NORM_EPSILON = 1e-6
WEIGHT_STD = 0.02  # initial weights


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of NxCxHxW."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).to(x.dtype)


class Mlp(nn.Module):
    """Linear, GELU, linear on the last axis of NxHxWxC; four times as wide between. `layer` is Linear, or Conv2d for
    1x1 weights.
    """

    def __init__(self, channels: int, layer):
        super().__init__()
        self.fc1, self.fc2 = layer(channels, 4 * channels), layer(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(F.linear(x, self.fc1.weight.flatten(1), self.fc1.bias))
        return F.linear(x, self.fc2.weight.flatten(1), self.fc2.bias)


class Block(nn.Module):
    """7x7 depthwise convolution, layer normalisation, Mlp, layer scale, and the input added."""

    def __init__(self, channels: int, layer_scale: float, layer):
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=NORM_EPSILON)
        self.mlp = Mlp(channels, layer)
        self.gamma = nn.Parameter(torch.full((channels,), layer_scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_dw(x).permute(0, 2, 3, 1)  # NxHxWxC
        y = self.mlp(self.norm(y).to(y.dtype))  # autocast normalises in float32 on a GPU, and gamma is float32
        return x + (y * self.gamma.to(y.dtype)).permute(0, 3, 1, 2)


class Stage(nn.Module):
    """Half the height and width (but in the first stage), then some blocks."""

    def __init__(self, in_channels: int, out_channels: int, blocks: int, layer_scale: float, layer):
        super().__init__()
        self.downsample = (
            nn.Identity()
            if in_channels == out_channels
            else nn.Sequential(
                LayerNorm2d(in_channels, eps=NORM_EPSILON), nn.Conv2d(in_channels, out_channels, 2, stride=2)
            )
        )
        self.blocks = nn.Sequential(*(Block(out_channels, layer_scale, layer) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.downsample(x))


class ConvNeXt(nn.Module):
    """The encoder.

    Parameters
    ----------
    name : one of CONVNEXTS
    layer_scale : initial value of the layer scale

    Attributes
    ----------
    channels : of the four feature maps
    """

    def __init__(self, name: str, layer_scale: float = LAYER_SCALE):
        super().__init__()
        blocks, self.channels, convolutions = CONVNEXTS[name]
        layer = partial(nn.Conv2d, kernel_size=1) if convolutions else nn.Linear
        self.stem_0 = nn.Conv2d(3, self.channels[0], 4, stride=4)
        self.stem_1 = LayerNorm2d(self.channels[0], eps=NORM_EPSILON)
        for i, before in enumerate((self.channels[0], *self.channels[:3])):
            setattr(self, f"stages_{i}", Stage(before, self.channels[i], blocks[i], layer_scale, layer))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)) and not module.weight.is_meta:
                nn.init.trunc_normal_(module.weight, std=WEIGHT_STD)
                nn.init.zeros_(module.get_parameter("bias"))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Nx3xHxW -> feature maps at 1/4, 1/8, 1/16 and 1/32."""
        x = self.stem_1(self.stem_0(images))
        features = []
        for i in range(4):
            x = self.get_submodule(f"stages_{i}")(x)
            features.append(x)
        return features
