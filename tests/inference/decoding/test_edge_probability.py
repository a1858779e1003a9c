"""The object probability against stardist's and small arrays by hand."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from stardist.utils import edt_prob

from inference.decoding.edge_probability import edge_probability


@pytest.mark.parametrize("seed", range(4))
def test_probability_is_stardists(blobs, seed):
    """Equal for cells that touch nothing, else within sqrt(2) over the cell's largest distance, as the docstring
    says.
    """
    labels = blobs(seed)
    ours, theirs = edge_probability(labels), edt_prob(labels.astype(np.uint16))
    assert ours.dtype == np.float32
    assert ours.min() == 0
    assert ours.max() == 1
    compared = 0
    for cell in np.unique(labels)[1:]:
        mask = labels == cell
        around = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) > 0
        largest = distance_transform_edt(mask).max()
        touches = np.any((labels != cell) & (labels > 0) & around)
        assert np.abs(ours - theirs)[mask].max() <= (np.sqrt(2) / largest if touches else 0) + 1e-5
        compared += not touches
    assert compared > 0
    assert not ours[labels == 0].any()


def test_probability_by_hand():
    """A square of 5x5: its rings are 1, 2 and 3 pixels from the outside. Two cells side by side: distance 0 at their
    seam.
    """
    labels = np.zeros((9, 9), np.int32)
    labels[2:7, 2:7] = 4
    np.testing.assert_allclose(edge_probability(labels)[4, 1:8], [0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0], rtol=1e-6)
    labels[2:7, 4:7] = 9
    np.testing.assert_allclose(edge_probability(labels)[4, 1:8], [0, 1, 0, 0, 1, 1, 0], rtol=1e-6)


def test_probability_depends_on_nothing_but_the_labels(blobs):
    """Wherever the arrays lie in memory: OpenCV's distances alone differ in the last bit between aligned and unaligned
    arrays.
    """
    labels = blobs(0)
    kept, results = [], []
    for size in range(40):
        kept.append(np.empty(8 * size + 8, np.uint8))
        results.append(edge_probability(labels))
    assert all(np.array_equal(results[0], r) for r in results)


def test_more_labels_than_16_bits_hold(many_cells):
    """All cells are alike, so label 65,536 + n is not taken for label n."""
    labels, cell_by_cell = many_cells
    probability = np.zeros((4, 4))
    probability[:3, :3] = [[0.5, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 0.5]]
    inner = cell_by_cell(edge_probability(labels))[1:-1, :, 1:-1]  # a cell at the image's border has no outside there
    np.testing.assert_allclose(inner, np.broadcast_to(probability[:, None], inner.shape))


@pytest.mark.parametrize(
    "labels",
    [np.zeros((8, 12), np.int32), np.ones((8, 12), np.int32), np.full((8, 12), 70_000, np.int32)],
    ids=["empty", "one cell", "one cell with a large number"],
)
def test_uniform_images(labels):
    """Nothing anywhere, or a cell without an outside: probability 1."""
    assert np.all(edge_probability(labels) == labels.any())


def test_one_pixel():
    for filled in (0, 1):
        assert edge_probability(np.full((1, 1), filled, np.int32)).tolist() == [[filled]]
