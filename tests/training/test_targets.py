"""training.targets against stardist's and small arrays by hand, and the targets of a crop."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from stardist.utils import edt_prob

from inference.hover_stream import HOVER_STRIDE
from models.unet import STRIDE
from training.targets import edge_probability, hover_targets, make_targets


@pytest.mark.parametrize("seed", range(4))
def test_probability_is_stardists(blobs, seed):
    """Equal for cells that touch nothing, else within sqrt(2) over the cell's largest distance, as the docstring says."""
    labels = blobs(seed)
    ours, theirs = edge_probability(labels), edt_prob(labels.astype(np.uint16))
    assert ours.dtype == np.float32 and ours.min() == 0 and ours.max() == 1
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
    """A square of 5x5: its rings are 1, 2 and 3 pixels from the outside. Two cells side by side: distance 0 at their seam."""
    labels = np.zeros((9, 9), np.int32)
    labels[2:7, 2:7] = 4
    np.testing.assert_allclose(edge_probability(labels)[4, 1:8], [0, 1 / 3, 2 / 3, 1, 2 / 3, 1 / 3, 0], rtol=1e-6)
    labels[2:7, 4:7] = 9
    np.testing.assert_allclose(edge_probability(labels)[4, 1:8], [0, 1, 0, 0, 1, 1, 0], rtol=1e-6)


def test_probability_depends_on_nothing_but_the_labels(blobs):
    """Wherever the arrays lie in memory: OpenCV's distances alone differ in the last bit between aligned and unaligned arrays."""
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


@pytest.mark.parametrize("labels", [np.zeros((8, 12), np.int32), np.ones((8, 12), np.int32), np.full((8, 12), 70_000, np.int32)],
                         ids=["empty", "one cell", "one cell with a large number"])
def test_uniform_images(labels):
    """Nothing anywhere, or a cell without an outside: probability 1."""
    assert np.all(edge_probability(labels) == labels.any())


def test_one_pixel():
    for filled in (0, 1):
        assert edge_probability(np.full((1, 1), filled, np.int32)).tolist() == [[filled]]


def test_targets_of_a_crop(blobs):
    """Sizes and types, and that each map is taken where its grid point stands."""
    labels = blobs(5, (64, 64), 8)
    known = np.ones((64, 64), np.float32)
    known[:, 48:] = 0
    targets = make_targets(labels, known)
    quarter, half = 64 // STRIDE, 64 // HOVER_STRIDE
    assert {name: array.shape for name, array in targets.items()} == {
        "prob": (1, quarter, quarter), "dist": (32, quarter, quarter), "weight": (1, quarter, quarter),
        "cell": (1, half, half), "hv": (2, half, half), "hover_weight": (1, half, half)}
    assert all(array.dtype == np.float32 and array.flags["C_CONTIGUOUS"] for array in targets.values())
    assert np.array_equal(targets["weight"][0, 0] > 0, STRIDE * np.arange(quarter) < 48)
    assert np.array_equal(targets["hover_weight"][0, 0] > 0, HOVER_STRIDE * np.arange(half) < 48)
    assert np.array_equal(targets["dist"][0] > 0, labels[2::4, 2::4] > 0)
    probability = edge_probability(labels)
    for i, j in ((3, 5), (8, 8), (15, 0)):
        around = probability[4 * i + 1 : 4 * i + 3, 4 * j + 1 : 4 * j + 3]
        assert targets["prob"][0, i, j] == pytest.approx(around.mean())
    cell, hv = hover_targets(labels)
    assert np.array_equal(targets["cell"][0], cell) and np.array_equal(targets["hv"], hv)


def test_hover_targets_by_hand():
    """A block is as much of a cell as its pixels are; its HV are means over the pixels of the cell that has most of it."""
    labels = np.zeros((4, 8), np.int32)
    labels[0:4, 1:5] = 1  # four wide: HV across -1, -1/3, 1/3, 1
    labels[0:4, 5:8] = 2  # three wide: -1, 0, 1
    cell, hv = hover_targets(labels)
    np.testing.assert_allclose(cell, [[0.5, 1, 1, 1]] * 2)
    np.testing.assert_allclose(hv[1], [[-1, 0, 1, 0.5]] * 2, atol=1e-6)  # the third block has a column of each: the first one stays
    np.testing.assert_allclose(hv[0][:, 1], [-2 / 3, 2 / 3], atol=1e-6)


@pytest.mark.parametrize("side", (10, 12, 14))
def test_hover_targets_stand_at_the_centres_of_their_blocks(side):
    """A centred square gives maps that are mirror images of themselves; half a pixel off they would not be."""
    labels = np.zeros((32, 32), np.int32)
    labels[16 - side // 2 : 16 + side // 2, 16 - side // 2 : 16 + side // 2] = 1
    targets = make_targets(labels, np.ones(labels.shape, np.float32))
    for name in ("cell", "prob", "weight", "hover_weight"):
        np.testing.assert_allclose(targets[name], targets[name][:, ::-1, ::-1], atol=1e-6, err_msg=name)
    np.testing.assert_allclose(targets["hv"], -targets["hv"][:, ::-1, ::-1], atol=1e-6)


def test_a_crop_that_one_cell_fills():
    """There is no pixel outside, and OpenCV's distances to nothing are infinite or not, as the processor has it."""
    targets = make_targets(np.ones((32, 32), np.int32), np.ones((32, 32), np.float32))
    assert all(np.isfinite(array).all() for array in targets.values())
    assert np.all(targets["prob"] == 1) and np.all(targets["cell"] == 1)
    huge = np.full((8, 12), 1.8e19, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cv2, "distanceTransform", lambda *_: huge)
        assert np.all(edge_probability(np.ones((8, 12), np.int32)) == 1)
