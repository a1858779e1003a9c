"""Make labelled images by rule: shapes of cells, stains, optics and noise are drawn at random, so the labels are known.

    python -m training.synthesize data/synthetic --images 600 --seed 1
    python -m training.prepare merge data/all-and-synthetic.csv data/all.csv data/synthetic/manifest.csv

They are meant for what labelled data sets are short of: whole cells in two channels, membranes alone, long and
branched cells, and images without any cell. OUT/manifest.csv lists them under sources synthetic_KIND, so that tables
and --leave-out of the trainings can tell them apart. Gray fluorescence is stored in one channel (8 or 16 bit), all else
as 8-bit RGB. The same seed gives the same images, and a longer run begins with those of a shorter one. Where the optics
come from stands in the modules of training/synthetic.
"""

import argparse
import logging
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from training.command import DONE, command, manual, positive
from training.images.manifest import SYNTHETIC_PREFIX, Record, write_manifest
from training.synthetic.scenes import SCENES, SIDES, make, save

log = logging.getLogger(__name__)


def choose_kinds(images: int, kinds: list[str]) -> list[str]:
    """The kind of each image: always the one that is furthest behind its share."""
    shares = np.array([SCENES[kind][1] for kind in kinds])
    shares, counts, chosen = shares / shares.sum(), np.zeros(len(kinds)), []
    for number in range(1, images + 1):
        kind = int((shares * number - counts).argmax())
        counts[kind] += 1
        chosen.append(kinds[kind])
    return chosen


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.synthesize", __doc__)
    add = parser.add_argument
    add("out", type=Path, metavar="OUT", help="folder for the images and their manifest")
    add("--images", type=int, default=600, metavar="N", help="[600]")
    add("--seed", type=int, default=0, metavar="S", help="[0]")
    add("--val-share", type=float, default=0.2, metavar="P", help="share of each kind that goes to split val [0.2]")
    add(
        "--kinds",
        nargs="+",
        default=list(SCENES),
        choices=list(SCENES),
        metavar="KIND",
        help=f"{', '.join(SCENES)} [all]",
    )
    add("--sides", nargs=2, type=positive, default=SIDES, metavar="PIXELS", help="the least and the most [256 640]")
    args = parser.parse_args(argv)
    if args.sides[0] > args.sides[1]:
        parser.error("--sides: give the least number of pixels first")
    if args.images < 1 or args.seed < 0 or not 0 <= args.val_share <= 1:
        parser.error("--images must be at least 1, --seed at least 0, --val-share between 0 and 1")
    return args


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    cv2.setNumThreads(1)
    records, seen = [], Counter()
    for number, kind in enumerate(tqdm(choose_kinds(args.images, args.kinds), unit="image", disable=None)):
        scene = make(kind, np.random.default_rng([args.seed, number]), tuple(args.sides))
        source = f"{SYNTHETIC_PREFIX}{kind}"
        image, label = save(args.out / source, f"{number:06d}", scene)
        val = int((seen[kind] + 1) * args.val_share) > int(seen[kind] * args.val_share)
        seen[kind] += 1
        records.append(Record(image, label, "val" if val else "train", source, scene.modality))
    write_manifest(args.out / "manifest.csv", records)
    log.info(
        "%s: %d images, %d of them for validation",
        args.out / "manifest.csv",
        len(records),
        sum(r.split == "val" for r in records),
    )
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
