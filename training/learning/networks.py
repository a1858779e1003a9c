"""The network for joint pre-training: one ConvNeXt-UNet under the heads of both streams.

The paper pre-trains a StarDist and a Hover network on the same images. Their heads are single 1x1 convolutions, so one
network with both heads learns both in half the time, and splits into the two of `models`.
"""

from torch import Tensor, nn

from models.hover import ConvNeXtHover, HoverHead, HoverMaps
from models.stardist import ConvNeXtStarDist, StarDistHead, StarDistMaps
from models.unet import ConvNeXtUNet

STREAMS = ("both", "stardist", "hover")


class TrainingNetwork(nn.Module):
    """ConvNeXt-UNet with the StarDist head, the Hover head, or both.

    Parameters
    ----------
    stream : one of STREAMS
    network : the constructor's arguments of `ConvNeXtUNet`
    """

    def __init__(self, stream: str, **network):
        super().__init__()
        self.network = {"encoder": network["encoder"]}  # what inference needs to build the same one
        self.unet = ConvNeXtUNet(**network)
        self.heads = nn.ModuleDict()
        if stream in ("both", "stardist"):
            self.heads["stardist"] = StarDistHead(self.unet.out_channels)
        if stream in ("both", "hover"):
            self.heads["hover"] = HoverHead(self.unet.out_channels)

    def forward(self, images: Tensor) -> dict[str, StarDistMaps | HoverMaps]:
        """Nx3xHxW in [0, 1] -> the maps of each head at 1/4 size, before their activations."""
        features = self.unet(images)
        return {name: head(features) for name, head in self.heads.items()}

    def split(self) -> dict[str, nn.Module]:
        """The inference network of each head; it shares its parameters with this one."""
        parts = {}
        for name, kind in (("stardist", ConvNeXtStarDist), ("hover", ConvNeXtHover)):
            if name in self.heads:
                parts[name] = kind(**self.network)
                parts[name].unet, parts[name].head = self.unet, self.heads[name]
        return parts

    def adopt(self, model: ConvNeXtStarDist | ConvNeXtHover) -> None:
        """Start from a trained network: its UNet always, its head where this one has the same."""
        self.unet.load_state_dict(model.unet.state_dict())
        if model.kind in self.heads:
            self.adopt_head(model)

    def adopt_head(self, model: ConvNeXtStarDist | ConvNeXtHover) -> None:
        """The head alone; of another network of the same joint training, say."""
        self.heads[model.kind].load_state_dict(model.head.state_dict())
