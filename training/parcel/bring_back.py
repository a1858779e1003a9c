"""Make a folder of runs of the results that came back from a borrowed machine (training.parcel.device sent them).

    python -m training.parcel.bring_back results --runs runs/borrowed
    python -m training.parcel.bring_back first-call second-call --runs runs/borrowed

Give the folders of all calls of `train` and `send` together: each part is checked, and if one is missing or damaged,
the message says what to send again while the machine is there. RUNS then has a folder for each training, with its
networks and logs, and the machine's own log, which has their scores on the parcel's lossy images. The networks have no
score of their own yet; score them on the true images:

    python -m training.thresholds runs/borrowed/joint/stardist.safetensors --manifest data/manifest.csv
"""

import argparse
import logging
import shutil
import tarfile
import tempfile
from pathlib import Path

from models.checkpoint import load_checkpoint
from training.command import DONE, command, manual
from training.parcel.parts import LOG, RESULTS, join

log = logging.getLogger(__name__)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.parcel.bring_back", __doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="what came back")
    parser.add_argument("--runs", type=Path, required=True, metavar="DIR", help="folder for the trainings")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    args.runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.runs) as folder:
        whole = Path(folder) / RESULTS
        join(args.folders, whole)
        with tarfile.open(whole) as tar:
            names = tar.getnames()
            tar.extractall(args.runs, filter="data")
    for number, folder in enumerate(args.folders):
        if (folder / LOG).exists():
            shutil.copy(folder / LOG, args.runs / (f"{number}-{LOG}" if number else LOG))
    for path in sorted(args.runs / name for name in names if name.endswith(".safetensors")):
        _, config = load_checkpoint(path)
        log.info("%s: %s crops", path, f"{config.crops:,}")
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
