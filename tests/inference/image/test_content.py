"""inference.image.content: the part of an image that shows something."""

import numpy as np
import pytest
from embedded import RNG, cells, surrounded

from inference.image.content import Cutout, content_box, within
from inference.image.forms import normalised_image
from inference.image.normalisation import normalise


@pytest.mark.parametrize("ground, deviation", [(0, 0), (250, 0), (40, 2), (60, 20)])
@pytest.mark.parametrize("top, left", [(150, 260), (0, 0), (340, 400)])
def test_the_box_holds_the_content_and_little_more(ground, deviation, top, left):
    rows, columns = content_box(normalise(surrounded(cells(160, 240), ground, deviation, top, left)))
    assert rows.start <= top
    assert rows.stop >= top + 160
    assert columns.start <= left
    assert columns.stop >= left + 240
    assert rows.stop - rows.start <= 160 + 50
    assert columns.stop - columns.start <= 240 + 50


def test_a_full_image_has_no_box():
    for image in (cells(200, 300), np.zeros((200, 300), np.uint8), RNG.integers(0, 255, (200, 300, 3), np.uint8)):
        assert content_box(image) is None


def test_a_busy_surrounding_is_no_surrounding():
    """A crowd in the middle of fewer and fainter cells: these are content as well."""
    image = cells(500, 640) // 3
    image[150:310, 260:500] = cells(160, 240)
    assert content_box(normalise(image)) is None


def test_a_few_things_far_apart_are_no_content():
    """In noise: what lies between them is as empty as what lies around them."""
    image = surrounded(np.full((1, 1), 100, np.uint8), 100, 20)
    for y, x in ((150, 260), (300, 480), (160, 490), (290, 270)):
        image[y : y + 16, x : x + 16] = 250
    assert content_box(normalise(image)) is None


def test_dust_does_not_widen_the_box():
    image = surrounded(cells(160, 240), 0)
    image[20:23, 20:23] = 255
    rows, columns = content_box(normalise(image))
    assert rows.start > 100
    assert columns.start > 200


@pytest.mark.parametrize("side", ["start", "stop"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("pixels, level", [(3, 200), (6, 60)])
def test_the_border_of_the_box_cuts_no_cell(axis, side, pixels, level):
    """One by itself, as small as a speck or dim, where the border would be, beside a round heap of others."""
    y, x = np.mgrid[:500, :640]
    image = np.where((y - 240) ** 2 + (x - 330) ** 2 < 100**2, cells(500, 640), 40).astype(np.uint8)
    border = getattr(content_box(image)[axis], side)
    place = [slice(312, 312 + 2 * pixels), slice(402, 402 + 2 * pixels)]
    place[axis] = slice(border - pixels, border + pixels)
    image[tuple(place)] = level
    own = content_box(image)[axis]
    assert own.start <= border - pixels
    assert own.stop >= border + pixels


def test_a_hair_across_the_image_does_not_widen_the_box():
    """It runs through the content and is fainter than that."""
    image = surrounded(cells(160, 240), 40)
    box = content_box(image)
    image[(image == 40) & (np.arange(500)[:, None] == np.arange(640) * 25 // 32)] = 70
    assert content_box(image) == box


@pytest.mark.parametrize("shape", [(1, 700), (700, 1), (7, 7), (8, 8), (3, 9, 3)])
def test_images_too_small_to_tell(shape):
    assert content_box(RNG.integers(0, 255, shape, np.uint8)) is None


def test_the_contrast_is_that_of_the_content():
    """As if it had been cut out; of the whole, its bright cells are less than a hundredth."""
    content = cells(160, 240) // 2
    content[:20] = cells(20, 240)
    image = normalised_image(surrounded(content, 20))
    part = image.content
    top, left = 150 - part.box[0].start, 260 - part.box[1].start
    assert int(part[:, :][top + 90, left + 10]) == int(normalise(content)[90, 10]) < 150
    assert int(normalise(surrounded(content, 20))[240, 270]) == 255
    np.testing.assert_array_equal(part.overview, image[part.box])


def test_a_region_of_a_part_is_one_of_the_whole():
    pixels = RNG.integers(0, 255, (40, 50, 3), np.uint8)
    box = slice(5, 30), slice(10, 41)
    cut = Cutout(pixels, box)
    assert cut.shape == (25, 31, 3)
    assert cut.ndim == 3
    assert cut.dtype == np.uint8
    for region in ((slice(None), slice(None)), (slice(2, 9), slice(3, 4)), (slice(None, None, 3), slice(1, None, 2))):
        np.testing.assert_array_equal(cut[region], pixels[box][region])
        np.testing.assert_array_equal(pixels[within(box, region)], pixels[box][region])
