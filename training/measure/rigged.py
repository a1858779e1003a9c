"""A weights folder whose untrained networks find cells: for timing an encoder of which there are no trained weights
yet.

The last layer of each network is set so that, on noise with spots of a cell's size, a tenth of the points are cell
points. Where they lie means nothing; their number is what decoding costs.
"""

from pathlib import Path

import cv2
import numpy as np
import torch

from models.checkpoint import save_checkpoint
from models.checksums import write_checksums
from models.config import Config
from models.hover import ConvNeXtHover
from models.router import Router
from models.stardist import ConvNeXtStarDist
from models.weights_folder import FILES

DIAMETER = 28.0  # pixels; that of the shipped networks
CELL_POINTS = 0.1  # share of the grid's points
LOGIT_STD = 3.0
SPOT_SIZE = 7.0  # pixels; standard deviation of the blur that makes spots of noise


def spots(side: int = 512, seed: int = 0) -> torch.Tensor:
    """1x3xHxW in [0, 1]."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (side, side, 3)), (0, 0), SPOT_SIZE)
    image = cv2.normalize(noise, None, 0, 1, cv2.NORM_MINMAX, cv2.CV_32F)
    return torch.from_numpy(image).permute(2, 0, 1)[None]


@torch.inference_mode()
def rig(network: ConvNeXtStarDist | ConvNeXtHover) -> None:
    """Set the bias and the size of the layer that tells cell points from others."""
    stardist = isinstance(network, ConvNeXtStarDist)
    maps = network.eval()(spots())
    logit = maps.prob if stardist else maps.cp[:, 1:] - maps.cp[:, :1]
    factor = LOGIT_STD / float(logit.std())
    shift = -float(torch.quantile(logit, 1 - CELL_POINTS)) * factor
    layer = network.head.prob if stardist else network.head.cp
    layer.weight.mul_(factor)
    layer.bias.mul_(factor)
    layer.bias[-1] += shift


def write_rigged_weights(folder: Path, encoder: str) -> None:
    """Five networks with random weights in a new folder; the router answers class 0.

    Raises ValueError if timm has no such encoder, or it is not a ConvNeXt.
    """
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    router = Router()
    torch.nn.init.zeros_(router.network.fc.weight)
    router.network.fc.bias.data = torch.tensor([3.0, 0.0, 0.0, 0.0, np.log(DIAMETER)])
    save_checkpoint(folder / "router.safetensors", router, Config())
    for kind, streams in ((ConvNeXtStarDist, (0, 2, 3)), (ConvNeXtHover, (1,))):
        network = kind(encoder, layer_scale=0.5)
        rig(network)
        for stream in streams:
            save_checkpoint(folder / f"class{stream}.safetensors", network, Config({"encoder": encoder}, DIAMETER))
    write_checksums(folder, FILES)
