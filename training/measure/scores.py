"""Scores of predictions by the challenge's rules, image by image, and a table of them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import numpy as np
from tqdm import tqdm

from training.images.cues import CLASS_NAMES, cue_class
from training.images.datasets import load_sample, read_labels
from training.images.manifest import Record
from training.measure.cases import Case, cases_from_manifest, read_prediction
from training.measure.f1 import MODES, f1_score, precision, recall, score_image
from training.readers.listing import read_pixels
from training.tables import text_table
from training.validation import f1_to_truth

log = logging.getLogger(__name__)

EXPLAINED = {
    "corrected": "corrected (the default; a missing prediction has F1 0)",
    "official": "official (as the organiser's program computes it; missing predictions are left out)",
}


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


def score_case(case: Case, thresholds: Sequence[float] = (0.5,), modes: Sequence[str] = MODES) -> list[Score]:
    """Scores of one image in every mode and at every threshold; without a usable prediction none in official mode.

    Raises ValueError if the truth or the image cannot be read, or a threshold or a mode is unknown. An unusable
    prediction is logged instead.
    """
    truth = read_labels(case.label)
    group = CLASS_NAMES[cue_class(read_pixels(case.image), truth)] if case.image else ""
    path, prediction = read_prediction(case, truth.shape)
    names = str(case.label), case.source, group, int(case.partial), str(path or "")
    scores = []
    for mode in modes:
        if path is None and mode == "official":
            continue
        for threshold, counts in zip(thresholds, score_image(truth, prediction, thresholds, mode)):
            rates = [rate(*counts, mode) if path else 0.0 for rate in (precision, recall, f1_score)]
            scores.append(Score(*names, mode, threshold, *counts, *rates))
    return scores


def score_table(scores: Sequence[Score], mode: str) -> str:
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
        means = {"mean F1": mean(s.f1 for s in first), "median F1": median(s.f1 for s in first)}
        means |= {"precision": mean(s.precision for s in first), "recall": mean(s.recall for s in first)}
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


def score_predictions(manifest: Path, records: list[Record], folder: Path) -> list[float | None]:
    """F1 of each image of split "val", by a folder of predictions; None where there is no usable one, which the log
    names.

    Raises ValueError if there is no such folder, or no usable prediction in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; make it with python -m training.label")
    cases = {case.label: case for case in cases_from_manifest(manifest, folder)}
    scores: list[float | None] = []
    for record in tqdm(records, desc=folder.name, unit="image", disable=None):
        truth = load_sample(record).labels
        path, prediction = read_prediction(cases[record.label], truth.shape)
        scores.append(f1_to_truth(record, truth, prediction) if path else None)
    if missing := scores.count(None):
        if missing == len(scores):
            raise ValueError(f"{folder}: has no usable prediction of any of the {missing} images; run training.label")
        log.error("%s: %d of %d images have no usable prediction (named above)", folder, missing, len(scores))
    return scores
