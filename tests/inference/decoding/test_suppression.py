"""Suppression of polygons, against hand-made cases and against StarDist's compiled code."""

import numpy as np
import pytest
from stars import RAYS, disks, random_stars

from inference.decoding.polygons import Candidates, intersection_area, polygon_area, polygon_corners, ray_directions
from inference.decoding.suppression import SUPPRESSED, SURVIVOR, UNDECIDED, decide
from tests.helpers.stars import suppress


def test_equal_and_distant_polygons():
    cells = suppress(disks([[20, 20], [20, 20], [60, 60]], [8, 8, 8]), 0.4)
    assert cells.points.tolist() == [[20, 20], [60, 60]]


@pytest.mark.parametrize("apart, common", [(6, 0.6238), (8, 0.5046), (9, 0.4472), (11, 0.3367)])
def test_threshold_on_two_disks(apart, common):
    """Disks of radius 10 have this part of their area in common: 2/pi * (acos(t) - t*sqrt(1 - t^2)) with t =
    apart/20.
    """
    pair = disks([[30, 30], [30, 30 + apart]], [10, 10])
    assert len(suppress(pair, common - 0.02).prob) == 1
    assert len(suppress(pair, common + 0.02).prob) == 2


def test_a_small_cell_within_a_large_one_falls_by_the_smaller_area():
    assert len(suppress(disks([[30, 30], [36, 36]], [20, 3]), 0.4).prob) == 1
    assert len(suppress(disks([[30, 30], [36, 36]], [20, 3], prob=[0.6, 0.9]), 0.4).prob) == 1


def test_order_of_candidates_does_not_matter():
    stars = random_stars(400, 150, seed=5)
    shuffled = np.random.default_rng(0).permutation(400)
    other = Candidates(stars.prob[shuffled], stars.points[shuffled], stars.dist[shuffled])
    a, b = suppress(stars, 0.4), suppress(other, 0.4)
    assert np.array_equal(a.points, b.points)
    assert np.all(np.diff(a.prob) <= 0)


def slow_suppress(cells, threshold):
    """Every pair, exactly, without the grid and the bounds."""
    kept = []
    for i in np.argsort(-cells.prob, kind="stable"):
        own = polygon_corners(cells.points[i], cells.dist[i])
        limits = [threshold * min(polygon_area(cells.dist[i]), polygon_area(cells.dist[j])) for j in kept]
        if not any(
            intersection_area(
                cells.points[j], polygon_corners(cells.points[j], cells.dist[j]), own, ray_directions(RAYS)
            )
            > limit
            for j, limit in zip(kept, limits)
        ):
            kept.append(i)
    return cells.points[kept]


@pytest.mark.parametrize("seed", range(3))
def test_grid_and_bounds_change_nothing(seed):
    stars = random_stars(300, 120, seed)
    assert np.array_equal(suppress(stars, 0.4).points, slow_suppress(stars, 0.4))


@pytest.mark.parametrize("seed, bands", [(0, 2), (1, 5), (2, 12), (3, 40)])
def test_deciding_in_bands_is_deciding_at_once(seed, bands):
    """Bands of points from the top; the frontier is where the polygons of what is still to come begin."""
    stars = random_stars(600, 200, seed)
    stars = Candidates(np.round(stars.prob, 1), stars.points, stars.dist)  # many ties
    band = np.minimum(stars.points[:, 0] * bands / 200, bands - 1).astype(int)
    tops = stars.boxes()[:, 0]
    survivors = undecided = Candidates.concatenate([], RAYS)
    waited = 0
    for n in range(bands):
        pool = Candidates.concatenate([survivors, undecided, stars[band == n]], RAYS)
        state = decide(pool, 0.4, tops[band > n].min(initial=np.inf), len(survivors))
        assert np.all(state[: len(survivors)] == SURVIVOR)
        survivors, undecided = pool[state == SURVIVOR], pool[state == UNDECIDED]
        waited += len(undecided)
    assert len(undecided) == 0
    assert waited > 0
    assert sorted(survivors.points.tolist()) == sorted(suppress(stars, 0.4).points.tolist())


def test_states_literal():
    """Four overlapping disks in a row: the lowest is beyond the frontier, each of the others waits for the one
    below.
    """
    row = disks([[10, 10], [16, 10], [22, 10], [28, 10]], [10] * 4, prob=[0.6, 0.7, 0.8, 0.9])
    assert decide(row, 0.4).tolist() == [SUPPRESSED, SURVIVOR, SUPPRESSED, SURVIVOR]
    assert decide(row, 0.4, frontier=30).tolist() == [UNDECIDED] * 4
    assert decide(row, 0.4, frontier=38.5).tolist() == [SUPPRESSED, SURVIVOR, SUPPRESSED, SURVIVOR]
    assert decide(row, 0.4, frontier=30, survivors=1).tolist() == [SURVIVOR, SUPPRESSED, UNDECIDED, UNDECIDED]


@pytest.mark.parametrize("seed", range(3))
def test_suppression_is_stardists(seed):
    nms = pytest.importorskip("stardist.nms", reason="the oracle: pip install -r tests/requirements.txt")
    stars = random_stars(1500, 4000, seed, mean_radius=120)  # large, for StarDist rounds corners to whole pixels
    ours = {tuple(p) for p in suppress(stars, 0.4).points.tolist()}
    points = nms.non_maximum_suppression_sparse(stars.dist, stars.prob, stars.points, b=0, nms_thresh=0.4)[0]
    theirs = {tuple(p) for p in np.asarray(points, np.float32).tolist()}
    assert len(ours ^ theirs) <= 0.01 * len(theirs)  # pairs at the threshold may differ


def test_nothing_and_degenerate_polygons():
    assert len(suppress(Candidates.concatenate([], RAYS), 0.4)) == 0
    assert len(suppress(disks([[5, 5], [9, 9]], [0, 0]), 0.4)) == 0
