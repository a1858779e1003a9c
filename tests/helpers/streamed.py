"""Maps cut into tiles as a network gives them, and labels compared."""

import numpy as np

from inference.decoding.painting import paint
from inference.image.scaling import Sizes
from inference.stardist import LONGEST_RAY, find_candidates
from inference.tiles import tile_image
from models.unet import STRIDE
from tests.helpers.stars import suppress
from training.measure.f1 import match_counts

SHAPES = [(1, 1), (1, 700), (3, 40), (511, 130), (512, 64), (513, 96), (385, 600), (897, 200), (1400, 33), (1050, 400)]
SCALES = [1.0, 0.4, 0.77, 1.6]


def cut(shape, *maps):
    """The tiles of an image of this shape with their part of its maps, as `run_tiles` yields them."""
    for tile in tile_image(*shape):
        rows, columns = tile.owned_grid()
        yield tile, tuple(m[:, rows, columns] for m in maps)


def grid_of(shape):
    return tuple(-(-n // STRIDE) for n in shape)


def same_cells(one, other):
    """Whether two label images are equal but for the numbers of the cells."""
    pairs = np.unique(np.stack((one.ravel(), other.ravel())), axis=1)
    return np.array_equal(one > 0, other > 0) and len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]


def assert_numbered(labels, tally):
    assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, tally.cells + 1)), "cells are not numbered 1..n"
    assert sum(map(len, tally.probabilities)) == tally.cells, "not every cell has its probability"


def assert_matching(labels, expected):
    """Every cell has its partner at an IoU of 0.99; cells below 100 pixels may differ by one."""
    cells = int(expected.max())
    assert labels.shape == expected.shape
    assert labels.max() == cells
    ((tp, fp, fn),) = match_counts(expected, labels, (0.99,))
    assert (tp, fp, fn) == (cells, 0, 0)


def at_once(prob, dist, sizes: Sizes, settings):
    """The cells of StarDist's whole maps, without tiles and bands."""
    found = find_candidates(prob, np.minimum(dist, LONGEST_RAY), (0, 0), settings.prob_threshold)
    return paint(suppress(found, settings.overlap_threshold), sizes.image, sizes.scale)
