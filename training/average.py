"""Average networks that were trained on from one another, which is often better than each of them.

    python -m training.average weights/class0.safetensors runs/more/stardist.safetensors --out runs/class0.safetensors

Two stages of one training lie in the same valley of the loss, and the middle between them is flatter than either (model
soups, Wortsman et al. 2022). Networks from different random weights have nothing in common: their average is worthless,
so measure what comes out (training.measure.sources). All files must be of one kind and one encoder. Settings are those
of the last file; thresholds and working size should be fitted again (training.thresholds).
"""

import argparse
from pathlib import Path

from models.checkpoint import save_checkpoint
from training.averaging import average
from training.command import DONE, command, manual


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
