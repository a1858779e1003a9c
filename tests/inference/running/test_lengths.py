"""Diameters in pixels and micrometres."""

import numpy as np
import pytest

from inference.reading import ImageError, Picture
from inference.running.lengths import Length, parse_length

PICTURE = Picture(np.zeros((4, 4), np.uint8), "YX", pixel_size=(0.25, 1.0))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("28", Length(28)),
        ("28.5 px", Length(28.5)),
        ("12um", Length(12, True)),
        ("12 µm", Length(12, True)),
        ("0.8UM", Length(0.8, True)),
    ],
)
def test_parsing(text, expected):
    assert parse_length(text) == expected


@pytest.mark.parametrize(
    "text", ["0", "0.5", "", "um", "-3", "1.2.3", "12 inch", "0um", "inf", "nan", "1e300", "9" * 300, "9" * 99 + "um"]
)
def test_wrong(text):
    with pytest.raises(ValueError, match="--diameter .*expected 1 to 100000 pixels"):
        parse_length(text)


def test_pixels():
    assert parse_length("12um").pixels("a.tif", PICTURE) == 24, "of the area that a pixel has"
    assert parse_length("12").pixels("a.tif", PICTURE) == 12
    assert parse_length("0.1um").pixels("a.tif", PICTURE) == 1
    with pytest.raises(ImageError, match=r"a\.tif: .*size of its pixels.*--diameter in pixels"):
        parse_length("12um").pixels("a.tif", Picture(np.zeros((4, 4), np.uint8), "YX"))


def test_a_pixel_size_that_makes_it_too_long():
    tiny = Picture(np.zeros((4, 4), np.uint8), "YX", pixel_size=(1e-4, 1e-4))
    assert parse_length("10um").pixels("a.tif", tiny) == pytest.approx(100_000)
    with pytest.raises(ImageError, match=r"a\.tif: 11 µm are 110000 of its pixels, more than 100000"):
        parse_length("11um").pixels("a.tif", tiny)
