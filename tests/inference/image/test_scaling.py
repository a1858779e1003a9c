"""The working size, and the working image: rows made one part at a time are those of the whole, and shrinking takes the
mean over each pixel's area."""

import cv2
import numpy as np
import pytest

from inference.image.forms import NormalisedImage
from inference.image.scaling import WorkingImage, _average_rows, labelling_scale, smallest_shown, working_scale

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


@pytest.mark.parametrize("scale", [0.31, 1.0, 1.3])
def test_gray_is_shown_in_three_equal_channels(scale):
    rows = WorkingImage(NormalisedImage(picture((40, 50))), scale).rows(3, 12)
    assert rows.shape[2] == 3
    assert np.array_equal(rows, rows[..., [2, 0, 1]])


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
    """OpenCV's, but for the rounding between columns and rows."""
    image = picture((30, 41))
    working = WorkingImage(NormalisedImage(image), scale)
    expected = cv2.resize(image, working.shape[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(working.rows(7, 20)[..., 1].astype(int) - expected[7:20]).max() <= 1


def test_enlarging_literal():
    """Two rows to four: those at the ends are repeated, those between lie at a quarter and three quarters."""
    working = WorkingImage(NormalisedImage(np.array([[10], [50]], np.uint8)), 2.0)
    assert working.rows(0, 4)[:, 0, 0].tolist() == [10, 20, 40, 50]
    assert working.rows(2, 3)[:, 0, 0].tolist() == [40]


@pytest.mark.parametrize("scale, rows, expected", [(0.25, (100, 130), (400, 520)), (2.0, (100, 130), (49, 66))])
def test_only_the_rows_that_are_needed_are_read(scale, rows, expected):
    class Watched(NormalisedImage):
        def __getitem__(self, region):
            asked.append((region[0].start, region[0].stop))
            return super().__getitem__(region)

    asked = []
    working = WorkingImage(Watched(picture((1000, 20))), scale)
    working.rows(*rows)
    assert asked == [expected]


def test_row_numbers_beyond_2_to_the_31():
    """The last rows of an image of 5,000,000,000 rows."""
    block = np.arange(6, dtype=np.uint8).repeat(4).reshape(6, 4) * 10
    rows = np.empty((3, 4), np.uint8)
    _average_rows(block, 4_999_999_994, 2.0, 2_499_999_997, rows)
    assert rows.tolist() == [[5] * 4, [25] * 4, [45] * 4]


@pytest.mark.parametrize(
    "diameter, expected, for_labels",
    [(280, 0.1, 0.1), (28, 1.0, 1.0), (25, 1.12, 1.0), (20, 1.4, 1.4), (14, 2.0, 2.0), (2, 2.0, 2.0)],
)
def test_scales(diameter, expected, for_labels):
    """As the cells ask for, to twice the size at most; for labels no enlargement below 1.2 times."""
    assert working_scale(28.0, diameter) == pytest.approx(expected)
    assert labelling_scale(28.0, diameter) == pytest.approx(for_labels)


def test_what_is_smaller_than_an_image_may_be_enlarged_for():
    smallest = smallest_shown(28.0)
    assert smallest == 14.0
    assert working_scale(28.0, smallest / 3) == working_scale(28.0, smallest)
    assert working_scale(28.0, smallest * 1.1) < working_scale(28.0, smallest)
