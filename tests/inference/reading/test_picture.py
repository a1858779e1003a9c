"""Pictures and images as reading gives them: what is said of them, and the names of planes."""

import numpy as np
import pytest

from inference.reading.picture import Image, Picture

PICTURE = Picture(np.zeros((20, 30, 3), np.uint8), "YXS (RGB)", format="TIFF")


def test_a_picture_says_how_it_was_read():
    assert PICTURE.shape == (20, 30)
    assert PICTURE.reading == "TIFF, YXS (RGB), 30x20 pixels of uint8"
    sized = Picture(np.zeros((20, 30), np.uint16), "YX", pixel_size=(0.5, 0.12345), format="CZI")
    assert sized.reading == "CZI, YX, 30x20 pixels of uint16, 0.1235 µm a pixel"


@pytest.mark.parametrize(
    "stack, axes, suffixes",
    [
        ((), "", [""]),
        ((3,), "Z", ["_z1", "_z2", "_z3"]),
        ((2, 3), "TZ", ["_t1_z1", "_t1_z2", "_t1_z3", "_t2_z1", "_t2_z2", "_t2_z3"]),
    ],
)
def test_names_of_planes(stack, axes, suffixes):
    image = Image("", "", stack, axes, (PICTURE,) * len(suffixes), lambda view: view)
    assert [image.plane_suffix(number) for number in range(len(suffixes))] == suffixes


def test_planes_are_loaded_one_by_one_when_they_are_asked_for():
    loaded = []
    views = tuple(Picture(np.full((1, 1), n, np.uint8), "YX") for n in range(3))
    image = Image("_s1", "a", (3,), "Z", views, lambda view: loaded.append(int(view.pixels[0, 0])) or view)
    assert loaded == []
    image.open(0)
    assert loaded == [0]
    assert image.open(2) is views[2]
    assert loaded == [0, 2]
