"""Average networks that were trained on from one another, which is often better than each of them.

    python -m training.average weights/class0.safetensors runs/more/stardist.safetensors --out runs/class0.safetensors

Two stages of one training lie in the same valley of the loss, and the middle between them is flatter than either (model
soups, Wortsman et al. 2022). Networks from different random weights have nothing in common: their average is worthless,
so measure what comes out (training.measure.sources). All files must be of one kind and one encoder. Settings are those
of the last file; thresholds and working size should be fitted again (training.thresholds).
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import nn

from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import Config
from training.command import DONE, command, manual


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
    return model, replace(config, training=training, validation={})


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.average", __doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="FILE", help="networks, the last trained one last")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="checkpoint to write")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    model, config = average(args.checkpoints)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(args.out, model, config)
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
