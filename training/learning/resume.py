"""The resume file of a training run: everything that a later process needs to go on exactly from where it was
written.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from models.checkpoint import CheckpointError

RESUME_FILE = "resume.safetensors"
IMAGES = "training_images"  # among the arguments: a digest of the manifest's lines
UNSAID = ("init", "init_head", "encoder_weights", "random_init", "lr", "schedule", IMAGES)  # in older files
TRAINED = "model"  # the module whose parameters the optimiser has


def save_run(
    out: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer, arguments: dict, state: dict
) -> None:
    """Write OUT/resume.safetensors under a temporary name and rename it, so that a kill leaves the old file or the new
    one.

    Parameters
    ----------
    modules : by name; "model" has the optimiser's parameters
    arguments : as they come back from JSON; `load_run` refuses a run with other ones
    state : JSON-serialisable, what else the run has to know
    """
    tensors = {
        f"{part}/{name}": value for part, module in modules.items() for name, value in module.state_dict().items()
    }
    for name, parameter in modules[TRAINED].named_parameters():
        tensors |= {
            f"optimiser/{name}/{key}": value for key, value in optimiser.state[parameter].items() if value is not None
        }
    partial = out / f"{RESUME_FILE}.part"
    try:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            partial,
            {"state": json.dumps({"arguments": arguments, **state})},
        )
        partial.replace(out / RESUME_FILE)
    finally:
        partial.unlink(missing_ok=True)


def load_run(
    out: Path, modules: Mapping[str, nn.Module], optimiser: torch.optim.Optimizer, arguments: dict
) -> dict | None:
    """Bring modules and optimiser to where OUT's resume file was written; its state, or None if there is no such file.

    Raises CheckpointError if the file is damaged or of a run with other arguments.
    """
    path = out / RESUME_FILE
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        before = state.pop("arguments")
        parts = {
            part: {n.removeprefix(f"{part}/"): t for n, t in tensors.items() if n.startswith(f"{part}/")}
            for part in modules
        }
    except Exception as error:
        raise CheckpointError(
            f"{path}: not a resume file of this program ({error!r}); remove it, or give another --out"
        ) from None
    # An option that came later was off; what a segmenter's file did not say at first may be anything.
    before = {name: value if name in UNSAID else False for name, value in arguments.items()} | before
    if differing := [name for name, value in arguments.items() if before[name] != value]:
        differing = ["other training images" if name == IMAGES else f"{name} {before[name]}" for name in differing]
        raise CheckpointError(
            f"{path}: from a run with {', '.join(differing)}; repeat its command to continue it, or give another --out"
        )
    for part, module in modules.items():
        try:
            module.load_state_dict(parts[part])
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]  # torch lists every tensor that does not fit
            raise CheckpointError(
                f"{path}: of another version of this program ({reason}); remove it, or give another --out"
            ) from None
    parameters = dict(modules[TRAINED].named_parameters())
    for key, value in tensors.items():
        if key.startswith("optimiser/"):
            name, _, slot = key.removeprefix("optimiser/").rpartition("/")
            parameter = parameters[name]
            # In the parameter's memory format: another one would round differently. AdamW's count of steps has no
            # shape.
            optimiser.state[parameter][slot] = torch.empty_like(parameter).copy_(value) if value.ndim else value
    return state
