"""The targets of a crop."""

import cv2
import numpy as np
import pytest

from inference import hover
from inference.decoding.edge_probability import edge_probability
from inference.hover import HOVER_STRIDE
from models.unet import STRIDE
from training.images.targets import make_targets


def test_targets_of_a_crop(blobs):
    """Sizes and types, and that each map is taken where its grid point stands."""
    labels = blobs(5, (64, 64), 8)
    known = np.ones((64, 64), np.float32)
    known[:, 48:] = 0
    targets = make_targets(labels, known)
    quarter, half = 64 // STRIDE, 64 // HOVER_STRIDE
    assert {name: array.shape for name, array in targets.items()} == {
        "prob": (1, quarter, quarter),
        "dist": (32, quarter, quarter),
        "weight": (1, quarter, quarter),
        "cell": (1, half, half),
        "hv": (2, half, half),
        "hover_weight": (1, half, half),
    }
    assert all(array.dtype == np.float32 and array.flags["C_CONTIGUOUS"] for array in targets.values())
    assert np.array_equal(targets["weight"][0, 0] > 0, STRIDE * np.arange(quarter) < 48)
    assert np.array_equal(targets["hover_weight"][0, 0] > 0, HOVER_STRIDE * np.arange(half) < 48)
    assert np.array_equal(targets["dist"][0] > 0, labels[2::4, 2::4] > 0)
    probability = edge_probability(labels)
    for i, j in ((3, 5), (8, 8), (15, 0)):
        around = probability[4 * i + 1 : 4 * i + 3, 4 * j + 1 : 4 * j + 3]
        assert targets["prob"][0, i, j] == pytest.approx(around.mean())
    cell, hv = hover.targets(labels)
    assert np.array_equal(targets["cell"], cell)
    assert np.array_equal(targets["hv"], hv)


@pytest.mark.parametrize("begin", (46, 47))
def test_a_block_counts_as_little_as_its_least_pixel(begin):
    """Padding from an odd column on takes the block that it begins in, on each side, and so does a pixel of less
    weight.
    """
    known = np.ones((64, 64), np.float32)
    known[:, begin:] = known[: 64 - begin] = 0
    known[40, 20] = 0.25
    weight = make_targets(np.zeros((64, 64), np.int32), known)["hover_weight"][0]
    expected = np.zeros((32, 32), np.float32)
    expected[9:, :23] = 1
    expected[20, 10] = 0.25
    assert np.array_equal(weight, expected)


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
    assert np.all(targets["prob"] == 1)
    assert np.all(targets["cell"] == 1)
    huge = np.full((8, 12), 1.8e19, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cv2, "distanceTransform", lambda *_: huge)
        assert np.all(edge_probability(np.ones((8, 12), np.int32)) == 1)
