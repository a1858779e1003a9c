"""True label images, and the predictions that belong to them."""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.outputs.label_tiff import LABEL_SUFFIX
from inference.running.naming import label_names
from training.images.datasets import read_labels
from training.images.manifest import read_manifest

log = logging.getLogger(__name__)


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


def cases_from_manifest(manifest: Path, predictions: Path, split: str = "val") -> list[Case]:
    """The labelled images of one split; raises as `training.images.manifest.read_manifest`."""
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
