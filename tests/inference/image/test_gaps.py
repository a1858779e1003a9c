"""inference.image.gaps: which cells are dark gaps between bright things."""

import numpy as np
import pytest

from inference.image.gaps import gaps, ground

GAP, CELL, TOUCHING, DIM = 1, 2, 3, 4


@pytest.fixture
def with_a_gap():
    """A gray image of ground 20 with a gap, a cell, one that touches it, and one that is dim, yet brighter than what
    lies around it; and their labels."""
    image, labels = np.full((64, 64), 20, np.uint8), np.zeros((64, 64), np.int32)
    for number, (y, x), level in ((GAP, (5, 5), 4), (CELL, (5, 30), 200), (TOUCHING, (5, 42), 90), (DIM, (40, 40), 15)):
        labels[y : y + 12, x : x + 12] = number
        image[y : y + 12, x : x + 12] = level
    image[30:, 30:] = np.where(labels[30:, 30:] == DIM, image[30:, 30:], 8)
    return image, labels


@pytest.mark.parametrize("level, found", [(0, None), (1, 1.0), (54, 54.0), (55, None), (200, None)])
def test_ground(level, found):
    """Half a bright image is not dark, and nothing is darker than black."""
    assert ground(np.full((8, 8), level, np.uint8)) == found


def test_the_brightest_channel_is_the_ground():
    image = np.zeros((8, 8, 3), np.uint8)
    image[..., 1] = 30
    assert ground(image) == 30


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_gaps_are_darker_than_the_ground_and_than_what_is_around(with_a_gap, channels):
    image, labels = with_a_gap
    if channels:
        image = np.stack([image, *(channels - 1) * [np.zeros_like(image)]], axis=2)
    assert gaps(labels, image, 20.0).tolist() == [GAP]


def test_what_lies_around_counts(with_a_gap):
    """The dim cell in darker surroundings is none, and is one as soon as these are brighter."""
    image, labels = with_a_gap
    image[30:, 30:] = np.where(labels[30:, 30:] == DIM, 15, 25)
    assert gaps(labels, image, 20.0).tolist() == [GAP, DIM]


def test_cells_without_background_beside_them_are_no_gaps(with_a_gap):
    """As in a confluent layer: half of the cells are darker than the median."""
    image, labels = with_a_gap
    assert gaps(np.where(labels == 0, CELL, labels), image, 250.0).size == 0
    assert gaps(np.ones((16, 16), np.int32), np.zeros((16, 16), np.uint8), 20.0).size == 0


def test_no_cells():
    assert gaps(np.zeros((16, 16), np.int32), np.zeros((16, 16), np.uint8), 20.0).size == 0


def test_labels_may_be_counted_in_parts(with_a_gap, monkeypatch):
    image, labels = with_a_gap
    monkeypatch.setattr("inference.image.gaps.MOST_PIXELS", 100)
    assert gaps(labels, image, 20.0).tolist() == [GAP]
