"""inference/image/stains.py: when the brown stain is taken away, and what is left."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from skimage.color import combine_stains, rgb_from_hed

from inference.image.forms import normalised_image
from inference.image.normalisation import Normalisation, normalise
from inference.image.stains import WithoutBrown, clearer, hides_nuclei, without_brown
from inference.limits import LIMITS
from inference.reading import read_image
from inference.segmenter import Segmenter
from models.classes import SHIPPED_WEIGHTS, SMALL_COLOUR

TISSUE = Path(__file__).parents[2] / "images" / "immunohistochemistry.png"
NUCLEUS = 16  # diameter in pixels of the larger nuclei in TISSUE, by hand


def stained(haematoxylin=0.0, eosin=0.0, dab=0.0, shape=(40, 60)):
    """Tissue with so much of each stain everywhere."""
    amounts = np.broadcast_to(np.array([haematoxylin, eosin, dab]), (*shape, 3))
    return np.rint(np.clip(combine_stains(amounts, rgb_from_hed), 0, 1) * 255).astype(np.uint8)


def half(left, right):
    return np.concatenate([left, right], axis=1)


def test_brown_goes_and_other_stains_stay():
    assert without_brown(stained(dab=0.08)).min() > 245
    blue = stained(haematoxylin=0.1)
    assert np.abs(without_brown(blue).astype(int) - blue).max() <= 2
    both = without_brown(stained(haematoxylin=0.1, dab=0.06))
    assert np.abs(both.astype(int) - blue).max() <= 8


def test_a_region_is_as_the_whole(monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
    whole, shown = without_brown(pixels), WithoutBrown(pixels)
    assert (shown.shape, shown.ndim, shown.dtype) == ((50, 70, 3), 3, np.uint8)
    np.testing.assert_array_equal(shown[10:20, ::3], whole[10:20, ::3])
    monkeypatch.setattr("inference.image.stains.PIXELS_AT_ONCE", 200)
    np.testing.assert_array_equal(without_brown(pixels), whole)


@pytest.mark.parametrize(
    "pixels, expected",
    [
        (half(stained(), stained(dab=0.08)), True),
        (half(stained(), stained(dab=0.08))[..., 0], False),  # gray
        (half(stained(shape=(40, 300)), stained(dab=0.08, shape=(40, 30))), False),  # a tenth is needed
        (half(stained(), stained(eosin=0.1)), False),
        (half(stained(), stained(haematoxylin=0.1)), False),
        (half(np.zeros((40, 60, 3), np.uint8), np.full((40, 20, 3), (250, 120, 5), np.uint8)), False),  # fluorescence
    ],
)
def test_much_brown_in_bright_light_may_hide_nuclei(pixels, expected):
    assert hides_nuclei(pixels) is expected


@pytest.mark.parametrize(
    "before, without, expected", [(0.1, 0.5, True), (0.5, 0.7, False), (None, 0.4, True), (0.1, None, False)]
)
def test_clearer_is_a_much_better_agreement(before, without, expected):
    assert clearer(without, before) is expected


def test_a_large_image_is_normalised_as_a_small_one():
    pixels = read_image(TISSUE).pixels
    small = normalised_image(pixels, brown=False)
    large = normalised_image(pixels, replace(LIMITS, whole_pixels=1000, band_pixels=20_000), brown=False)
    np.testing.assert_array_equal(large[100:200, 50:150], small[100:200, 50:150])
    assert small.normalisation == large.normalisation
    assert not small.normalisation.brown
    np.testing.assert_array_equal(Normalisation.measure(pixels, brown=False)(pixels), small[:, :])
    assert (small[:, :] != normalise(pixels)).any()


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter.from_folder(SHIPPED_WEIGHTS, "cpu")


def test_nuclei_in_brown_glands_are_found(segmenter):
    found = segmenter.segment(read_image(TISSUE))
    assert not found.plan.brown
    assert found.plan.image_class.name == "small colour"
    assert NUCLEUS / 1.5 < found.plan.diameter < NUCLEUS * 1.5
    areas = np.bincount(found.labels.ravel())[1:]
    assert len(areas) > 100
    assert np.median(areas) < NUCLEUS**2


def test_the_class_alone_is_chosen_as_for_the_labels(segmenter):
    """The router says another class of the image as it is."""
    picture = read_image(TISSUE)
    assert segmenter.route(normalised_image(picture.pixels)).best != SMALL_COLOUR
    assert segmenter.likely_classes(picture)[0] == SMALL_COLOUR


def test_a_class_that_is_given_keeps_the_stain(segmenter):
    assert segmenter.segment(read_image(TISSUE), class_=3).plan.brown
    assert segmenter.segment(read_image(TISSUE), diameter=16.0).plan.brown


def test_only_colours_of_8_bit_are_unmixed(segmenter):
    """Two channels, and other numbers, are looked at as they are, however brown they look."""
    pixels = read_image(TISSUE).pixels
    for other in (pixels[:256, :256, :2], pixels[:256, :256].astype(np.uint16) * 257):
        assert segmenter.segment(replace(read_image(TISSUE), pixels=np.ascontiguousarray(other))).plan.brown
