"""Score a folder of predicted label images against the truth: F1, precision and recall by class and by source.

    python predict.py -i images -o predictions
    python -m training.measure.score truth predictions
    python -m training.measure.score data/manifest.csv predictions --csv scores.csv

TRUTH is a manifest (training.manifest; the lines of --split that have labels) or a folder of *_label.* files,
sub-folders included. From a manifest the images are grouped by cue class and by source, from a folder by sub-folder.

PREDICTIONS holds the label files that predict.py writes, under the names that it gives them
(inference.naming.label_names). For an image in .../monuseg/ the file is looked for in PREDICTIONS/monuseg/ first, then
in PREDICTIONS/.

Scores are means over the images, each image counting the same. A table is printed for each mode (training.measure.f1):
corrected, where an image without a usable prediction has F1 0, and official, where the organiser's program leaves it
out. Where only some cells are labelled (partial = 1), unlabelled cells count as spurious all the same; the tables say
how many such images a group has, and a row leaves them out. --csv writes a line for each image, mode and threshold.

Exit code: 0; 1 if a prediction is missing or unusable; 2 if nothing could be scored.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from inference.naming import label_names
from inference.outputs.label_tiff import LABEL_SUFFIX
from inference.reading import read_image
from training.command import command, manual
from training.cues import CLASS_NAMES, cue_class
from training.datasets import read_labels
from training.manifest import read_manifest
from training.measure.f1 import MODES, f1_score, precision, recall, score_image
from training.tables import text_table, write_table

log = logging.getLogger(__name__)

EXPLAINED = {
    "corrected": "corrected (the default; a missing prediction has F1 0)",
    "official": "official (as the organiser's program computes it; missing predictions are left out)",
}


@dataclass(frozen=True)
class Case:
    """A true label image and the places where its prediction may be.

    image : for the cue class; None where it is not known
    """

    label: Path
    candidates: tuple[Path, ...]
    source: str
    image: Path | None = None
    partial: bool = False


@dataclass(frozen=True)
class Score:
    """One image at one threshold in one mode; a line of the CSV file.

    prediction : its path, or "" if there is none or it is unusable
    """

    label: str
    source: str
    cue_class: str
    partial: int
    prediction: str
    mode: str
    threshold: float
    tp: int
    fp: int
    fn: int
    precision: float
    recall: float
    f1: float


def cases_from_manifest(manifest: Path, predictions: Path, split: str = "val") -> list[Case]:
    """The labelled images of one split; raises as `training.manifest.read_manifest`."""
    records = read_manifest(manifest, split)
    places = _candidates([r.image for r in records], predictions)
    return [Case(r.label, places[r.image], r.source, r.image, r.partial) for r in records if r.label]


def cases_from_folder(truth: Path, predictions: Path) -> list[Case]:
    """All *_label.* files under a folder; the source is the name of the sub-folder, "" at the top."""
    labels = {
        path.with_name(path.name.rpartition("_label.")[0] + ".tif"): path for path in sorted(truth.rglob("*_label.*"))
    }
    places = _candidates(labels, predictions)
    return [
        Case(label, places[image], label.parent.name if label.parent != truth else "")
        for image, label in labels.items()
    ]


def _candidates(images: Iterable[Path], predictions: Path) -> dict[Path, tuple[Path, ...]]:
    """Where each image's prediction may be: below its folder's name if it was predicted folder by folder, or at the top
    if all images were predicted in one run, which cannot be if two of them have the same name."""
    images = sorted(set(images))
    uses = Counter(image.name for image in images)
    together = label_names(sorted(Path(name) for name in uses))
    places = {}
    for folder in {image.parent: None for image in images}:
        for image, name in label_names([i for i in images if i.parent == folder]).items():
            at_top = [predictions / f"{together[Path(image.name)]}{LABEL_SUFFIX}"] if uses[image.name] == 1 else []
            places[image] = (predictions / folder.name / f"{name}{LABEL_SUFFIX}", *at_top)
    return places


def score_case(case: Case, thresholds: Sequence[float] = (0.5,), modes: Sequence[str] = MODES) -> list[Score]:
    """Scores of one image in every mode and at every threshold; without a usable prediction none in official mode.

    Raises
    ------
    ValueError
        If the truth or the image cannot be read, or a threshold or a mode is unknown. An unusable prediction is logged
        instead.
    """
    truth = read_labels(case.label)
    group = CLASS_NAMES[cue_class(read_image(case.image).pixels, truth)] if case.image else ""
    path, prediction = read_prediction(case, truth.shape)
    scores = []
    for mode in modes:
        if path is None and mode == "official":
            continue
        for threshold, counts in zip(thresholds, score_image(truth, prediction, thresholds, mode)):
            rates = [rate(*counts, mode) if path else 0.0 for rate in (precision, recall, f1_score)]
            scores.append(
                Score(
                    str(case.label),
                    case.source,
                    group,
                    int(case.partial),
                    str(path or ""),
                    mode,
                    threshold,
                    *counts,
                    *rates,
                )
            )
    return scores


def read_prediction(case: Case, shape: tuple[int, int]) -> tuple[Path | None, np.ndarray]:
    """The prediction and its path, or no path and an image without cells."""
    path = next((p for p in case.candidates if p.exists()), None)
    if path is None:
        log.error("%s: no prediction; expected %s", case.label, " or ".join(map(str, case.candidates)))
    else:
        try:
            prediction = read_labels(path)
            if prediction.shape == shape:
                return path, prediction
            log.error(
                "%s: shape %s does not fit the truth's %s in %s; predict this image again",
                path,
                prediction.shape,
                shape,
                case.label,
            )
        except ValueError as error:
            log.error("%s: unusable prediction (%s)", path, error)
    return None, np.zeros(shape, np.uint8)


def table(scores: Sequence[Score], mode: str) -> str:
    """One line each for all images, those with complete labels, every cue class and every source; for people to read.

    F1, its median, precision and recall are at the first threshold; a mean F1 for each further threshold follows.
    """
    scores = [s for s in scores if s.mode == mode]
    thresholds = list(dict.fromkeys(s.threshold for s in scores))
    groups = {"all": scores}
    if any(s.partial for s in scores):
        groups["complete labels"] = [s for s in scores if not s.partial]
    groups |= {f"class {name}": [s for s in scores if s.cue_class == name] for name in CLASS_NAMES}
    groups |= {
        f"source {name}": [s for s in scores if s.source == name] for name in sorted({s.source for s in scores} - {""})
    }
    rows = []
    for name, members in groups.items():
        first = [s for s in members if s.threshold == thresholds[0]]
        if not first:
            continue
        f1, p, r = (np.array([getattr(s, field) for s in first]) for field in ("f1", "precision", "recall"))
        means = {"mean F1": f1.mean(), "median": np.median(f1), "precision": p.mean(), "recall": r.mean()}
        means |= {f"F1@{t:g}": np.mean([s.f1 for s in members if s.threshold == t]) for t in thresholds[1:]}
        rows.append(
            {
                "images of": name,
                "images": len(first),
                "partial": sum(s.partial for s in first),
                "missing": sum(not s.prediction for s in first),
                **{k: f"{value:.4f}" for k, value in means.items()},
            }
        )
    return text_table(rows)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.score", __doc__)
    add = parser.add_argument
    add("truth", type=Path, metavar="TRUTH", help="manifest (CSV) or folder of *_label.* files")
    add("predictions", type=Path, metavar="PREDICTIONS", help="folder of predicted *_label.tiff files")
    add("--split", default="val", help="lines of the manifest to score [val]")
    add(
        "--thresholds",
        type=float,
        nargs="+",
        default=[0.5],
        metavar="IOU",
        help="a match needs at least this IoU [0.5]",
    )
    add("--mode", choices=(*MODES, "both"), default="both", help="[both]")
    add("--csv", type=Path, metavar="FILE", help="write the scores of each image there")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    thresholds = list(dict.fromkeys(args.thresholds))
    modes = MODES if args.mode == "both" else (args.mode,)
    if not args.predictions.is_dir():
        raise ValueError(f"{args.predictions}: no such folder; it must hold the label files that predict.py wrote")
    if args.truth.is_dir():
        cases = cases_from_folder(args.truth, args.predictions)
    else:
        cases = cases_from_manifest(args.truth, args.predictions, args.split)
    results = [score_case(case, thresholds, modes) for case in cases]
    unusable = sum(not rows or not rows[0].prediction for rows in results)
    if unusable == len(results):
        log.error(
            "nothing to score: none of the %d labelled images of %s has a usable prediction in %s",
            len(results),
            args.truth,
            args.predictions,
        )
        return 2
    scores = [score for rows in results for score in rows]
    print("\n\n".join(f"{EXPLAINED[mode]}\n{table(scores, mode)}" for mode in modes))
    if args.csv:
        write_table(args.csv, [asdict(s) for s in scores])
    if unusable:
        log.error("%d of %d images have no usable prediction (named above)", unusable, len(results))
    return 1 if unusable else 0


if __name__ == "__main__":
    raise SystemExit(main())
