"""The mean of networks that were trained on from one another."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from models.checkpoint import load_checkpoint
from models.config import Config
from training.images.sources import united


def average(paths: Sequence[Path], shares: Sequence[float] | None = None) -> tuple[nn.Module, Config]:
    """The network with the mean of all weights and running averages, and the last one's settings.

    Parameters
    ----------
    shares : of each network in the mean, together 1; equal ones if None

    Raises
    ------
    ValueError
        If the networks are not of one kind, architecture and working size. CheckpointError if one cannot be read.
    """
    loaded = [load_checkpoint(path) for path in paths]
    model, config = loaded[-1]
    for path, (other, own) in zip(paths, loaded):
        if (other.kind, own.network, own.diameter) != (model.kind, config.network, config.diameter):
            raise ValueError(f"{path}: another kind of network, or of another working size, than {paths[-1]}")
    states = [other.state_dict() for other, _ in loaded]
    shares = shares or [1 / len(states)] * len(states)
    mean = {
        name: sum(share * state[name].double() for share, state in zip(shares, states)).to(value.dtype)
        for name, value in states[-1].items()
    }
    model.load_state_dict(mean)
    crops = max(own.crops for _, own in loaded)
    training = {**config.training, "averaged": [path.name for path in paths], "crops": crops}
    sources = united(*(own.sources for _, own in loaded))
    return model, replace(config, training=training, validation={}, sources=sources)
