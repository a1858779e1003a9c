"""ResNet18 (He et al. 2016), under the names that torchvision gives its weights.

torchvision has it too, but importing that takes as long as importing PyTorch. The function is the same (a test compares
them).
"""

from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (64, 128, 256, 512)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, and the input added; where the size changes, the input goes through a 1x1 convolution."""

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = (
            None
            if stride == 1 and in_channels == out_channels
            else nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)), inplace=True)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)), inplace=True)


class ResNet18(nn.Module):
    """Nx3xHxW -> Nx`outputs`."""

    layer1: nn.Module
    layer2: nn.Module
    layer3: nn.Module
    layer4: nn.Module

    def __init__(self, outputs: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        for i, (before, width) in enumerate(zip((WIDTHS[0], *WIDTHS), WIDTHS)):
            setattr(
                self,
                f"layer{i + 1}",
                nn.Sequential(BasicBlock(before, width, 2 if i else 1), BasicBlock(width, width, 1)),
            )
        self.fc = nn.Linear(WIDTHS[-1], outputs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:  # normal_ there imports PyTorch's compiler
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, images: Tensor) -> Tensor:
        """Nx3xHxW -> NxF, what the outputs are told from."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(images)), inplace=True), 3, stride=2, padding=1)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.features(images))
