"""training.own.scoring: what is found beside what is true, with networks that answer what they are told."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from models.classes import CLASSES
from training.own.collection import OwnImage
from training.own.scoring import Found, classes_of, find_cells, mean_f1
from training.readers.label_images import RawLabels


def own(tmp_path, labels, partial=False):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros(labels.shape, np.uint8))
    return OwnImage(path, Path("a_label.png"), "a", "a", RawLabels(labels.astype(np.uint16)), partial)


@pytest.fixture
def truth():
    labels = np.zeros((30, 30), int)
    labels[5:10, 5:10], labels[15:20, 15:20] = 1, 2
    return labels


class Answers:
    """A segmenter that finds the labels given."""

    def __init__(self, labels):
        self.labels, self.asked = labels, []

    def segment(self, picture, *, class_):
        self.asked.append(class_)
        number = 3 if class_ is None else class_
        return SimpleNamespace(labels=self.labels, plan=SimpleNamespace(image_class=CLASSES[number], own=False))

    def likely_classes(self, picture, least):
        return (2, 3) if least <= 0.1 else (2,)


def test_f1_counts_what_was_found(tmp_path, truth):
    image = own(tmp_path, truth)
    half = np.where(truth == 2, 0, truth)
    assert Found(image, truth, 0).f1 == 1
    assert Found(image, half, 0).f1 == pytest.approx(2 / 3)
    assert mean_f1([Found(image, truth, 0), Found(image, half, 0)]) == pytest.approx(5 / 6)
    assert np.isnan(mean_f1([]))


def test_beside_the_labelled_cells_nothing_counts_where_only_some_are_labelled(tmp_path, truth):
    half = np.where(truth == 2, 0, truth)
    (partly,) = find_cells(Answers(truth), [own(tmp_path, half, partial=True)])
    (wholly,) = find_cells(Answers(truth), [own(tmp_path, half)])
    assert (partly.f1, wholly.f1) == (1, pytest.approx(2 / 3))


def test_the_class_is_the_routers_or_the_one_given(tmp_path, truth):
    image = own(tmp_path, truth)
    segmenter = Answers(truth)
    assert [f.class_ for c in (None, 1) for f in find_cells(segmenter, [image], c)] == [3, 1]
    assert segmenter.asked == [None, 1]
    assert classes_of(segmenter, [image]) == {"a": (2, 3)}
    assert classes_of(segmenter, [image], 0) == {"a": (0,)}


def test_cells_are_judged_without_those_at_the_border(tmp_path, truth):
    truth[0:4, 0:4] = 3
    judged = Found(own(tmp_path, truth), truth, 0).judged("before")
    assert judged.counts["found"] == 2
    assert judged.case.source == "before"
