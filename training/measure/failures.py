"""Where and how the cells are not found: tables of the kinds of failure, and pictures of the worst images.

    python -m training.label --manifest data/manifest.csv --weights weights --out predictions
    python -m training.measure.failures data/manifest.csv predictions --out failures --worst 20

Every true cell without a predicted one of IoU 0.5 is one of

    split      two or more predicted cells lie in it with more than half of their pixels
    merged     a predicted cell covers more than half of it, and more than half of another one too
    outline    a predicted cell meets it, with an IoU of 0.1 to 0.5
    missed     anything else

in this order, and every predicted cell that is neither matched nor has a part in a split, a merger or a wrong outline
is spurious. Cells at the border are left out as in training.measure.score, which gives the same F1, but for two things:
images of 25 Mpx and more are taken as a whole, and where only some cells are labelled (partial = 1), predicted cells
beside them are left out.

The tables count the cells of --split by source and by their diameter, that of the disk with their area. The command
writes

    OUT/failures.csv                 a line an image, the worst one first
    OUT/01_SOURCE_NAME.png, ...      of the --worst images: on the left the true outlines (green found, red missed,
                                     orange split, pink merged, yellow outline), on the right the predicted ones (green
                                     matched, red spurious, orange, pink and yellow for those with a part in the
                                     others). Of a large image the picture shows the part with the most failures
"""

import argparse
import logging
import math
from collections import Counter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from inference.outputs.overlay import write_png
from training.command import DONE, PARTLY, command, manual
from training.images.datasets import read_labels
from training.measure.cases import Case, cases_from_manifest, read_prediction
from training.measure.f1 import remove_border
from training.measure.judging import FATES, SPURIOUS, Judged, judge_cells
from training.measure.pictures import picture
from training.tables import text_table, write_table
from training.validation import without_unlabelled

log = logging.getLogger(__name__)

SIZES = (0, 10, 20, 40, 80, math.inf)  # pixels; borders of the groups of cells by diameter


def judge_case(case: Case) -> Judged | None:
    """One image; None if it has no usable prediction, which the log names."""
    truth = read_labels(case.label)
    path, prediction = read_prediction(case, truth.shape)
    if path is None:
        return None
    if case.partial:
        prediction = without_unlabelled(prediction, truth)
    return Judged(case, *judge_cells(remove_border(truth), remove_border(prediction)))


def size_groups(judged: Judged) -> list[tuple[str, str]]:
    """(group by diameter, kind) of each true and each spurious cell."""
    found = []
    for labels, kinds, wanted in (
        (judged.truth, judged.true_fates, range(SPURIOUS)),
        (judged.prediction, judged.predicted_fates, (SPURIOUS,)),
    ):
        diameters = 2 * np.sqrt(np.bincount(labels.ravel(), minlength=kinds.size) / np.pi)
        groups = np.digitize(diameters, SIZES[1:-1])
        found += [(size_name(g), FATES[k]) for g, k in zip(groups[1:], kinds[1:]) if k in wanted]
    return found


def size_name(group: int) -> str:
    """A group of SIZES in words."""
    low, high = SIZES[group], SIZES[group + 1]
    return f"{low} px and more" if high == math.inf else f"{low} to {high} px"


def table(title: str, counts: dict[str, Counter]) -> str:
    """Cells of each kind by group, as numbers and, but for spurious ones, shares of the true cells; for people to
    read.
    """
    rows = []
    for group, own in counts.items():
        cells = sum(own[kind] for kind in FATES[:SPURIOUS])
        rows.append(
            {
                title: group,
                "cells": cells,
                **{kind: f"{own[kind]:6} ({own[kind] / max(1, cells):5.1%})" for kind in FATES},
            }
        )
    return text_table(rows)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.failures", __doc__)
    add = parser.add_argument
    add("manifest", type=Path, help="CSV file of labelled images (training.images.manifest)")
    add("predictions", type=Path, help="folder of predicted *_label.tiff files, as of training.label")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the list and the pictures")
    add("--split", default="val", help="lines of the manifest to look at [val]")
    add("--worst", type=int, default=12, metavar="N", help="number of pictures [12]")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    cases = cases_from_manifest(args.manifest, args.predictions, args.split)
    rows, sources, sizes = [], {}, {size_name(g): Counter() for g in range(len(SIZES) - 1)}
    for case in tqdm(cases, unit="image", disable=None):
        if judged := judge_case(case):
            rows.append((judged.f1, case, judged.counts))
            sources.setdefault(case.source, Counter()).update(judged.counts)
            for group, kind in size_groups(judged):
                sizes[group][kind] += 1
    if not rows:
        raise ValueError(
            f"{args.predictions}: no prediction for any image of split {args.split!r}; make them with training.label"
        )
    rows.sort(key=lambda row: row[0])
    args.out.mkdir(parents=True, exist_ok=True)
    write_table(
        args.out / "failures.csv",
        [
            {"f1": round(f1, 4), "source": c.source, "image": c.image, "partial": int(c.partial), **counts}
            for f1, c, counts in rows
        ],
    )
    for number, (_, case, _) in enumerate(rows[: args.worst], start=1):
        file = args.out / f"{number:02}_{case.source.replace('/', '_')}_{case.image.stem}.png"
        write_png(file, picture(judge_case(case)))
    total = sum(sources.values(), Counter())
    print(table("source", dict(sorted(sources.items())) | {"all": total}), table("diameter", sizes), sep="\n\n")
    log.info("%s: %d images, mean F1 %.4f", args.out / "failures.csv", len(rows), np.mean([f1 for f1, *_ in rows]))
    return DONE if len(rows) == len(cases) else PARTLY


if __name__ == "__main__":
    raise SystemExit(main())
