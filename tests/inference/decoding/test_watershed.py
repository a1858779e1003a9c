"""Flooding against scikit-image, decoding on literal cases."""

import heapq
import itertools

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.segmentation import watershed

from inference.decoding.watershed import WatershedSettings, boundary_strength, decode_hover, flood
from inference.hover import hover_maps


def test_the_papers_cell_threshold():
    assert WatershedSettings().cell_threshold == 0.6


def random_landscape(seed, size=200):
    """Smooth 8-bit energy, some markers, and a mask with holes."""
    rng = np.random.default_rng(seed)
    energy = cv2.normalize(cv2.GaussianBlur(rng.random((size, size)), (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX).astype(
        np.uint8
    )
    markers = np.zeros((size, size), np.int32)
    markers[tuple(rng.integers(0, size, (2, 40)))] = np.arange(1, 41)
    mask = cv2.GaussianBlur(rng.random((size, size)), (0, 0), 6) > 0.49
    return energy, markers * mask, mask


def slow_flood(energy, markers, mask):
    """The same rule with Python's heap: lowest energy first, equal ones in the order of their arrival."""
    labels, arrival, heap = markers.copy(), itertools.count(), []
    for y, x in zip(*np.nonzero(markers)):
        heapq.heappush(heap, (energy[y, x], next(arrival), y, x))
    while heap:
        _, _, y, x = heapq.heappop(heap)
        for v, u in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
            if 0 <= v < labels.shape[0] and 0 <= u < labels.shape[1] and mask[v, u] and not labels[v, u]:
                labels[v, u] = labels[y, x]
                heapq.heappush(heap, (energy[v, u], next(arrival), v, u))
    return labels


@pytest.mark.parametrize("seed", range(3))
def test_flood_with_ties(seed):
    """Equal to the slow oracle; scikit-image shares out the plateaus in another order, but floods the same pixels."""
    energy, markers, mask = random_landscape(seed)
    ours = markers.copy()
    flood(energy, ours, mask)
    assert np.array_equal(ours, slow_flood(energy, markers, mask))
    assert np.array_equal(ours > 0, watershed(energy, markers, mask=mask) > 0)


def test_flood_without_ties_is_exactly_scikit_images():
    """A permutation of 0..255 on a 16x16 image has no equal energies."""
    rng = np.random.default_rng(1)
    for _ in range(50):
        energy = rng.permutation(256).reshape(16, 16).astype(np.uint8)
        markers = np.zeros((16, 16), np.int32)
        markers[tuple(rng.integers(0, 16, (2, 4)))] = [1, 2, 3, 4]
        mask = rng.random((16, 16)) < 0.9
        ours = markers.copy()
        flood(energy, ours, mask)
        assert np.array_equal(ours, watershed(energy, markers, mask=mask))


def test_flood_literal():
    energy = np.array([[0, 1, 9, 1, 0]], np.uint8)
    labels = np.array([[1, 0, 0, 0, 2]], np.int32)
    flood(energy, labels, np.ones((1, 5), bool))
    assert labels.tolist() == [[1, 1, 1, 2, 2]]
    walled = np.array([[1, 0, 0, 0, 2]], np.int32)
    flood(energy, walled, np.array([[1, 1, 0, 1, 1]], bool))
    assert walled.tolist() == [[1, 1, 0, 2, 2]]


def test_boundary_strength_of_a_step_and_of_a_ramp():
    """A fall from +1 to -1 is 1; an even rise from -1 to +1 over 40 pixels is 0."""
    hv = np.zeros((2, 20, 80), np.float32)
    hv[1] = np.tile(np.linspace(-1, 1, 40), 2)
    strength = boundary_strength(hv, 5)
    assert strength[10, 39] == pytest.approx(1, abs=0.15)
    assert strength[10, 40] == pytest.approx(1, abs=0.15)
    assert strength[:, 5:35].max() == 0


@pytest.mark.parametrize("plane", (0, 1))
def test_a_change_across_its_axis_is_a_border(plane):
    """The vertical map must not change along a row, nor the horizontal one down a column: a step from -1 to 1 is a
    border of strength 1, and a rise along the own axis is none."""
    steps = np.where(np.arange(20) < 10, -1, 1).astype(np.float32)
    hv = np.zeros((2, 20, 20), np.float32)
    hv[plane] = steps[None, :] if plane == 0 else steps[:, None]
    strength = boundary_strength(hv, 5) if plane == 0 else boundary_strength(hv, 5).T
    assert strength[:, 9:11] == pytest.approx(1, abs=1e-5)
    assert not strength[:, :7].any()
    assert not strength[:, 13:].any()
    hv[plane] = steps[:, None] if plane == 0 else steps[None, :]
    assert not boundary_strength(hv, 5).any()


def test_the_smallest_marker_counts():
    """Two even areas in one patch of uneven cell pixels; the smaller one is a marker up to its own size."""
    hv = np.random.default_rng(0).choice(np.float32([-1, 1]), (2, 20, 44))
    hv[:, 5:13, 4:13] = hv[:, 4:16, 26:40] = 0
    seeds = (boundary_strength(hv, 5) < WatershedSettings().marker_threshold).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(seeds, connectivity=4)
    size = int(np.sort(stats[1:, cv2.CC_STAT_AREA])[-2])
    found = [
        decode_hover(np.ones((20, 44), np.float32), hv, WatershedSettings(min_marker=size + more))[0].max()
        for more in (0, 1)
    ]
    assert size > 6
    assert found == [2, 1]


@pytest.mark.parametrize("seeded", [True, False])
def test_the_smallest_cell_counts(seeded):
    """A cell of 12 pixels with a marker in it, or all boundary, is one up to its own size."""
    cell = np.zeros((20, 20), np.float32)
    cell[8:11, 8:12] = 1
    hv = np.indices((20, 20), np.float32) * (0 if seeded else -1)  # falls everywhere
    seeds = (cell > 0) & (boundary_strength(hv, 5) < WatershedSettings().marker_threshold)
    assert np.count_nonzero(seeds) == 12 * seeded
    found = [decode_hover(cell, hv, WatershedSettings(min_cell=least))[0].max() for least in (12, 13)]
    assert found == [1, 0]


def touching_cells():
    labels = np.zeros((60, 90), np.int32)
    labels[10:40, 10:40], labels[10:40, 40:75], labels[40:55, 20:60] = 1, 2, 3
    return labels


def test_decode_separates_touching_rectangles():
    labels = touching_cells()
    found, begins = decode_hover((labels > 0).astype(np.float32), hover_maps(labels))
    assert set(np.unique(found)) == {0, 1, 2, 3}
    assert [10 <= row <= 13 for row in begins] == [True, True, False]
    assert 40 <= begins[2] <= 43
    for cell in (1, 2, 3):
        values, counts = np.unique(found[labels == cell], return_counts=True)
        assert counts.max() / (labels == cell).sum() > 0.95
        assert values[counts.argmax()] > 0
    assert np.array_equal(found > 0, labels > 0)


def test_decoded_cells_are_whole_and_numbered_without_gaps():
    from skimage.data import coins
    from skimage.measure import label

    labels = label(ndimage.binary_opening(coins() > 120, iterations=2)).astype(np.int32)
    found, begins = decode_hover((labels > 0).astype(np.float32), hover_maps(labels))
    assert len(begins) == found.max() > 20
    assert len(np.unique(found)) == len(begins) + 1
    assert label(found, connectivity=1).max() == len(begins)
    for cell, row in enumerate(begins, 1):
        assert (found[row] == cell).any(), "a marker begins within its cell"


def test_nothing_noise_and_one_pixel():
    assert len(decode_hover(np.zeros((5, 6), np.float32), np.zeros((2, 5, 6), np.float32))[1]) == 0
    assert len(decode_hover(np.ones((1, 1), np.float32), np.zeros((2, 1, 1), np.float32))[1]) == 0
    speck = np.zeros((30, 30), np.float32)
    speck[3, 3] = 1
    assert len(decode_hover(speck, np.zeros((2, 30, 30), np.float32))[1]) == 0
