"""Normalising: the rule, whatever the image is stored as."""

from dataclasses import replace

import numpy as np
import pytest
from pictures import SMALL, picture, regions

from inference.image.forms import normalised_image, to_three_channels
from inference.image.normalisation import Normalisation, bands, every_nth, normalise
from inference.limits import LIMITS, Limits

RNG = np.random.default_rng(0)
GRAY = RNG.integers(1, 250, (20, 30), np.uint8)


def slow_normalise(channel):
    """The rule as numpy states it."""
    values = channel.astype(np.float64)
    low, high = np.percentile(values[values != 0], (1, 99))
    return (np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_normalise_is_the_rule_for_every_dtype(dtype):
    channel = RNG.integers(90, 120, (61, 47)).astype(dtype) * (1 if dtype == np.uint8 else 9)
    channel[20:40, 10:30] //= 3  # something to see; noise alone would become 0
    difference = normalise(channel).astype(int) - slow_normalise(channel)
    assert np.abs(difference).max() <= (0 if dtype in (np.uint8, np.uint16) else 1)  # float32 rounds once more


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32])
def test_the_lowest_of_a_few_levels_is_not_nothing(dtype):
    """As of counted photons; where there are more levels it is that of the background."""
    few = np.repeat(np.arange(6, dtype=dtype), 40)[None].repeat(40, 0)
    many = np.repeat(np.arange(40, dtype=dtype), 6)[None].repeat(40, 0)
    assert np.unique(normalise(few)[few == 1]).tolist() == [51]
    assert np.unique(normalise(many)[many == 1]).tolist() == [0]


@pytest.mark.parametrize("dtype, fill", [(np.int16, -32768), (np.float32, -9999)])
def test_a_number_for_no_data_takes_no_contrast(dtype, fill):
    image = RNG.integers(90, 3000, (60, 60)).astype(dtype)
    image[20:40, 10:30] = 9000
    filled = image.copy()
    filled[:5] = fill
    assert np.abs(normalise(filled)[5:].astype(int) - normalise(image)[5:]).max() <= 1
    assert normalise(filled)[:5].max() == 0
    negative = image - dtype(4000)  # no such number: they lie close together
    assert np.abs(normalise(negative).astype(int) - normalise(image)).max() <= 1


def test_normalise_literal():
    channel = np.array([[0, 10, 20, 30]], np.uint8)  # non-zero percentiles 1 and 99: 10.2 and 29.8
    assert normalise(channel).tolist() == [[0, 0, 127, 255]]


def test_normalise_special_images():
    assert normalise(np.zeros((3, 4), np.uint16)).tolist() == np.zeros((3, 4)).tolist()
    assert normalise(np.full((30, 40), 9, np.uint8)).max() == 0
    holes = np.array([[np.nan, 1, 2, 3, np.inf, -np.inf]], np.float32)
    assert normalise(holes)[0, [0, 3, 4, 5]].tolist() == [0, 255, 0, 0]
    equal = np.repeat(GRAY[:, :, None], 3, axis=2)
    assert np.array_equal(normalise(equal), normalise(GRAY))
    two = normalise(np.dstack((GRAY, GRAY[::-1])))
    assert two.shape == (20, 30, 3)
    assert two[..., 2].max() == 0
    assert np.array_equal(two[..., 0], normalise(GRAY))
    assert to_three_channels(GRAY).shape == (20, 30, 3)


def test_a_mask_is_shown_as_it_is():
    """All pixels that are not 0 are alike, in every number format; two hues of them stay two."""
    mask = np.zeros((60, 60), np.uint8)
    mask[10:30, 10:30] = 1
    for dtype, value in ((np.uint8, 255), (np.uint8, 1), (np.uint16, 4000), (np.float32, 0.5), (np.int16, -7)):
        assert np.array_equal(normalise((mask * np.array(value)).astype(dtype)) > 0, (mask > 0) == (value > 0))


def test_one_hue_is_gray_to_the_pixel():
    """A dark image in one hue is what its brightest channel is alone; noise in an empty channel is not shown beside two
    others.
    """
    gray = np.zeros((80, 80), np.uint8)
    gray[20:40, 20:40], gray[50:60, 10:30] = 180, 90
    gray += RNG.integers(0, 20, gray.shape, np.uint8)
    hue = np.dstack((gray // 4, gray, np.zeros_like(gray)))
    assert np.array_equal(normalise(hue), normalise(gray))
    two = normalise(np.dstack((gray, RNG.integers(0, 9, gray.shape, np.uint8), gray.T)))
    assert two.shape == (80, 80, 3)
    assert two[..., 1].max() == 0
    assert np.array_equal(two[..., 0], normalise(gray))


def test_normalise_counts_exactly_above_2_to_the_24_pixels():
    image = np.full((4097, 4096), 7, np.uint8)
    image[:50] = 200
    assert np.array_equal(normalise(image)[[0, 60]], [[255] * 4096, [0] * 4096])


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float16, np.float32, np.float64])
def test_percentiles_of_a_large_image_of_other_numbers_come_from_a_sample(dtype):
    """Of the 16,000 pixels every fourth row and column is looked at: off by less than a few levels, and the same in
    every region.
    """
    pixels = picture((125, 128), dtype)
    image = normalised_image(regions(pixels), SMALL)
    expected = normalise(pixels).astype(int)
    assert 0 < np.abs(image[:, :] - expected).max() <= 12
    assert np.abs(image[:, :] - expected).mean() < 4
    assert np.array_equal(image[30:77, 11:99], image[:, :][30:77, 11:99])


def test_a_gray_image_stored_as_colour_is_gray_when_large_too():
    pixels = np.repeat(picture((60, 50), np.uint8)[:, :, None], 3, axis=2)
    assert normalised_image(regions(pixels), SMALL)[:, :].shape == (60, 50)
    pixels[:] = 255 - pixels // 4  # a bright background; one hue on a dark one would be gray too
    pixels[59, 49, 2] ^= 1  # the last pixel of the last band
    assert normalised_image(regions(pixels), SMALL)[:, :].shape == (60, 50, 3)


def test_the_histogram_is_counted_over_all_bands():
    """As if in one piece, for any height of the bands."""
    pixels = picture((301, 70, 3), np.uint16)
    expected = Normalisation.measure(pixels)
    for band in (1, 70, 500, 7000):
        limits = Limits(band_pixels=band)
        assert Normalisation.measure(pixels, limits) == expected
        assert np.array_equal(np.concatenate(list(bands(pixels, limits))), pixels)


@pytest.mark.parametrize("rows", [290, 297])
def test_noise_is_nothing_wherever_a_band_ends(rows):
    noise = np.random.default_rng(0).normal(100, 5, (rows, 300)).round().astype(np.uint16)
    assert Normalisation.measure(noise, replace(LIMITS, band_pixels=290 * 300)).ends == ((0.0, 0.0),)


def test_what_is_no_number_is_dark():
    pixels = np.linspace(-1, -0.1, 4000, dtype=np.float32).reshape(40, 100)
    pixels[:, :5] = np.nan
    assert not normalise(pixels)[:, :5].any()


def test_few_pixels_of_a_long_image_tell_its_hue():
    assert every_nth((300, 300), 256) == 1
    assert every_nth((2830, 2830, 3), 256) == 11
    assert 300 * 2_000_000 / every_nth((300, 2_000_000, 3), 256) ** 2 <= 2**20
