"""EfficientNet-Lite as an encoder, under the names that timm gives its weights.

An EfficientNet (Tan and Le 2019) without squeeze-and-excitation and with ReLU6. Its ImageNet weights can be had as
small Python packages (training.learning.encoder_weights). It is written out for the same reason as models.convnext; a
test compares it with timm's.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Name -> blocks and channels of the seven stages.
EFFICIENTNETS = {
    "efficientnet_lite0": ((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
    "efficientnet_lite1": ((1, 3, 3, 4, 4, 5, 1), (16, 24, 40, 80, 112, 192, 320)),
    "efficientnet_lite2": ((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
}
STEM_CHANNELS = 32
KERNELS = (3, 3, 5, 3, 5, 5, 3)  # of the stages
STRIDES = (1, 2, 2, 2, 1, 2, 1)
EXPANSION = 6  # of a block's channels; the first stage has none
FEATURE_STAGES = (1, 2, 4, 6)  # whose outputs are at 1/4, 1/8, 1/16 and 1/32
BATCH_NORM_EPSILON = 1e-3
# The weights were trained on (pixel - 127) / 128.
IMAGE_MEAN = (127 / 255,) * 3
IMAGE_STD = (128 / 255,) * 3


class SameConv2d(nn.Conv2d):
    """Convolution whose padding is TensorFlow's "SAME": with stride 2 and an even size, one pixel more at the right and
    bottom.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride,
            groups=groups,
            bias=False,
            padding=kernel // 2 if stride == 1 else 0,
        )
        self.slow_gradients = groups > 1 and (kernel == 5 or stride == 2)

    def forward(self, x: Tensor) -> Tensor:
        if self.slow_gradients and x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):  # in bfloat16 oneDNN takes five times as long for the gradients
                return super().forward(self._pad(x).float()).to(x.dtype)
        return super().forward(self._pad(x))

    def _pad(self, x: Tensor) -> Tensor:
        if self.stride[0] == 1:
            return x
        before = self.kernel_size[0] // 2 - 1
        return F.pad(x, (before, before + 1, before, before + 1))


def batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON)


class SeparableBlock(nn.Module):
    """The first stage's block: depthwise convolution, then a 1x1 convolution without activation."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int):
        super().__init__()
        self.conv_dw, self.bn1 = (
            SameConv2d(in_channels, in_channels, kernel, stride, in_channels),
            batch_norm(in_channels),
        )
        self.conv_pw, self.bn2 = SameConv2d(in_channels, out_channels, 1), batch_norm(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x)), inplace=True)))


class InvertedResidual(nn.Module):
    """1x1 convolution to more channels, depthwise convolution, 1x1 convolution back; the input added where the shape
    allows.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int):
        super().__init__()
        wide = in_channels * EXPANSION
        self.conv_pw, self.bn1 = SameConv2d(in_channels, wide, 1), batch_norm(wide)
        self.conv_dw, self.bn2 = SameConv2d(wide, wide, kernel, stride, wide), batch_norm(wide)
        self.conv_pwl, self.bn3 = SameConv2d(wide, out_channels, 1), batch_norm(out_channels)
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn1(self.conv_pw(x)), inplace=True)
        y = F.relu6(self.bn2(self.conv_dw(y)), inplace=True)
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.adds else y


class EfficientNetLite(nn.Module):
    """The encoder.

    Parameters
    ----------
    name : one of EFFICIENTNETS

    Attributes
    ----------
    channels : of the four feature maps
    """

    def __init__(self, name: str):
        super().__init__()
        counts, channels = EFFICIENTNETS[name]
        self.channels = tuple(channels[i] for i in FEATURE_STAGES)
        self.conv_stem, self.bn1 = SameConv2d(3, STEM_CHANNELS, 3, 2), batch_norm(STEM_CHANNELS)
        stages, before = [], STEM_CHANNELS
        for i, (count, width) in enumerate(zip(counts, channels)):
            block = InvertedResidual if i else SeparableBlock
            stages.append(
                nn.Sequential(
                    *(
                        block(before if k == 0 else width, width, KERNELS[i], STRIDES[i] if k == 0 else 1)
                        for k in range(count)
                    )
                )
            )
            before = width
        self.blocks = nn.Sequential(*stages)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Nx3xHxW -> feature maps at 1/4, 1/8, 1/16 and 1/32."""
        x = F.relu6(self.bn1(self.conv_stem(images)), inplace=True)
        features = []
        for i, stage in enumerate(self.blocks):
            x = stage(x)
            if i in FEATURE_STAGES:
                features.append(x)
        return features

    @torch.no_grad()
    def fold_batch_norm(self) -> None:
        """Multiply each batch normalisation into the convolution before it, for inference alone: the same function,
        faster.
        """
        for module in list(self.modules()):
            for norm_name, norm in list(module.named_children()):
                if isinstance(norm, nn.BatchNorm2d):
                    convolution = getattr(module, CONVOLUTIONS[type(module)][norm_name])
                    mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
                    gain = norm.weight / torch.sqrt(variance + norm.eps)
                    convolution.weight = nn.Parameter(convolution.weight * gain.view(-1, 1, 1, 1), requires_grad=False)
                    convolution.bias = nn.Parameter(norm.bias - mean * gain, requires_grad=False)
                    setattr(module, norm_name, nn.Identity())


# The convolution that each batch normalisation follows.
CONVOLUTIONS = {
    EfficientNetLite: {"bn1": "conv_stem"},
    SeparableBlock: {"bn1": "conv_dw", "bn2": "conv_pw"},
    InvertedResidual: {"bn1": "conv_pw", "bn2": "conv_dw", "bn3": "conv_pwl"},
}
