"""Painting polygons, against hand-made cases and against StarDist's compiled code."""

import math

import numpy as np
import pytest
from stars import RAYS, disks, random_stars

from inference.decoding.painting import _keep_largest_fragment, paint, paint_onto
from inference.decoding.polygons import Candidates
from tests.helpers.stars import suppress


@pytest.mark.parametrize("seed", range(3))
def test_painting_is_stardists(seed):
    geometry = pytest.importorskip("stardist.geometry", reason="the oracle: pip install -r tests/requirements.txt")
    cells = suppress(random_stars(800, 300, seed), 0.4)
    labels, count = paint(cells, (300, 300))
    theirs = geometry.polygons_to_label(cells.dist, cells.points, (300, 300), prob=cells.prob)
    assert np.mean((labels > 0) != (theirs > 0)) < 0.01  # pixels on an edge, and fragments that we clear
    from stardist.matching import matching

    assert matching(theirs, labels, thresh=0.9).f1 > 0.97
    assert matching(theirs, labels, thresh=0.5).f1 > 0.99


def test_paint_literal():
    square = Candidates(np.ones(1, np.float32), np.array([[2, 3]], np.float32), np.full((1, 4), 1.5, np.float32))
    labels, count = paint(square, (5, 7))
    assert count == 1
    assert labels.tolist() == [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ]


def test_first_cell_keeps_the_pixels_and_hidden_cells_get_no_number():
    labels, count = paint(disks([[10, 10], [10, 10], [10, 16]], [5, 3, 5]), (30, 30))
    assert count == 2
    assert set(np.unique(labels)) == {0, 1, 2}
    assert labels[10, 14] == 1
    assert labels[10, 20] == 2


def test_a_cell_that_is_cut_in_two_keeps_its_larger_fragment():
    bar = np.full(RAYS, 1.5, np.float32)
    bar[[0, RAYS // 2]] = 12, 20  # a thin needle, longer to the left
    cells = Candidates(
        np.array([0.9, 0.8], np.float32),
        np.array([[20, 30], [20, 30]], np.float32),
        np.stack((np.full(RAYS, 4, np.float32), bar)),
    )
    labels, count = paint(cells, (40, 60))
    columns = np.nonzero((labels == 2).any(axis=0))[0]
    assert count == 2
    assert columns.max() < 30
    assert columns.min() <= 12


def test_keep_largest_fragment_against_scikit_image():
    """Random patterns have many fragments, of any shape; the first of the largest ones in reading order is kept."""
    from skimage.measure import label

    rng = np.random.default_rng(0)
    for density in np.linspace(0.2, 0.9, 30):
        window = np.where(rng.random((12, 17)) < density, 7, rng.integers(0, 3, (12, 17))).astype(np.int32)
        fragments = label(window == 7, connectivity=1)
        pixels = np.bincount(fragments.ravel())[1:]
        expected = np.where((window == 7) & (fragments != pixels.argmax() + 1), 0, window)
        assert _keep_largest_fragment(window, 7) == pixels.max()
        assert np.array_equal(window, expected)


def test_painting_at_another_size():
    """A disk of radius 10 at half size has radius 20 in the image, and its centre lies where pixel centres put it."""
    labels, _ = paint(disks([[24.5, 24.5]], [10]), (100, 100), (0.5, 0.5))
    y, x = np.nonzero(labels)
    assert labels.sum() == pytest.approx(math.pi * 400, rel=0.02)
    assert y.mean() == pytest.approx(49.5, abs=0.05)
    assert x.mean() == pytest.approx(49.5, abs=0.05)


def test_more_than_65535_cells():
    y, x = np.mgrid[0:520, 0:520].reshape(2, -1)[:, :66_000] * 4 + 2
    cells = disks(np.stack((y, x), axis=1), np.full(66_000, 1.2), prob=np.linspace(1, 0.5, 66_000))
    labels, count = paint(suppress(cells, 0.4), (2100, 2100))
    assert count == 66_000 == labels.max()
    assert np.all(np.bincount(labels.ravel())[1:] > 0)


def test_row_numbers_beyond_2_to_the_31():
    """A cell far down, painted on the rows around it: in 64 bits, as far as float32 positions reach."""
    cells = disks([[2**23 - 100.5, 50]], [10])
    canvas = np.zeros((400, 200), np.int32)
    first_row = 2**23 * 1000 - 100_500 - 200  # of a label image a thousand times as large as the working image, along y
    assert paint_onto(canvas, first_row, cells, (0.001, 1.0), 5, np.empty(1, np.bool_)) == 6
    assert canvas.max() == 6
    assert (canvas[:, 50] == 6).all()
    assert first_row > 2**31


def test_nothing_and_polygons_outside():
    assert paint(Candidates.concatenate([], RAYS), (4, 5))[1] == 0
    assert paint(disks([[-50, -50]], [3]), (10, 10))[1] == 0
