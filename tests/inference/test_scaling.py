"""The working size, and the working image: rows made one part at a time are those of the whole, and shrinking takes the
mean over each pixel's area."""

import cv2
import numpy as np
import pytest

from inference.normalisation import NormalisedImage
from inference.scaling import WorkingImage, _average_rows, largest_scale, smallest_shown, working_scale

RNG = np.random.default_rng(0)
SHAPES = [(1, 1), (1, 400), (400, 1), (2, 3), (97, 131), (385, 60), (513, 40)]


def picture(shape):
    """Smooth enough that neighbouring pixels are alike, as in an image."""
    return cv2.GaussianBlur(RNG.integers(0, 256, shape, np.uint8), (0, 0), 1.5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.03, 0.31, 0.5, 0.77, 0.999, 1.0, 1.3, 2.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_parts_are_those_of_the_whole(shape, scale, channels):
    image = picture((*shape, 3)) if channels == 3 else picture(shape)
    working = WorkingImage(NormalisedImage(image), scale)
    height, width = working.shape
    assert working.shape == tuple(max(1, round(n * scale)) for n in shape)
    assert working.sizes.scale == (height / shape[0], width / shape[1])
    whole = working.rows(0, height)
    assert whole.shape == (height, width, 3)
    assert whole.dtype == np.uint8
    for part in (1, 3, 50):
        parts = [working.rows(top, min(top + part, height)) for top in range(0, height, part)]
        assert np.array_equal(np.concatenate(parts), whole)
    assert channels == 3 or np.array_equal(whole[..., 0], whole[..., 2])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [0.1, 0.31, 0.5, 0.77, 0.999])
def test_shrunk_pixels_are_means_over_their_area(shape, scale):
    """OpenCV's area interpolation of the whole image, but for the rounding between columns and rows."""
    image = picture((*shape, 3))
    working = WorkingImage(NormalisedImage(image), scale)
    expected = cv2.resize(image, working.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(working.rows(0, working.shape[0]).astype(int) - expected).max() <= 1


def test_shrinking_literal():
    """Five rows to two: the middle one counts half in both."""
    image = np.array([[10], [20], [100], [30], [50]], np.uint8)
    working = WorkingImage(NormalisedImage(image), 0.4)
    assert working.rows(0, 2)[:, 0, 0].tolist() == [32, 52]  # (10 + 20 + 50) / 2.5 and (50 + 30 + 50) / 2.5
    assert working.rows(1, 2)[:, 0, 0].tolist() == [52]


@pytest.mark.parametrize("scale", [1.5, 2.0])
def test_enlargement_is_linear(scale):
    image = picture((30, 41))
    working = WorkingImage(NormalisedImage(image), scale)
    expected = cv2.resize(image, working.shape[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(working.rows(7, 20)[..., 1], expected[7:20])


def test_only_the_rows_that_are_needed_are_read():
    class Watched(NormalisedImage):
        def __getitem__(self, region):
            asked.append((region[0].start, region[0].stop))
            return super().__getitem__(region)

    asked = []
    working = WorkingImage(Watched(picture((1000, 20))), 0.25)
    working.rows(100, 130)
    assert asked == [(400, 520)]


def test_row_numbers_beyond_2_to_the_31():
    """The last rows of an image of 5,000,000,000 rows."""
    block = np.arange(6, dtype=np.uint8).repeat(4).reshape(6, 4) * 10
    rows = np.empty((3, 4), np.uint8)
    _average_rows(block, 4_999_999_994, 2.0, 2_499_999_997, rows)
    assert rows.tolist() == [[5] * 4, [25] * 4, [45] * 4]


@pytest.mark.parametrize(
    ("shape", "diameter", "expected"),
    [
        ((500, 500), 56, 0.5),
        ((500, 500), 20, 1.4),
        ((500, 500), 2, 2.0),
        ((1500, 2000), 20, np.sqrt(4 / 3)),
        ((5000, 5000), 20, 1.0),
        ((5000, 5000), 280, 0.1),
    ],
)
def test_working_scale(shape, diameter, expected):
    """Shrunk as far as the cells ask for, enlarged to four times the pixels and to 4 megapixels at most."""
    assert working_scale(shape, 28.0, diameter) == pytest.approx(expected)


@pytest.mark.parametrize(
    "shape, largest", [((256, 256), 2.0), ((1000, 1000), 2.0), ((2000, 1600), 1.118), ((5000, 5000), 1.0)]
)
def test_what_is_smaller_than_an_image_may_be_enlarged_for(shape, largest):
    """Four times its pixels, and to four megapixels."""
    assert largest_scale(shape) == pytest.approx(largest, rel=1e-3)
    smallest = smallest_shown(shape, 28.0)
    assert smallest == pytest.approx(28.0 / largest, rel=1e-3)
    assert working_scale(shape, 28.0, smallest / 3) == working_scale(shape, 28.0, smallest)
    assert working_scale(shape, 28.0, smallest * 1.1) < working_scale(shape, 28.0, smallest)
