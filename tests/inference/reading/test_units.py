"""Lengths as file formats write them, in micrometres."""

import pytest

from inference.reading.units import is_plausible, micrometres


@pytest.mark.parametrize(
    "length, unit, expected",
    [
        (2, "µm", 2),  # the micro sign
        (2, "μm", 2),  # the Greek letter
        ("0.5", " Micron ", 0.5),
        (250, "nm", 0.25),
        (5000, "Å", 0.5),
        (0.001, "mm", 1),
        (1, "inch", 25_400),
        (1e-6, "m", 1),
    ],
)
def test_lengths(length, unit, expected):
    assert micrometres(length, unit) == pytest.approx(expected)


@pytest.mark.parametrize(
    "length, unit",
    [(1, "pixel"), (1, ""), (0, "µm"), (-1, "µm"), ("x", "µm"), (None, "µm"), (float("inf"), "µm"), ("nan", "µm")],
)
def test_what_is_no_length(length, unit):
    assert micrometres(length, unit) is None


@pytest.mark.parametrize(
    "size, plausible", [((0.5, 0.25), True), ((1e-4, 1e5), True), ((0.5, 1e-5), False), ((2e5, 0.5), False)]
)
def test_plausible_pixels(size, plausible):
    assert is_plausible(size) == plausible
