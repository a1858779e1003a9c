"""What the whole program finds in one's own images, as predict.py would, and how much of it is right."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from inference.segmenter import Segmenter
from training.measure.cases import Case
from training.measure.f1 import f1_score, remove_border, score_image
from training.measure.judging import Judged, judge_cells
from training.own.collection import OwnImage
from training.validation import without_unlabelled

LIKELY = 0.1  # probability


@dataclass(frozen=True)
class Found:
    """What was found in an image.

    labels : (H, W) int32; beside the labelled cells nothing, where only some of them are labelled
    class_ : whose network ran; None for labels of another program
    own : whether that was the one fine-tuned on images of one's own
    """

    image: OwnImage
    labels: np.ndarray
    class_: int | None
    own: bool = False

    @property
    def f1(self) -> float:
        """At IoU 0.5, by the challenge's rules."""
        return f1_score(*score_image(self.image.labels, self.labels)[0])

    def judged(self, title: str = "") -> Judged:
        """The cells with what became of them, for tables and pictures, whose captions begin with the title."""
        case = Case(self.image.label, (), title, self.image.image, self.image.partial)
        return Judged(case, *judge_cells(remove_border(self.image.labels), remove_border(self.labels)))


def find_cells(segmenter: Segmenter, images: Iterable[OwnImage], class_: int | None = None) -> list[Found]:
    """Segment images as predict.py does; `class_` as its --route."""
    found = []
    with logging_redirect_tqdm():
        for image in tqdm(images, desc="segmenting", unit="image", disable=None, leave=False):
            result = segmenter.segment(image.picture, class_=class_)
            labels = result.labels
            if image.partial:
                labels = without_unlabelled(labels, image.labels)
            found.append(Found(image, labels, result.plan.image_class.number, result.plan.own))
    return found


def classes_of(
    segmenter: Segmenter, images: Iterable[OwnImage], class_: int | None = None
) -> Mapping[str, tuple[int, ...]]:
    """By the images' names, the class whose network predict.py would run, and those that the router found LIKELY, too:
    to their networks a like image may go.
    """
    return {i.name: segmenter.likely_classes(i.picture, LIKELY) if class_ is None else (class_,) for i in images}


def mean_f1(found: Iterable[Found]) -> float:
    """Mean over the images; nan without any."""
    scores = [f.f1 for f in found]
    return float(np.mean(scores)) if scores else float("nan")
