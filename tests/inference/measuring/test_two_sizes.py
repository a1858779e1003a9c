"""inference.measuring.two_sizes: small cells put beside large ones."""

import numpy as np
import pytest
from finder import Finder, disks

from inference.image.forms import NormalisedImage
from inference.image.scaling import WorkingImage
from inference.measuring.two_sizes import put_beside, rows_of_two_sizes
from inference.stopwatch import Stopwatch
from inference.tiles import Tally


def test_put_beside_literal():
    large = np.array([[1, 1, 0, 0, 0, 2], [1, 1, 0, 0, 0, 2]], np.int32)
    small = np.array([[3, 0, 1, 1, 0, 0], [0, 0, 1, 0, 4, 4]], np.int32)
    labels, added = put_beside(large.copy(), small.copy(), largest=10.0)
    assert added.tolist() == [1]  # 3 lies on a large cell, and half of 4 does
    np.testing.assert_array_equal(labels, [[1, 1, 3, 3, 0, 2], [1, 1, 3, 0, 0, 2]])


def test_what_is_too_large_is_not_added():
    """Three pixels are a disk of 1.95 in diameter."""
    small = np.array([[1, 1, 1, 0]], np.int32)
    for largest, expected in ((1.9, []), (2.0, [1])):
        assert put_beside(np.zeros((1, 4), np.int32), small, largest)[1].tolist() == expected


@pytest.mark.parametrize("large, small", [(np.zeros((3, 4)), np.zeros((3, 4))), (np.ones((3, 4)), np.ones((3, 4)))])
def test_nothing_to_add(large, small):
    labels, added = put_beside(large.astype(np.int32), small.astype(np.int32), 10.0)
    np.testing.assert_array_equal(labels, large)
    assert not added.size


def test_rows_of_two_sizes():
    """Large disks above, small ones below: each size finds its own, and what is counted is what is there."""
    image = np.zeros((320, 320), np.uint8)
    image[:160] = disks(60, side=320)[:160, :]
    image[200:] = disks(12, side=320)[:120, :]
    finder, tally, totals = Finder(), Tally(), []
    at = {d: WorkingImage(NormalisedImage(image), finder.config.diameter / d) for d in (60, 12)}
    (labels,) = rows_of_two_sizes(at[60], at[12], 60.0, finder, tally, Stopwatch(), totals.append)
    sizes = 2 * np.sqrt(np.bincount(labels.ravel())[1:] / np.pi)
    assert np.count_nonzero(sizes > 40) >= 3
    assert np.count_nonzero(sizes < 20) >= 50
    assert tally.cells == labels.max() == len(np.concatenate(tally.probabilities)) == len(sizes)
    assert set(totals) == {tally.tiles}
    assert len(totals) == tally.tiles
