"""Pixel sizes."""

import pytest

from inference.outputs.pixel_size import PixelSize


@pytest.mark.parametrize(
    "resolution, size",
    [
        (((20_000.0, 40_000.0), 3), (0.5, 0.25)),
        (((25_400.0, 25_400.0), 2), (1, 1)),
        (((72.0, 72.0), 1), None),
        (((0.0, 0.0), 3), None),
        (None, None),
    ],
)
def test_of_resolution(resolution, size):
    assert PixelSize.of_resolution(resolution) == size


def test_square_pixels_have_a_side():
    assert PixelSize(0.5, 0.501).side == 0.501 and PixelSize(0.5, 0.6).side is None and PixelSize(0.5, 0.25).area == 0.125
