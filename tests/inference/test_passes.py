"""inference.passes: small cells put beside large ones, and the content of an image beside what is around it."""

import cv2
import numpy as np
import pytest
from finder import Finder, disks

from inference.image.forms import NormalisedImage, Part
from inference.passes import CLOSED, Size, put_beside, rows_of_passes
from inference.stopwatch import Stopwatch
from inference.tiles import Tally


def test_put_beside_literal():
    labels = np.array([[1, 1, 0, 0, CLOSED, 2], [1, 1, 0, 0, 0, 2]], np.int32)
    found = np.array([[3, 0, 1, 1, 5, 0], [0, 0, 1, 0, 4, 4]], np.int32)
    added = put_beside(labels, found, largest=10.0, first=7)
    assert added.tolist() == [1]  # 3 lies on a cell, half of 4 does, and 5 where none may be
    np.testing.assert_array_equal(labels, [[1, 1, 7, 7, CLOSED, 2], [1, 1, 7, 0, 0, 2]])


def test_what_is_too_large_is_not_added():
    """Three pixels are a disk of 1.95 in diameter."""
    found = np.array([[1, 1, 1, 0]], np.int32)
    for largest, expected in ((1.9, []), (2.0, [1]), (np.inf, [1])):
        assert put_beside(np.zeros((1, 4), np.int32), found, largest, 1).tolist() == expected


@pytest.mark.parametrize("value", [0, 1])
def test_nothing_to_add(value):
    labels = np.full((3, 4), value, np.int32)
    assert not put_beside(labels, labels.copy(), 10.0, 2).size
    assert (labels == value).all()


def test_rows_of_two_sizes():
    """Large disks above, small ones below: each size finds its own, and what is counted is what is there."""
    image = np.zeros((320, 320), np.uint8)
    image[:160] = disks(60, side=320)[:160, :]
    image[200:] = disks(12, side=320)[:120, :]
    finder, tally, totals = Finder(), Tally(), []
    at = [Size(finder.config.diameter / 60), Size(finder.config.diameter / 12, 30.0)]
    (labels,) = rows_of_passes(NormalisedImage(image), at, finder, tally, Stopwatch(), totals.append)
    sizes = 2 * np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)
    assert np.count_nonzero(sizes > 40) >= 3
    assert np.count_nonzero(sizes < 20) >= 50
    assert tally.cells == labels.max() == len(np.concatenate(tally.probabilities)) == len(sizes)
    assert set(totals) == {tally.tiles}
    assert len(totals) == tally.tiles


def test_content_is_labelled_as_if_it_were_alone_and_the_rest_beside_it():
    """Two disks by themselves, which the content's box leaves out, are found as well."""
    content = disks(28, side=200)[:, :]
    image = np.full((700, 700), 10, np.uint8)
    image[301:501, 107:307] = content
    for y, x in ((30, 60), (650, 600)):
        cv2.circle(image, (x, y), 12, 255, -1)
    form = NormalisedImage(image)
    form.content, form.embedded = Part(form, (slice(301, 501), slice(107, 307))), True
    finder, tally, totals = Finder(), Tally(), []
    (labels,) = rows_of_passes(form, [Size(0.9)], finder, tally, Stopwatch(), totals.append)
    (alone,) = rows_of_passes(NormalisedImage(content), [Size(0.9)], finder, Tally(), Stopwatch())
    np.testing.assert_array_equal(labels[301:501, 107:307], alone)
    assert labels[30, 60] > alone.max()
    assert labels[650, 600] > alone.max()
    assert tally.cells == labels.max() == alone.max() + 2 == len(tally.all_probabilities)
    assert set(totals) == {tally.tiles} == {len(totals)}


def test_cells_that_are_not_taken_do_not_count_as_seam_cells():
    """Content of one window, which a border between two bands of the whole runs through; nothing lies around it."""
    image = np.full((700, 700), 10, np.uint8)
    image[251:451, 107:307] = disks(28, side=200)[:, :]
    form, whole, tally = NormalisedImage(image), Tally(), Tally()
    list(rows_of_passes(form, [Size(0.9)], Finder(), whole, Stopwatch()))
    form.content, form.embedded = Part(form, (slice(251, 451), slice(107, 307))), True
    list(rows_of_passes(form, [Size(0.9)], Finder(), tally, Stopwatch()))
    assert whole.seam_cells > 0
    assert tally.seam_cells == 0
