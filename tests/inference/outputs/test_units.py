"""Areas as people give them."""

import pytest

from inference.outputs.pixel_size import PixelSize
from inference.outputs.units import Area


@pytest.mark.parametrize(
    "text, area",
    [
        ("30", Area(30)),
        ("0.5", Area(0.5)),
        ("12.5um2", Area(12.5, True)),
        ("12 µm²", Area(12, True)),
        ("3um^2", Area(3, True)),
    ],
)
def test_areas(text, area):
    assert Area.parse(text) == area


@pytest.mark.parametrize("text", ["", "-3", "3 um", "3mm2", "many", "1e3"])
def test_what_is_no_area(text):
    with pytest.raises(ValueError, match="no area.*30.*12.5um2"):
        Area.parse(text)


def test_pixels():
    assert Area(12, True).in_pixels(PixelSize(0.5, 0.25)) == 96
    assert Area(12).in_pixels(None) == 12
    with pytest.raises(ValueError, match="no pixel size.*12 µm².*in pixels"):
        Area(12, True).in_pixels(None)
