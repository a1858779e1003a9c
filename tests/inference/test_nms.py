"""Candidates, suppression and painting, against hand-made cases and against StarDist's compiled code."""

import math

import numpy as np
import pytest

from inference.nms import (
    SUPPRESSED,
    SURVIVOR,
    UNDECIDED,
    Candidates,
    StarDistSettings,
    _area,
    _intersection_area,
    _keep_largest_fragment,
    _polygon,
    decide,
    find_candidates,
    paint,
    paint_onto,
    ray_directions,
    suppress,
)

RAYS = 32


def disks(points, radii, prob=None):
    prob = np.linspace(0.9, 0.6, len(points)) if prob is None else prob
    dist = np.repeat(np.asarray(radii, np.float32)[:, None], RAYS, axis=1)
    return Candidates(np.asarray(prob, np.float32), np.asarray(points, np.float32), dist)


def random_stars(n, size, seed, mean_radius=12):
    """Star-convex polygons of smoothly varying radius."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(RAYS) / RAYS
    waves = sum(rng.normal(0, 0.3 / k, (n, 1)) * np.cos(k * angle + rng.uniform(0, 6.3, (n, 1))) for k in (1, 2, 3))
    dist = rng.uniform(0.5, 1.5, (n, 1)) * mean_radius * np.maximum(1 + waves, 0.2)
    return Candidates(rng.permutation(n).astype(np.float32) / n, rng.uniform(0, size, (n, 2)).astype(np.float32), dist.astype(np.float32))


def test_settings_are_the_papers():
    assert StarDistSettings() == StarDistSettings(prob_threshold=0.5, overlap_threshold=0.4)


def test_find_candidates_literal():
    prob = np.array([[[0.2, 0.6], [0.5, 0.9]]], np.float32)
    dist = np.arange(2 * 4, dtype=np.float32).reshape(2, 2, 2) - 2
    found = find_candidates(prob, dist, (10, 20), 0.5)
    assert found.prob.tolist() == pytest.approx([0.6, 0.9])
    assert found.points.tolist() == [[41.5, 85.5], [45.5, 85.5]]  # 4 * (10, 21) + 1.5 and 4 * (11, 21) + 1.5
    assert found.dist.tolist() == [[0, 3], [1, 5]]  # -1 becomes 0


def test_area_of_a_regular_polygon():
    dist = np.full(RAYS, 10, np.float32)
    assert _area(dist) == pytest.approx(RAYS / 2 * 100 * math.sin(2 * math.pi / RAYS))


def test_intersection_area_against_fine_sampling():
    """The signed sum over non-convex polygons, against counting points of a 0.05-pixel grid in both polygons."""
    from skimage.draw import polygon2mask

    stars = random_stars(24, 30, seed=3)
    corners = [_polygon(p, d) for p, d in zip(stars.points, stars.dist)]
    directions = ray_directions(RAYS)
    masks = [polygon2mask((1200, 1200), (c + 15) * 20) for c in corners]
    for i in range(0, 24, 2):
        expected = (masks[i] & masks[i + 1]).sum() / 400
        found = _intersection_area(stars.points[i], corners[i], corners[i + 1], directions)
        assert found == pytest.approx(expected, rel=0.01, abs=1.5)
        turned_round = _intersection_area(stars.points[i + 1], corners[i + 1], corners[i], directions)
        assert found == pytest.approx(turned_round, rel=1e-3, abs=1e-3)


def test_intersection_area_of_special_pairs():
    """A polygon with itself, with its own needle, with what does not touch it, with one without area."""
    directions, stars = ray_directions(RAYS), random_stars(200, 300, seed=7)
    needle = np.zeros(RAYS, np.float32)
    needle[:2] = 5
    for point, dist in zip(stars.points, stars.dist):
        corners = _polygon(point, dist)
        assert _intersection_area(point, corners, corners, directions) == pytest.approx(_area(dist), rel=1e-5)
        assert _intersection_area(point, corners, corners + np.float32(500), directions) == pytest.approx(0, abs=1e-3)
        assert _intersection_area(point, corners, _polygon(point, 0 * dist), directions) == 0
        thin = _polygon(point, np.minimum(needle, dist))
        assert _intersection_area(point, corners, thin, directions) == pytest.approx(_area(np.minimum(needle, dist)), rel=1e-4)
        assert _intersection_area(point, thin, corners, directions) == pytest.approx(_area(np.minimum(needle, dist)), rel=1e-4)


def test_equal_and_distant_polygons():
    cells = suppress(disks([[20, 20], [20, 20], [60, 60]], [8, 8, 8]), 0.4)
    assert cells.points.tolist() == [[20, 20], [60, 60]]


@pytest.mark.parametrize("apart, common", [(6, 0.6238), (8, 0.5046), (9, 0.4472), (11, 0.3367)])
def test_threshold_on_two_disks(apart, common):
    """Disks of radius 10 have this part of their area in common: 2/pi * (acos(t) - t*sqrt(1 - t^2)) with t = apart/20."""
    pair = disks([[30, 30], [30, 30 + apart]], [10, 10])
    assert len(suppress(pair, common - 0.02).prob) == 1 and len(suppress(pair, common + 0.02).prob) == 2


def test_a_small_cell_within_a_large_one_falls_by_the_smaller_area():
    assert len(suppress(disks([[30, 30], [36, 36]], [20, 3]), 0.4).prob) == 1
    assert len(suppress(disks([[30, 30], [36, 36]], [20, 3], prob=[0.6, 0.9]), 0.4).prob) == 1


def test_order_of_candidates_does_not_matter():
    stars = random_stars(400, 150, seed=5)
    shuffled = np.random.default_rng(0).permutation(400)
    other = Candidates(stars.prob[shuffled], stars.points[shuffled], stars.dist[shuffled])
    a, b = suppress(stars, 0.4), suppress(other, 0.4)
    assert np.array_equal(a.points, b.points) and np.all(np.diff(a.prob) <= 0)


def slow_suppress(cells, threshold):
    """Every pair, exactly, without the grid and the bounds."""
    kept = []
    for i in np.argsort(-cells.prob, kind="stable"):
        own = _polygon(cells.points[i], cells.dist[i])
        limits = [threshold * min(_area(cells.dist[i]), _area(cells.dist[j])) for j in kept]
        if not any(_intersection_area(cells.points[j], _polygon(cells.points[j], cells.dist[j]), own, ray_directions(RAYS)) > limit
                   for j, limit in zip(kept, limits)):
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
    assert len(undecided) == 0 and waited > 0
    assert sorted(survivors.points.tolist()) == sorted(suppress(stars, 0.4).points.tolist())


def test_states_literal():
    """Four overlapping disks in a row: the lowest is beyond the frontier, each of the others waits for the one below."""
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


@pytest.mark.parametrize("seed", range(3))
def test_painting_is_stardists(seed):
    geometry = pytest.importorskip("stardist.geometry", reason="the oracle: pip install -r tests/requirements.txt")
    cells = suppress(random_stars(800, 300, seed), 0.4)
    labels, count = paint(cells, (300, 300))
    theirs = geometry.polygons_to_label(cells.dist, cells.points, (300, 300), prob=cells.prob)
    assert np.mean((labels > 0) != (theirs > 0)) < 0.01  # pixels on an edge, and fragments that we clear
    from stardist.matching import matching

    assert matching(theirs, labels, thresh=0.9).f1 > 0.97 and matching(theirs, labels, thresh=0.5).f1 > 0.99


def test_paint_literal():
    square = Candidates(np.ones(1, np.float32), np.array([[2, 3]], np.float32), np.full((1, 4), 1.5, np.float32))
    labels, count = paint(square, (5, 7))
    assert count == 1 and labels.tolist() == [
        [0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 1, 1, 1, 0, 0],
        [0, 0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0]]


def test_first_cell_keeps_the_pixels_and_hidden_cells_get_no_number():
    labels, count = paint(disks([[10, 10], [10, 10], [10, 16]], [5, 3, 5]), (30, 30))
    assert count == 2 and set(np.unique(labels)) == {0, 1, 2} and labels[10, 14] == 1 and labels[10, 20] == 2


def test_a_cell_that_is_cut_in_two_keeps_its_larger_fragment():
    bar = np.full(RAYS, 1.5, np.float32)
    bar[[0, RAYS // 2]] = 12, 20  # a thin needle, longer to the left
    cells = Candidates(np.array([0.9, 0.8], np.float32), np.array([[20, 30], [20, 30]], np.float32),
                       np.stack((np.full(RAYS, 4, np.float32), bar)))
    labels, count = paint(cells, (40, 60))
    columns = np.nonzero((labels == 2).any(axis=0))[0]
    assert count == 2 and columns.max() < 30 and columns.min() <= 12


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
    assert y.mean() == pytest.approx(49.5, abs=0.05) and x.mean() == pytest.approx(49.5, abs=0.05)


def test_more_than_65535_cells():
    y, x = np.mgrid[0:520, 0:520].reshape(2, -1)[:, :66_000] * 4 + 2
    cells = disks(np.stack((y, x), axis=1), np.full(66_000, 1.2), prob=np.linspace(1, 0.5, 66_000))
    labels, count = paint(suppress(cells, 0.4), (2100, 2100))
    assert count == 66_000 == labels.max() and np.all(np.bincount(labels.ravel())[1:] > 0)


def test_row_numbers_beyond_2_to_the_31():
    """A cell far down, painted on the rows around it: in 64 bits, as far as float32 positions reach."""
    cells = disks([[2**23 - 100.5, 50]], [10])
    canvas = np.zeros((400, 200), np.int32)
    first_row = 2**23 * 1000 - 100_500 - 200  # of a label image a thousand times as large as the working image, along y
    assert paint_onto(canvas, first_row, Candidates(cells.prob, cells.points, cells.dist), (0.001, 1.0), 5) == 6
    assert canvas.max() == 6 and (canvas[:, 50] == 6).all() and first_row > 2**31


def test_nothing_and_degenerate_polygons():
    empty = Candidates.concatenate([], RAYS)
    assert len(suppress(empty, 0.4).prob) == 0 and paint(empty, (4, 5))[1] == 0
    assert len(suppress(disks([[5, 5], [9, 9]], [0, 0]), 0.4).prob) == 0
    assert paint(disks([[-50, -50]], [3]), (10, 10))[1] == 0
