"""How good the labels are on your own images: one table, and one page with the worst images first.

    python -m training.evaluate --images my_images --labels my_labels -o evaluation
    python -m training.evaluate --images my_images --labels my_labels --weights my-weights -o evaluation
    python -m training.evaluate --images my_images --labels my_labels --predictions other_labels -o evaluation

The images are segmented as predict.py does, with the shipped networks or those of --weights; or labels of any program
are taken from --predictions. True and predicted labels may be of all the formats of training.finetune --formats.

    F1, precision, recall  by the challenge's rules: cells at the image border are left out, mean over the images
    PQ                     panoptic quality of all cells together
    AP                     tp / (tp + fp + fn): of all cells together, as StarDist reports it ("accuracy"), and the mean
                           over the images, as Cellpose does; both count cells at the border
    cells, found           number of true and of found cells, also at the border
    errors                 at IoU 0.5: missed, spurious, split, merged, a wrong outline (training.measure.failures);
                           cells at the border are left out, as for F1, also where only the true or only the found
                           outline touches it: the other one then counts as spurious or missed

OUT gets report.html, images.csv (a line an image) and thresholds.csv (a line for each IoU). Where only some cells are
labelled (--partial), what was found beside them does not count. What looks wrong with the true labels is named first.

Exit code: 0; 1 if an image could not be read; 2 if nothing could be evaluated.
"""

import argparse
import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.outputs.page import embedded
from inference.outputs.whole_file import whole_file
from inference.segmenter import Segmenter
from models.classes import CLASSES, SHIPPED_WEIGHTS
from training.command import DONE, PARTLY, add_device, command, manual, share
from training.measure.f1 import Counts, f1_score, precision, recall, score_image
from training.measure.judging import COLOURS, FATES
from training.measure.pictures import PANEL, picture
from training.measure.quality import Matches, average_precision, matches, panoptic_quality
from training.own.arguments import add_class, add_data, own_images
from training.own.checking import name_findings
from training.own.collection import NAMED, OwnImage, collect
from training.own.scoring import Found, find_cells
from training.tables import some, text_table, write_table
from training.validation import without_unlabelled

log = logging.getLogger(__name__)

IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
TEMPLATE = Path(__file__).parent / "own" / "report.html"
PICTURE = 1400  # pixels; longer side in the report
MOST_PICTURES = 200  # in the report, of the worst images
BORDER = (
    "Cells and found, PQ and AP count cells at the image border too. F1, precision, recall and the kinds of errors "
    "leave them out; where only the true or only the found outline of a cell touches the border, the other one counts "
    "as spurious or missed."
)


@dataclass(frozen=True)
class Evaluated:
    """An image, by IoU threshold.

    counts : by the challenge's rules
    matches : with the cells at the border
    kinds : number of cells of each kind of error
    """

    found: Found
    counts: list[Counts]
    matches: list[Matches]
    kinds: dict[str, int]

    @classmethod
    def of(cls, found: Found, ious: Sequence[float]) -> "Evaluated":
        truth, labels = found.image.labels, found.labels
        return cls(found, score_image(truth, labels, ious), matches(truth, labels, ious), found.judged().counts)

    @property
    def has_f1(self) -> bool:
        """Whether F1 tells anything: not where there are cells, and none of them, nor one found, is wholly inside."""
        return any(self.counts[0]) or not any(self.matches[0].counts)

    @property
    def worth(self) -> tuple[float, float]:
        """F1 and panoptic quality at the first threshold, by which the images are sorted."""
        quality = self.matches[0].panoptic_quality
        return f1_score(*self.counts[0]) if self.has_f1 else quality, quality

    @property
    def row(self) -> dict:
        """Of images.csv."""
        tp, fp, fn = self.matches[0].counts
        scores = (f1_score(*self.counts[0]), precision(*self.counts[0]), recall(*self.counts[0]))
        return {
            "image": self.found.image.name,
            "class": "" if self.found.class_ is None else CLASSES[self.found.class_].name,
            "cells": tp + fn,
            "found": tp + fp,
            **dict(zip(("F1", "precision", "recall"), scores if self.has_f1 else [""] * 3)),
            "PQ": self.matches[0].panoptic_quality,
            "AP": self.matches[0].average_precision,
            **{kind: count for kind, count in self.kinds.items() if kind != "found"},
        }


def threshold_rows(images: Sequence[Evaluated], ious: Sequence[float]) -> list[dict]:
    """A line for each IoU threshold."""
    rows = []
    for n, iou in enumerate(ious):
        counts, found = [e.counts[n] for e in images if e.has_f1], [e.matches[n] for e in images]
        means = {
            name: float(np.mean([measure(*c) for c in counts])) if counts else math.nan
            for name, measure in (("F1", f1_score), ("precision", precision), ("recall", recall))
        }
        rows.append(
            {
                "IoU": f"{iou:g}",
                **means,
                "PQ": panoptic_quality(found),
                "AP (StarDist)": average_precision(found),
                "AP (Cellpose)": float(np.mean([m.average_precision for m in found])),
            }
        )
    return rows


def predicted(images: Sequence[OwnImage], args: argparse.Namespace) -> tuple[list[Found], bool]:
    """What the program finds, or what the files of --predictions hold; whether an image has nothing there."""
    if not args.predictions:
        segmenter = Segmenter.from_folder(args.weights, args.device)
        return find_cells(segmenter, images, args.class_), False
    those, problems = collect(args.images, args.predictions, None)
    for problem in problems:
        log.error("%s", problem)
    name_findings(those)
    others = {i.image: i for i in those}
    found, missing = [], False
    for image in images:
        if image.image not in others or others[image.image].labels.shape != image.labels.shape:
            missing = True
            log.error("%s: no labels of its size in %s; it counts as empty", image.name, args.predictions)
            found.append(Found(image, np.zeros_like(image.labels), None))
            continue
        labels = others[image.image].labels
        found.append(Found(image, without_unlabelled(labels, image.labels) if image.partial else labels, None))
    return found, missing


def write_report(path: Path, title: str, tables: Sequence[dict], images: Sequence[Evaluated]) -> None:
    """The page: tables with "title", "text" and "rows", then pictures in the order of the images, of the first ones."""
    import jinja2  # late: only the page needs it

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    environment.tests["float"] = lambda value: isinstance(value, float)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    shown = (
        {
            "name": e.found.image.name,
            "f1": e.row["F1"],
            "cells": e.row["cells"],
            "found": e.row["found"],
            "picture": embedded(picture(e.found.judged()), PICTURE),
        }
        for e in images[:MOST_PICTURES]
    )
    colours = dict(zip(FATES, (f"rgb({r},{g},{b})" for r, g, b in COLOURS.tolist())))
    left_out = max(0, len(images) - MOST_PICTURES)
    stream = template.stream(
        title=title, tables=tables, images=shown, colours=colours, largest=PANEL, left_out=left_out
    )
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(stream)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.evaluate", __doc__)
    add = parser.add_argument
    add_data(parser)
    add("-o", "--out", type=Path, metavar="DIR", help="folder for the page and the tables [tables on the screen alone]")
    add("--weights", type=Path, default=SHIPPED_WEIGHTS, metavar="DIR", help="networks [the shipped ones]")
    add_class(parser, "send all images to this class's network")
    add("--predictions", type=Path, metavar="DIR", help="labels to evaluate, in place of the networks")
    add("--ious", type=share, nargs="+", default=list(IOUS), metavar="IOU", help="[0.5 0.6 0.7 0.8 0.9]")
    add_device(parser)
    args = parser.parse_args(argv)
    if args.predictions and args.manifest:
        parser.error("--predictions goes with --images; for a manifest there is training.measure.score")
    return args


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    images, unread = own_images(args)
    fitting = [i for i in images if i.labels.shape == i.picture.shape]
    for image in set(images) - set(fitting):
        log.error("%s: labels of another size than the image; it is left out", image.label)
    if not fitting:
        raise ValueError("no image has labels of its size; pair the right files")
    name_findings(fitting)
    results, missing = predicted(fitting, args)
    done = [Evaluated.of(found, args.ious) for found in results]
    done.sort(key=lambda e: e.worth)
    if border := [e.found.image.name for e in done if not e.has_f1]:
        log.warning(
            "all cells of %d images touch the border, where they do not count for F1, precision and recall: %s",
            len(border),
            some(border, NAMED),
        )
    thresholds, rows = threshold_rows(done, args.ious), [e.row for e in done]
    kinds = sum((Counter(e.kinds) for e in done), Counter())
    counts = {
        "cells": sum(r["cells"] for r in rows),
        "found": sum(r["found"] for r in rows),
        **{kind: kinds[kind] for kind in FATES[1:]},
    }
    print(text_table(thresholds), text_table([counts]), text_table(rows), BORDER, sep="\n\n")
    if args.out:
        write_table(args.out / "thresholds.csv", thresholds, digits=4)
        write_table(args.out / "images.csv", rows, digits=4)
        text = f"{len(done)} images; F1, precision and recall are means over {len(done) - len(border)} of them."
        tables = [
            {"title": "Scores", "text": text, "rows": thresholds},
            {"title": "Cells", "text": f"All images together; errors at IoU 0.5. {BORDER}", "rows": [counts]},
            {"title": "By image", "text": f"At IoU {args.ious[0]:g}.", "rows": rows},
        ]
        by = args.predictions or args.weights
        write_report(args.out / "report.html", f"Labels of {by.name} compared with the true ones", tables, done)
        log.info("%s: the worst images first", args.out / "report.html")
    return PARTLY if unread or missing or len(fitting) < len(images) else DONE


if __name__ == "__main__":
    raise SystemExit(main())
