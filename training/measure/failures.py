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
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from inference.normalisation import normalise, to_three_channels
from inference.reading import read_image
from training.command import command, manual
from training.datasets import read_labels
from training.measure.f1 import f1_score, overlaps, remove_border
from training.measure.score import Case, cases_from_manifest, read_prediction
from training.tables import text_table, write_table
from training.validation import without_unlabelled

log = logging.getLogger(__name__)

IOU = 0.5  # of a match
MOST = 0.5  # share of a cell's pixels that is "most" of it
MEETING = 0.1  # IoU from which on a cell was met, if badly
KINDS = ("found", "split", "merged", "outline", "missed", "spurious")
FOUND, SPLIT, MERGED, OUTLINE, MISSED, SPURIOUS = range(len(KINDS))
# Of the kinds.
COLOURS = np.array([(0, 200, 0), (255, 140, 0), (255, 60, 220), (235, 235, 0), (255, 0, 0), (255, 0, 0)], np.uint8)
SIZES = (0, 10, 20, 40, 80, math.inf)  # pixels; borders of the groups of cells by diameter
PANEL = 700  # pixels; height and width of each side of a picture at most
CAPTION = 22


@dataclass(frozen=True)
class Judged:
    """An image whose cells have been judged.

    truth, prediction : (H, W), cells numbered from 1
    true_kinds, predicted_kinds : index of KINDS for each cell; the first entry is the background's and means nothing
    """

    case: Case
    truth: np.ndarray
    prediction: np.ndarray
    true_kinds: np.ndarray
    predicted_kinds: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """Cells of each kind; of the predicted ones the spurious ones alone."""
        true = np.bincount(self.true_kinds[1:], minlength=len(KINDS))
        return dict(zip(KINDS, (*true[:SPURIOUS].tolist(), int((self.predicted_kinds[1:] == SPURIOUS).sum()))))

    @property
    def f1(self) -> float:
        tp = int((self.true_kinds[1:] == FOUND).sum())
        return f1_score(tp, self.predicted_kinds.size - 1 - tp, self.true_kinds.size - 1 - tp)


def judge_cells(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The two label images with their cells numbered from 1, and the kind of each true and each predicted cell.

    Parameters
    ----------
    truth, prediction : integer arrays of shape (H, W), 0 is background
    """
    table = overlaps(truth, prediction)
    i, j = table.i, table.j
    true_kinds, predicted_kinds = np.full(table.true_areas.size, MISSED), np.full(table.predicted_areas.size, SPURIOUS)
    inside = table.pixels > MOST * table.predicted_areas[j]  # the predicted cell lies in the true one
    covers = table.pixels > MOST * table.true_areas[i]  # the predicted cell covers the true one
    several_in = np.bincount(i[inside], minlength=true_kinds.size) > 1
    several_under = np.bincount(j[covers], minlength=predicted_kinds.size) > 1
    for kind, pairs in (
        (OUTLINE, table.iou >= MEETING),
        (MERGED, covers & several_under[j]),
        (SPLIT, inside & several_in[i]),
    ):
        pairs = np.flatnonzero(pairs)  # a later kind overrules an earlier one
        true_kinds[i[pairs]] = kind
        predicted_kinds[j[pairs]] = kind
    matched = table.matching(IOU)
    true_kinds[i[matched]] = predicted_kinds[j[matched]] = FOUND
    # A predicted cell has a part in a failure only if the true cell did fail: a second one in a found cell is spurious.
    failing = np.zeros(predicted_kinds.size, bool)
    failing[j[true_kinds[i] != FOUND]] = True
    predicted_kinds[~failing & (predicted_kinds != FOUND)] = SPURIOUS
    return table.truth, table.prediction, true_kinds, predicted_kinds


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
        (judged.truth, judged.true_kinds, range(SPURIOUS)),
        (judged.prediction, judged.predicted_kinds, (SPURIOUS,)),
    ):
        diameters = 2 * np.sqrt(np.bincount(labels.ravel(), minlength=kinds.size) / np.pi)
        groups = np.digitize(diameters, SIZES[1:-1])
        found += [(size_name(g), KINDS[k]) for g, k in zip(groups[1:], kinds[1:]) if k in wanted]
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
        cells = sum(own[kind] for kind in KINDS[:SPURIOUS])
        rows.append(
            {
                title: group,
                "cells": cells,
                **{kind: f"{own[kind]:6} ({own[kind] / max(1, cells):5.1%})" for kind in KINDS},
            }
        )
    return text_table(rows)


def picture(judged: Judged, window: tuple[slice, slice] | None = None) -> np.ndarray:
    """True and predicted outlines side by side under a caption, (H, W, 3) uint8 RGB.

    window : the rows and columns that are shown [those of `worst_window`]
    """
    image = to_three_channels(normalise(read_image(judged.case.image).pixels))
    window = window or worst_window(judged)
    zoom = PANEL / max(s.stop - s.start for s in window)
    zoom = float(int(zoom)) if zoom >= 1 else zoom  # whole pixels of a small image stay squares
    sides = []
    for labels, kinds in ((judged.truth, judged.true_kinds), (judged.prediction, judged.predicted_kinds)):
        panel = cv2.resize(
            image[window], None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_NEAREST
        )
        rows, columns = (
            np.minimum((np.arange(n) / zoom).astype(int), s.stop - s.start - 1) for n, s in zip(panel.shape, window)
        )
        cells = labels[window][rows[:, None], columns]
        edge = (cells > 0) & (cv2.erode(cells.astype(np.float64), None) != cv2.dilate(cells.astype(np.float64), None))
        panel[edge] = COLOURS[kinds[cells[edge]]]
        sides.append(panel)
    both = np.concatenate([sides[0], np.full((len(sides[0]), 4, 3), 255, np.uint8), sides[1]], axis=1)
    caption = np.zeros((CAPTION, max(both.shape[1], PANEL), 3), np.uint8)
    text = f"{judged.case.source}/{judged.case.image.stem}  F1 {judged.f1:.2f}  " + "  ".join(
        f"{kind} {count}" for kind, count in judged.counts.items()
    )
    cv2.putText(caption, text, (4, CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    both = np.pad(both, ((0, 0), (0, caption.shape[1] - both.shape[1]), (0, 0)))
    return np.concatenate([caption, both])


def worst_window(judged: Judged) -> tuple[slice, slice]:
    """The part of an image that a picture shows: at most PANEL pixels high and wide, with the most pixels of failed
    cells.
    """
    failed = (judged.true_kinds != FOUND)[judged.truth] & (judged.truth > 0) | (judged.predicted_kinds == SPURIOUS)[
        judged.prediction
    ] & (judged.prediction > 0)
    total = cv2.integral(failed.astype(np.uint8))
    height, width = (min(n, PANEL) for n in failed.shape)
    tops, lefts = (
        np.unique(np.linspace(0, n - side, 1 + 4 * (n - side) // side, dtype=int))
        for n, side in zip(failed.shape, (height, width))
    )
    top, left = max(
        ((y, x) for y in tops for x in lefts),
        key=lambda corner: int(
            total[corner[0] + height, corner[1] + width]
            - total[corner[0], corner[1] + width]
            - total[corner[0] + height, corner[1]]
            + total[corner]
        ),
    )
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.failures", __doc__)
    add = parser.add_argument
    add("manifest", type=Path, help="CSV file of labelled images (training.manifest)")
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
        file = args.out / f"{number:02}_{case.source}_{case.image.stem}.png"
        cv2.imencode(".png", cv2.cvtColor(picture(judge_case(case)), cv2.COLOR_RGB2BGR))[1].tofile(file)
    total = sum(sources.values(), Counter())
    print(table("source", dict(sorted(sources.items())) | {"all": total}), table("diameter", sizes), sep="\n\n")
    log.info("%s: %d images, mean F1 %.4f", args.out / "failures.csv", len(rows), np.mean([f1 for f1, *_ in rows]))
    return 0 if len(rows) == len(cases) else 1


if __name__ == "__main__":
    raise SystemExit(main())
