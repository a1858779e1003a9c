"""inference.geometry against stardist's, small arrays by hand, and shapes with known distances."""

import numpy as np
import pytest
from stardist.geometry import star_dist

from inference.geometry import hover_maps, star_distances


def disk(shape, centre, radius):
    y, x = np.indices(shape)
    return ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2).astype(np.int32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rays", (32, 5))
def test_distances_are_stardists(blobs, seed, rays):
    labels = blobs(seed)
    np.testing.assert_allclose(star_distances(labels, rays), star_dist(labels, rays), atol=1e-4)


def test_distances_by_hand():
    """A cell of 1x1 and one of 3x4, four rays: right, down, left, up; the border lies half a pixel outside the last pixel."""
    labels = np.zeros((5, 9), np.int32)
    labels[2, 1] = 7
    labels[1:4, 4:8] = 3
    distances = star_distances(labels, 4)
    assert distances.shape == (5, 9, 4) and distances.dtype == np.float32
    np.testing.assert_allclose(distances[2, 1], [0.5, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(distances[1, 5], [2.5, 2.5, 1.5, 0.5])
    assert not distances[labels == 0].any()


def test_distances_end_at_the_image():
    np.testing.assert_allclose(star_distances(np.ones((4, 6), np.int32), 4)[1, 2], [3.5, 2.5, 2.5, 1.5])


@pytest.mark.parametrize("stride", (2, 4))
def test_distances_on_a_grid(stride):
    """Each grid point stands for the centre of its block: a disk's border is as far from there as geometry says, within two
    pixels for a grazing ray and a quarter on average."""
    centre, radius = (30.3, 34.8), 20
    distances = star_distances(disk((64, 72), centre, radius), stride=stride)
    assert distances.shape == (64 // stride, 72 // stride, 32)
    y, x = (stride * index + (stride - 1) / 2 for index in np.indices(distances.shape[:2]))
    inside = np.hypot(y - centre[0], x - centre[1]) < radius - 3
    angle = 2 * np.pi * np.arange(32) / 32
    dy, dx = (y - centre[0])[inside][:, None], (x - centre[1])[inside][:, None]
    along = dy * np.sin(angle) + dx * np.cos(angle)
    expected = -along + np.sqrt(along**2 + radius**2 - dy**2 - dx**2)
    assert np.abs(distances[inside] - expected).max() < 2
    assert np.abs((distances[inside] - expected).mean()) < 0.25


def test_hover_by_hand():
    """A 3x5 rectangle: -1, 0, 1 down and -1, -1/2, 0, 1/2, 1 across. A T: its centre of mass is off, both ends still at 1."""
    labels = np.zeros((5, 7), np.int32)
    labels[1:4, 1:6] = 2
    maps = hover_maps(labels)
    assert maps.shape == (2, 5, 7) and maps.dtype == np.float32
    np.testing.assert_allclose(maps[0, :, 3], [0, -1, 0, 1, 0])
    np.testing.assert_allclose(maps[1, 2], [0, -1, -0.5, 0, 0.5, 1, 0])
    letter = np.array([[1, 1, 1], [0, 1, 0], [0, 1, 0]], np.int32)  # rows of 3, 1, 1 pixels: centre at row 0.6
    np.testing.assert_allclose(hover_maps(letter)[0], [[-1, -1, -1], [0, 0.4 / 1.4, 0], [0, 1, 0]], rtol=1e-6)
    np.testing.assert_allclose(hover_maps(letter)[1], [[-1, 0, 1], [0, 0, 0], [0, 0, 0]])


@pytest.mark.parametrize("seed", range(3))
def test_hover_invariants(blobs, seed):
    """Within [-1, 1] and reaching both ends in every cell wider than a pixel; rises by one pixel's share along an axis; a
    transposed image gives transposed maps, swapped."""
    labels = blobs(seed)
    maps = hover_maps(labels)
    for cell in np.unique(labels)[1:]:
        rows, columns = np.nonzero(labels == cell)
        for offsets, index in ((maps[0], rows), (maps[1], columns)):
            values = offsets[rows, columns]
            if np.ptp(index):
                assert values.min() == -1 and values.max() == 1
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
    distances = cell_by_cell(star_distances(labels, 4))
    assert np.all(distances[:, 1, :, 1] == 1.5) and not distances[:, 3].any()


@pytest.mark.parametrize("labels", [np.zeros((8, 12), np.int32), np.ones((8, 12), np.int32), np.full((8, 12), 70_000, np.int32)],
                         ids=["empty", "one cell", "one cell with a large number"])
def test_uniform_images(labels):
    """Nothing anywhere, or a cell without an outside: HV maps from -1 to 1."""
    filled = labels.any()
    assert star_distances(labels).any() == filled
    assert np.ptp(hover_maps(labels)) == 2 * filled


def test_one_pixel():
    for filled in (0, 1):
        labels = np.full((1, 1), filled, np.int32)
        assert star_distances(labels, 4).tolist() == [[[0.5 * filled] * 4]]
        assert hover_maps(labels).tolist() == [[[0]], [[0]]]
