"""Few bright cells on a dark background have the contrast, not its noise."""

import numpy as np
import pytest

from inference.image.normalisation import Normalisation, normalise
from inference.image.sparse import reaching_up

RNG = np.random.default_rng(0)


def field(cells, level=3000.0, noise=20.0, ground=400.0, side=500):
    """Noise, and disks of some 200 pixels in it."""
    image = RNG.normal(ground, noise, (side, side))
    y, x = np.mgrid[:side, :side]
    for k in range(cells):
        top, left = 30 + 55 * (k // 8), 30 + 55 * (k % 8)
        image[(y - top) ** 2 + (x - left) ** 2 < 64] += level
    return image


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("cells", [1, 5])
def test_the_contrast_reaches_up_to_the_cells(dtype, cells):
    image = field(cells).clip(1).astype(dtype)
    (low, high), *_ = Normalisation.measure(image).ends
    assert 300 < low < 400
    assert 3000 < high < 3500
    shown = normalise(image)
    assert shown[30, 30] > 200
    assert np.percentile(shown, 90) < 20


def test_an_image_in_one_channel_of_three_is_treated_alike():
    image = field(3).astype(np.uint16)
    assert Normalisation.measure(np.stack([image] * 3, axis=2)).ends == Normalisation.measure(image).ends


def test_each_channel_reaches_up_to_its_own_cells():
    """Two dyes: few cells have the one, many the other."""
    few, many = field(3), field(40, level=900.0)
    (_, first), (_, second) = Normalisation.measure(np.stack([few, many], axis=2).clip(1).astype(np.uint16)).ends
    assert 3000 < first < 3500
    assert 1200 < second < 1500


def test_a_large_image_is_looked_at_in_part():
    image = field(5, side=2500).clip(1).astype(np.uint16)
    assert 3000 < Normalisation.measure(image).ends[0][1] < 3500


@pytest.mark.parametrize(
    "image",
    [
        field(40),  # more than a hundredth: the percentile is theirs
        field(0),
        field(5, level=70),  # hardly above the noise
        field(5, ground=6000),  # of transmitted light
        np.zeros((50, 50)),
        np.full((50, 50), 7.0),
    ],
    ids=["many", "none", "dim", "bright ground", "black", "flat"],
)
def test_others_keep_their_end(image):
    pixels = image[image != 0]
    high = float(np.percentile(pixels, 99)) if pixels.size else 0.0
    assert reaching_up(image.astype(np.uint16), high) == high


def test_hot_pixels_are_no_cells():
    image = field(0)
    image[::50, ::50] = 60_000
    high = float(np.percentile(image, 99))
    assert reaching_up(image.astype(np.uint16), high) == high
