"""training.images.cues on literal images."""

import numpy as np
import pytest

from inference.routing import GRAY_SATURATION
from training.images.cues import CELL_AREA, VALUE_HIGH, VALUE_LOW, Cues, cue_class, decide, measure_cues

NO_CELLS = np.zeros((4, 4), np.uint16)


def colour(*rgb, shape=(4, 4), dtype=np.uint8):
    return np.full((*shape, 3), rgb, dtype)


def cell_of(area, side=100):
    """One cell of `area` pixels."""
    labels = np.zeros(side * side, np.uint16)
    labels[:area] = 7
    return labels.reshape(side, side)


@pytest.mark.parametrize(
    ("pixels", "saturation", "value"),
    [
        (colour(51, 51, 51), 0, 0.2),
        (colour(255, 51, 51), 0.8, 1),  # S = (max - min) / max, V = max
        (colour(65535, 13107, 13107, dtype=np.uint16), 0.8, 1),
        (colour(0.5, 0.25, 0.25, dtype=np.float32), 0.5, 0.5),
        (np.concatenate([colour(255, 0, 0), colour(0, 0, 0)]), 0.5, 0.5),
    ],
)
def test_saturation_and_value(pixels, saturation, value):
    cues = measure_cues(pixels, np.zeros(pixels.shape[:2], np.uint8))
    assert cues.channels == 3
    assert (cues.saturation, cues.value) == pytest.approx((saturation, value), abs=1e-6)


def test_the_largest_cell_is_measured_in_pixels():
    labels = np.array([[0, 5, 5, 5], [2, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
    assert measure_cues(colour(9, 9, 9), labels).largest_cell == 3
    assert measure_cues(colour(9, 9, 9), NO_CELLS).largest_cell == 0


@pytest.mark.parametrize(
    ("pixels", "labels", "expected"),
    [
        (np.zeros((4, 4), np.uint8), NO_CELLS, 0),
        (np.zeros((100, 100, 2), np.uint16), cell_of(9000), 0),
        (colour(90, 90, 90), NO_CELLS, 1),
        (colour(90, 90, 90, shape=(100, 100)), cell_of(9000), 1),  # gray comes before the size of the cells
        (colour(200, 200, 200), NO_CELLS, 3),  # bright
        (colour(10, 10, 10), NO_CELLS, 3),  # dark
        (colour(120, 90, 90), NO_CELLS, 3),
        (colour(120, 90, 90, shape=(100, 100)), cell_of(9000), 2),
    ],
)
def test_classes(pixels, labels, expected):
    assert cue_class(pixels, labels) == expected


def test_thresholds_belong_to_gray_and_to_small():
    for value in (VALUE_LOW, VALUE_HIGH):
        assert decide(Cues(3, GRAY_SATURATION, value, CELL_AREA))[0] == 1
    assert decide(Cues(3, GRAY_SATURATION + 1e-6, VALUE_HIGH, CELL_AREA))[0] == 3
    assert decide(Cues(3, GRAY_SATURATION, VALUE_HIGH + 1e-6, CELL_AREA))[0] == 3
    assert decide(Cues(3, GRAY_SATURATION, VALUE_LOW - 1e-6, CELL_AREA + 1))[0] == 2


def test_the_deciding_rule_in_words():
    assert decide(Cues(1, None, None, 9000))[1] == "fewer than 3 channels"
    assert decide(Cues(3, 0.05, 0.3, 9000))[1] == "gray: mean S at most 0.1, mean V from 0.1 to 0.6"
    assert decide(Cues(3, 0.4, 0.3, 9000))[1] == "colour: mean S above 0.1; largest cell above 8000 px"
    assert decide(Cues(3, 0.05, 0.9, 80))[1] == "colour: mean V outside 0.1 to 0.6; largest cell at most 8000 px"
