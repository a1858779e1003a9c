"""Hover's maps: made from labels, and labels made from them band by band, which are those of the whole image at an IoU
of 0.99.
"""

import math

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree
from streamed import SCALES, SHAPES, assert_matching, assert_numbered, cut, grid_of

from inference import hover
from inference.hover import MapRows, Settings, disagreement, hover_maps
from inference.image.scaling import Sizes
from inference.limits import Limits
from inference.tiles import Tally, tile_image


def crowded_cells(shape, spacing, seed, radius=0.75):
    """Touching cells with gaps between groups of them: the nearest of random points, if it is near enough."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, shape, (max(1, round(shape[0] * shape[1] / spacing**2)), 2))
    pixels = np.stack(np.indices(shape), axis=-1).reshape(-1, 2)
    distance, nearest = cKDTree(points).query(pixels)
    return np.where(distance < radius * spacing, nearest + 1, 0).reshape(shape).astype(np.int32)


def hover_maps_of(labels):
    """What a perfect network says of labels on the 1/4 grid."""
    return np.where(labels > 0, np.float32(6), np.float32(-6))[None], hover_maps(labels)


def decode(maps, working_shape, shape, rows=None, **limits):
    """Labels, tally and bands; `rows` of the decoded maps in a band, None for the whole image in one."""
    limits = Limits(decoded_pixels=1 if rows else 2**40, fewest_decoded_rows=rows or 1, **limits)
    tally = Tally()
    bands = list(hover.rows(cut(working_shape, *maps), Settings(), Sizes(shape, working_shape), tally, limits))
    return np.concatenate(bands), tally, bands


@pytest.mark.parametrize("working_shape", SHAPES)
@pytest.mark.parametrize("rows", [32, 75])
def test_hover_is_that_of_the_whole(working_shape, rows):
    for seed, scale in enumerate(SCALES):
        shape = tuple(max(1, round(n / scale)) for n in working_shape)
        maps = hover_maps_of(crowded_cells(grid_of(working_shape), 9, seed))
        expected, whole_tally, whole_bands = decode(maps, working_shape, shape)
        labels, tally, bands = decode(maps, working_shape, shape, rows)
        assert len(whole_bands) == 1
        assert len(bands) >= (2 if working_shape[0] >= 700 else 1)
        assert_matching(labels, expected)
        assert_numbered(labels, tally)
        assert tally.cells == whole_tally.cells
        assert tally.cut_cells == 0
        assert tally.cells >= math.prod(working_shape) // 1400


def test_rows_of_hover_maps_are_those_of_the_whole():
    """Whatever the order of the tiles' rows and of the rows asked for: with their neighbours for the interpolation."""
    shape = (1300, 500)
    rng = np.random.default_rng(0)
    logit, hv = (rng.standard_normal((c, *grid_of(shape))).astype(np.float32) for c in (1, 2))
    maps = MapRows(cut(shape, logit, hv), shape)
    assert maps.shape == (650, 250)
    whole = [cv2.resize(m, maps.shape[::-1], interpolation=cv2.INTER_LINEAR) for m in (*logit, *hv)]
    for top, bottom in ((0, 1), (0, 33), (7, 200), (7, 431), (100, 101), (199, 650), (649, 650)):
        probability, vectors = maps.rows(top, bottom)
        assert np.allclose(probability, 1 / (1 + np.exp(-whole[0][top:bottom])), atol=1e-6)
        assert np.allclose(vectors, [whole[1][top:bottom], whole[2][top:bottom]], atol=1e-6)


def test_hover_numbers_cells_from_the_top():
    """After each band the numbers so far have no gaps, as the writer of rows expects."""
    shape = (1650, 300)
    _, _, bands = decode(hover_maps_of(crowded_cells(grid_of(shape), 9, 0)), shape, shape, 50)
    highest = 0
    for band in bands:
        names = np.unique(band[band > highest])
        assert np.array_equal(names, np.arange(highest + 1, highest + 1 + len(names)))
        highest += len(names)
    assert len(bands) > 5
    assert highest > 100


def hover_blocks(shape, *blocks):
    """Maps of rectangular cells, each given as (top, bottom, left, right) on the 1/4 grid."""
    labels = np.zeros(grid_of(shape), np.int32)
    for number, (top, bottom, left, right) in enumerate(blocks, 1):
        labels[top:bottom, left:right] = number
    return hover_maps_of(labels)


@pytest.mark.parametrize("top, bottom", [(60, 110), (20, 150), (100, 280), (30, 350)])
def test_a_hover_cell_larger_than_a_band_and_its_margins_is_one_cell(top, bottom):
    """Among small ones that begin beside it in every band."""
    shape = (1600, 400)
    blocks = [(top, bottom, 30, 60)] + [(y, y + 7, 70, 78) for y in range(5, 390, 10)]
    maps = hover_blocks(shape, *blocks)
    expected, _, _ = decode(maps, shape, shape)
    assert expected.max() == len(blocks)
    labels, tally, bands = decode(maps, shape, shape, 60)
    assert len(bands) > 3
    assert tally.cut_cells == 0
    assert_matching(labels, expected)


def test_a_hover_cell_larger_than_the_limit_is_reported():
    shape = (3000, 200)
    maps = hover_blocks(shape, (10, 740, 5, 30), (12, 20, 38, 45), (700, 708, 38, 45))
    labels, tally, _ = decode(maps, shape, shape, 40, most_decoded_pixels=500 * 100)
    assert tally.cut_cells >= 1
    assert labels.shape == shape
    large = np.unique(labels[40:2900, 24:116])
    assert labels[50, 60] == labels[400, 60] > 0
    assert len(large) <= 3
    assert labels[60, 166] != labels[2816, 166]
    assert min(labels[60, 166], labels[2816, 166]) > 0, "the others are as they were"


def test_a_hover_cell_that_reaches_far_above_its_marker_is_reported():
    """Where the HV maps are noise there is no marker: rows that far above it have been handed on before it is seen."""
    shape = (2400, 200)
    probability, hv = hover_blocks(shape, (20, 400, 5, 45))
    hv[:, :300] = np.random.default_rng(0).normal(0, 50, hv[:, :300].shape)
    whole, _, _ = decode((probability, hv), shape, shape)
    labels, tally, _ = decode((probability, hv), shape, shape, 40)
    assert whole.max() == 1
    assert labels[1500, 100] > 0
    assert tally.cut_cells >= 1


@pytest.mark.parametrize("rows", [None, 32])
def test_cells_have_the_mean_probability_of_their_pixels(rows):
    """In the order of their numbers, wherever the bands end."""
    shape = (1300, 500)
    cells = crowded_cells(grid_of(shape), 9, 0)
    logit, hv = hover_maps_of(cells)
    expected = np.random.default_rng(0).uniform(1, 5, cells.max() + 1).astype(np.float32)
    logit = np.where(cells > 0, expected[cells], logit[0])[None]
    labels, tally, _ = decode((logit, hv), shape, shape, rows)
    probabilities = np.concatenate(tally.probabilities)
    assert_numbered(labels, tally)
    places = [place for place in np.argwhere(cells) if labels[tuple(4 * place + 2)]]
    pairs = [
        (probabilities[labels[tuple(4 * place + 2)] - 1], 1 / (1 + np.exp(-expected[cells[tuple(place)]])))
        for place in places
    ]
    assert len(pairs) > 100
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.95


def test_hover_counts_the_cells_across_seams():
    """The first seam lies at 99 decoded rows, 49.5 of the grid: one cell above, one across, one whose marker begins
    just below, one below."""
    shape = (1200, 200)
    maps = hover_blocks(shape, (30, 44, 4, 14), (40, 60, 18, 30), (49, 63, 34, 46), (52, 60, 4, 14))
    _, tally, bands = decode(maps, shape, shape, 99)
    assert tally.cells == 4
    assert tally.seam_cells == 2
    assert len(bands) > 2
    assert decode(maps, shape, shape)[1].seam_cells == 0


@pytest.mark.parametrize("noise", [0, 50])
def test_the_smallest_hover_cell_counts(noise):
    """2x2 pixels of the grid are 16 of the decoded maps, with a marker or, in noise, without one."""
    shape = (80, 80)
    logit, _ = hover_blocks(shape, (9, 11, 9, 11))
    hv = np.random.default_rng(0).normal(0, noise, (2, *grid_of(shape))).astype(np.float32)
    cells = []
    for least in (16, 17):
        tally = Tally()
        list(hover.rows(cut(shape, logit, hv), Settings(min_cell=least), Sizes(shape, shape), tally))
        cells.append(tally.cells)
    assert cells == [1, 0]


def test_no_maps_at_all():
    """An image whose windows are all empty."""
    shape, tally = (1100, 600), Tally()
    empty = [(tile, None) for tile in tile_image(*shape)]
    labels = np.concatenate(
        list(hover.rows(iter(empty), Settings(cell_threshold=0.01), Sizes((2000, 700), shape), tally))
    )
    assert labels.shape == (2000, 700)
    assert labels.max() == 0
    assert tally == Tally()


# Maps from labels


def test_hover_by_hand():
    """A 3x5 rectangle: -1, 0, 1 down and -1, -1/2, 0, 1/2, 1 across. A T: its centre of mass is off, both ends still at
    1.
    """
    labels = np.zeros((5, 7), np.int32)
    labels[1:4, 1:6] = 2
    maps = hover_maps(labels)
    assert maps.shape == (2, 5, 7)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps[0, :, 3], [0, -1, 0, 1, 0])
    np.testing.assert_allclose(maps[1, 2], [0, -1, -0.5, 0, 0.5, 1, 0])
    letter = np.array([[1, 1, 1], [0, 1, 0], [0, 1, 0]], np.int32)  # rows of 3, 1, 1 pixels: centre at row 0.6
    np.testing.assert_allclose(hover_maps(letter)[0], [[-1, -1, -1], [0, 0.4 / 1.4, 0], [0, 1, 0]], rtol=1e-6)
    np.testing.assert_allclose(hover_maps(letter)[1], [[-1, 0, 1], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("seed", range(3))
def test_hover_invariants(blobs, seed):
    """Within [-1, 1] and reaching both ends in every cell wider than a pixel; rises by one pixel's share along an axis;
    a transposed image gives transposed maps, swapped."""
    labels = blobs(seed)
    maps = hover_maps(labels)
    for cell in np.unique(labels)[1:]:
        rows, columns = np.nonzero(labels == cell)
        for offsets, index in ((maps[0], rows), (maps[1], columns)):
            values = offsets[rows, columns]
            if np.ptp(index):
                assert values.min() == -1
                assert values.max() == 1
                assert np.all(np.diff(values[np.argsort(index, kind="stable")]) >= 0)
            else:
                assert not values.any()
    assert not maps[:, labels == 0].any()
    np.testing.assert_allclose(hover_maps(np.ascontiguousarray(labels.T)), maps[::-1].transpose(0, 2, 1), atol=1e-6)


def test_more_labels_than_16_bits_hold(many_cells):
    """All cells are alike, so label 65,536 + n is not taken for label n."""
    labels, cell_by_cell = many_cells
    offsets = np.zeros((2, 4, 4))
    offsets[:, :3, :3] = np.meshgrid([-1, 0, 1], [-1, 0, 1], indexing="ij")
    for found, expected in zip(hover_maps(labels), offsets):
        found = cell_by_cell(found)
        np.testing.assert_allclose(found, np.broadcast_to(expected[:, None], found.shape))


@pytest.mark.parametrize(
    "labels",
    [np.zeros((8, 12), np.int32), np.ones((8, 12), np.int32), np.full((8, 12), 70_000, np.int32)],
    ids=["empty", "one cell", "one cell with a large number"],
)
def test_uniform_images(labels):
    """Nothing anywhere, or a cell without an outside: from -1 to 1."""
    assert np.ptp(hover_maps(labels)) == 2 * labels.any()


def test_one_pixel():
    for filled in (0, 1):
        assert hover_maps(np.full((1, 1), filled, np.int32)).tolist() == [[[0]], [[0]]]


TWO_CELLS = np.zeros((64, 128), np.int32)
TWO_CELLS[12:52, 16:56], TWO_CELLS[12:52, 56:108] = 1, 2


def test_offsets_agree_with_their_cells():
    """As above; maps of zeros differ by the mean square of numbers spread evenly over [-1, 1], a third."""
    half = np.ascontiguousarray(TWO_CELLS[::2, ::2])
    hv = cv2.resize(hover_maps(half).transpose(1, 2, 0), (32, 16), interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
    logit = np.zeros((1, 16, 32), np.float32)
    found, difference = disagreement(TWO_CELLS, logit, hv)
    assert (found == 0.5).all()
    assert difference < 0.03
    assert disagreement((TWO_CELLS > 0).astype(np.int32), logit, hv)[1] > 4 * difference
    assert disagreement(TWO_CELLS, logit, 0 * hv)[1] == pytest.approx(1 / 3, rel=0.1)
    assert disagreement(np.zeros((64, 128), np.int32), logit, hv)[1] == 0


def test_targets_by_hand():
    """A block is as much of a cell as its pixels are; its HV are means over the pixels of the cell that has most of
    it.
    """
    labels = np.zeros((4, 8), np.int32)
    labels[0:4, 1:5] = 1  # four wide: HV across -1, -1/3, 1/3, 1
    labels[0:4, 5:8] = 2  # three wide: -1, 0, 1
    cell, hv = hover.targets(labels)
    np.testing.assert_allclose(cell, [[[0.5, 1, 1, 1]] * 2])
    # The third block has a column of each: the first one stays.
    np.testing.assert_allclose(hv[1], [[-1, 0, 1, 0.5]] * 2, atol=1e-6)
    np.testing.assert_allclose(hv[0][:, 1], [-2 / 3, 2 / 3], atol=1e-6)
