"""Normalised images in their forms: region by region gives what the whole image gives."""

import math

import numpy as np
import pytest
from pictures import SMALL, picture, regions

from inference.image.forms import LONGEST_OVERVIEW, LargeImage, Mirrored, NormalisedImage, normalised_image
from inference.image.normalisation import normalise
from inference.limits import LIMITS

GRAY = np.random.default_rng(0).integers(1, 250, (20, 30), np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(1, 1500), (1500, 1), (61, 47), (61, 47, 2), (61, 47, 3), (400, 33, 3)])
def test_regions_of_a_large_image_are_those_of_the_whole(dtype, shape):
    pixels = picture(shape, dtype)
    expected = normalise(pixels)
    image = normalised_image(regions(pixels), SMALL)
    assert isinstance(image, LargeImage)
    assert image.shape == shape[:2]
    assert np.array_equal(image[:, :], expected)
    height, width = shape[:2]
    middle = slice(height // 3, height // 3 + 50), slice(width // 4, 900)
    for rows, columns in ((slice(0, 1), slice(0, 1)), middle, (slice(height - 1, None), slice(None))):
        assert np.array_equal(image[rows, columns], expected[rows, columns])


@pytest.mark.parametrize("shape", [(100, 130), (33, 500, 3), (16, 100), (64, 64, 3)])
def test_overview_is_the_image_in_small(shape):
    """Means over squares; rows and columns that are left over do not count."""
    image = normalised_image(regions(picture(shape, np.uint8)), SMALL)
    n = image.reduction
    assert n == max(1, min(shape[:2]) // 16)
    whole = image[:, :].astype(float)
    height, width = (side // n for side in shape[:2])
    means = whole[: height * n, : width * n].reshape(height, n, width, n, -1).mean(axis=(1, 3))
    assert image.overview.shape == (height, width, *shape[2:])
    assert np.abs(image.overview.reshape(means.shape) - means).max() <= 0.6


def test_the_overview_of_a_long_image_does_not_grow_with_it():
    image = normalised_image(regions(picture((20, 100_000), np.uint8)), SMALL)
    assert math.prod(image.overview.shape) <= LONGEST_OVERVIEW * SMALL.overview_side**2


def test_a_small_image_is_its_own_overview():
    image = normalised_image(GRAY)
    assert image.reduction == 1
    assert np.array_equal(image.overview, normalise(GRAY))
    assert image[2:5, 3:4].shape == (3, 1)
    array = NormalisedImage(GRAY)
    assert np.array_equal(array[:, :], GRAY)
    assert array.overview is not None
    assert array.reduction == 1


@pytest.mark.parametrize("down, right", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("large", [False, True])
def test_mirrored(down, right, large):
    pixels = np.random.default_rng(0).integers(1, 256, (40, 52, 3)).astype(np.uint8)
    image = normalised_image(pixels, SMALL if large else LIMITS)
    ways = slice(None, None, -1 if down else 1), slice(None, None, -1 if right else 1)
    mirrored, expected = Mirrored(image, down, right), image[:, :][ways]
    assert (mirrored.shape, mirrored.gray, mirrored.reduction) == (image.shape, image.gray, image.reduction)
    for region in (np.s_[:, :], np.s_[3:17, 20:52], np.s_[5:, :7], np.s_[:40:3, 1:50:4]):
        np.testing.assert_array_equal(mirrored[region], expected[region])
    np.testing.assert_array_equal(mirrored.overview, image.overview[ways])
    assert mirrored.overview.flags.c_contiguous
    assert mirrored[3:17, 20:52].flags.c_contiguous
