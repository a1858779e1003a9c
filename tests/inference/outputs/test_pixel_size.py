"""Pixel sizes."""

import numpy as np

from inference.outputs.pixel_size import PixelSize
from inference.reading import Picture


def test_of_a_picture():
    pixels = np.zeros((2, 2), np.uint8)
    assert PixelSize.of(Picture(pixels, "YX", pixel_size=(0.5, 0.25))) == PixelSize(0.5, 0.25)
    assert PixelSize.of(Picture(pixels, "YX")) is None


def test_square_pixels_have_a_side():
    assert PixelSize(0.5, 0.501).side == 0.501
    assert PixelSize(0.5, 0.6).side is None
    assert PixelSize(0.5, 0.25).area == 0.125
