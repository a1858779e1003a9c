"""Make a folder of runs of the results that came back from a borrowed machine (training.parcel.device sent them).

    python -m training.parcel.bring_back results --runs runs/borrowed
    python -m training.parcel.bring_back first-call second-call --runs runs/borrowed

Give the folders of all calls of `train` and `send` together: each part is checked, and if one is missing or damaged,
the message says what to send again while the machine is there. RUNS then has a folder for each training, with its
networks and logs, and the machine's own log, which has their scores on the parcel's lossy images. Other files of the
same names that are there already, as of an earlier machine, are not overwritten: the command is refused. The networks
have no score of their own yet; score them on the true images:

    python -m training.thresholds runs/borrowed/joint/stardist.safetensors --manifest data/manifest.csv
"""

import argparse
import itertools
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


def check_place(tar: tarfile.TarFile, folder: Path) -> None:
    """Raise ValueError if a file of the results would take the place of another one."""
    for member in (member for member in tar if member.isfile()):
        there = folder / member.name
        if there.exists() and there.read_bytes() != tar.extractfile(member).read():
            raise ValueError(f"{there}: another training's file is there already; give another --runs")


def keep_log(path: Path, folder: Path) -> None:
    """Copy a log into a folder, beside those of other calls."""
    for number in itertools.count():
        target = folder / (f"{number}-{LOG}" if number else LOG)
        if not target.exists():
            shutil.copy(path, target)
        if target.read_bytes() == path.read_bytes():
            return


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    args.runs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.runs) as folder:
        whole = Path(folder) / RESULTS
        join(args.folders, whole)
        with tarfile.open(whole) as tar:
            check_place(tar, args.runs)
            names = tar.getnames()
            tar.extractall(args.runs, filter="data")
    for path in (folder / LOG for folder in args.folders if (folder / LOG).exists()):
        keep_log(path, args.runs)
    for path in sorted(args.runs / name for name in names if name.endswith(".safetensors")):
        _, config = load_checkpoint(path)
        log.info("%s: %s crops", path, f"{config.crops:,}")
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
