"""Rehearse a training on a borrowed machine: the parcel's commands here, on the CPU, with fewer packages.

    python -m training.parcel.rehearse parcel.zip --seconds 120 --out runs/rehearsed
    python -m training.parcel.rehearse parcel.zip --python python3.12

The parcel is unpacked into an empty folder, from where nothing of this one can be seen, and its `train` and `send` run
with a Python for which the packages of --without are not there. The results are sent in parts of two calls, and brought
back to OUT, which must not be there yet. The crops are fewer and smaller than there (--options). Exit code: 0, or that
of the command that failed.
"""

import argparse
import logging
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from training.command import command, manual
from training.parcel import bring_back

log = logging.getLogger(__name__)

MISSING = "zarr numcodecs imagecodecs matplotlib pylibCZIrw pydicom pillow_heif roifile shapely jinja2".split()
OPTIONS = "--batch 2 --crop 64 --workers 1"
BLOCK = """import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names}:
            raise ModuleNotFoundError(f"No module named {{name!r}} (rehearsal)", name=name)
sys.meta_path.insert(0, Blocked())
"""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.parcel.rehearse", __doc__)
    add = parser.add_argument
    add("parcel", type=Path, metavar="FILE", help="of training.parcel.pack")
    add("--out", type=Path, default=Path("runs/rehearsed"), metavar="DIR", help="[runs/rehearsed]")
    add("--seconds", type=float, default=120, help="of the training [120]")
    add("--without", nargs="*", default=MISSING, metavar="PACKAGE", help=f"[{' '.join(MISSING)}]")
    add("--python", default=sys.executable, help="the interpreter [this one]")
    add("--options", default=OPTIONS, metavar="TEXT", help=f"more options of training.train [{OPTIONS}]")
    add("--score", type=int, default=1, metavar="N", help="validation images [1]")
    add("--part-size", type=float, default=4, metavar="MIB", help="[4]")
    add("--trial-steps", type=int, default=2, help="[2]")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    parcel = args.parcel.resolve(strict=True)
    if args.out.exists():
        raise ValueError(f"{args.out}: is there already; remove it, or give another --out")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("blocked", "there", "here/1", "here/2"):
            (folder / part).mkdir(parents=True)
        (folder / "blocked/sitecustomize.py").write_text(BLOCK.format(names=set(args.without)), encoding="utf-8")
        environment = os.environ | {"PYTHONPATH": str(folder / "blocked"), "PARCEL_WORK": str(folder / "there")}
        sending = ["--part-size", str(args.part_size), "--parts", "1"]
        training = ["--seconds", "0", "--least", str(args.seconds), "--regardless"]
        training += ["--trial-steps", str(args.trial_steps), "--score", str(args.score)]
        for words in (
            ["train", "--device", "cpu", "--out", "here/1", *sending, *training, "--", *shlex.split(args.options)],
            ["send", "--out", "here/2", *sending[:2], "--parts", "1000", "--first", "1"],
        ):
            log.info("python3 parcel.zip %s", shlex.join(words))
            if code := subprocess.run([args.python, parcel, *words], cwd=folder, env=environment).returncode:
                return code
        return bring_back.main([str(folder / "here/1"), str(folder / "here/2"), "--runs", str(args.out)])


if __name__ == "__main__":
    raise SystemExit(main())
