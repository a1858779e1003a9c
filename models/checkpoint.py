"""One file format for all five networks: safetensors with the configuration in its metadata. Nothing is ever unpickled.

Weights of two or more dimensions are stored as float16, or as int8 with one scale for each output channel; everything
else (biases, batch normalisation) stays float32. Loading gives float32 modules whatever the storage, unless told
otherwise.
"""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from models.checksums import CheckpointError, check_file
from models.config import Config
from models.efficientnet import EFFICIENTNETS

FORMAT = "multistream-cellseg 1"
STORAGES = ("float16", "int8")
SCALE_SUFFIX = ":scale"


def network_kinds() -> dict:
    """Kind of network -> class."""
    from models.hover import ConvNeXtHover
    from models.router import Router
    from models.stardist import ConvNeXtStarDist

    return {c.kind: c for c in (ConvNeXtStarDist, ConvNeXtHover, Router)}


def save_checkpoint(path: Path, model: nn.Module, config: Config, storage: str = "float16") -> None:
    """Write a network.

    Parameters
    ----------
    model : one of the classes with a `kind`
    storage : "float16" or "int8"
    """
    if storage not in STORAGES:
        raise ValueError(f"storage must be one of {STORAGES}, got {storage!r}")
    tensors = {}
    for name, value in model.state_dict().items():
        value = value.detach().cpu().contiguous()
        if value.ndim < 2 or not value.is_floating_point():
            tensors[name] = value
        elif storage == "float16":
            tensors[name] = value.half()
        else:
            tensors[name], tensors[name + SCALE_SUFFIX] = quantise(value)
    kind = str(model.kind)
    metadata = {"format": FORMAT, "kind": kind, "config": config.to_json(kind)}
    partial = Path(f"{path}.part")
    try:
        partial.write_bytes(save(tensors, metadata))  # save_file would make a file that only its owner can read
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def quantise(weight: Tensor) -> tuple[Tensor, Tensor]:
    """OxI... float -> int8 of the same shape and float32 scales of shape (O,), so that weight is near int8 * scale."""
    scale = weight.flatten(1).abs().amax(dim=1).clamp(min=1e-12) / 127
    rows = (-1,) + (1,) * (weight.ndim - 1)
    return torch.round(weight / scale.view(rows)).to(torch.int8), scale.float()


def dequantise(weight: Tensor, scale: Tensor) -> Tensor:
    """Inverse of `quantise`, float32."""
    return weight.float() * scale.view((-1,) + (1,) * (weight.ndim - 1))


def read_config(path: Path) -> tuple[str, Config]:
    """Kind of network and configuration, without reading the weights."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such weights file; give the folder that holds it with --weights") from None
    except Exception as error:
        raise CheckpointError(
            f"{path}: damaged weights file ({error}); fetch the weights again and compare weights/SHA256SUMS"
        ) from None
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: not a checkpoint of this program (format {metadata.get('format')!r}, expected "
            f"{FORMAT!r}); give the folder of this program's weights with --weights"
        )
    kind = metadata.get("kind", "")
    try:
        return kind, Config.from_json(kind, metadata.get("config", ""))
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path}: its configuration is not of this version of the program ({error}); use the weights that came "
            "with this version"
        ) from None


def load_checkpoint(path: Path, dtype: torch.dtype = torch.float32, fold: bool = False) -> tuple[nn.Module, Config]:
    """Read a network, in evaluation mode on the CPU, and its configuration.

    The file is mapped into memory, and each weight is brought to `dtype` straight from it.

    Parameters
    ----------
    fold : for inference alone, where the encoder can: multiply its batch normalisations into its convolutions

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, of another program, or does not fit its own configuration.
    """
    kind, config = read_config(path)
    check_file(Path(path))
    foldable = fold and config.network.get("encoder") in EFFICIENTNETS
    stored = torch.float32 if foldable else dtype  # products of rounded factors would be off by more
    with safe_open(path, framework="pt") as file:
        names = set(file.keys())
        state = {}
        for name in names:
            if name.endswith(SCALE_SUFFIX):
                continue
            value = file.get_tensor(name)
            if name + SCALE_SUFFIX in names:
                value = dequantise(value, file.get_tensor(name + SCALE_SUFFIX))
            state[name] = value.to(stored) if value.is_floating_point() else value
    try:
        with torch.device("meta"):  # no memory and no random numbers for weights that the file replaces
            model = network_kinds()[kind](**config.network)
        model.load_state_dict(state, assign=True)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]  # torch lists every weight that does not fit
        raise CheckpointError(
            f"{path}: not a {kind} network of this version of the program, built with {dict(config.network)} "
            f"({reason}); use the weights that came with this version"
        ) from None
    if foldable:
        model.unet.encoder.fold_batch_norm()
        model.to(dtype)
    return model.eval().requires_grad_(False), config
