"""The targets of a crop."""

import numpy as np

from inference.edge_probability import edge_probability
from inference.hover import hover_maps
from models.unet import STRIDE
from training.datasets import HOVER_STRIDE, make_targets


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
    assert np.array_equal(targets["prob"][0] > 0, edge_probability(labels)[2::4, 2::4] > 0)
    assert np.array_equal(targets["dist"][0] > 0, labels[2::4, 2::4] > 0)
    assert np.array_equal(targets["cell"][0] > 0, labels[1::2, 1::2] > 0)
    assert np.array_equal(targets["hv"], hover_maps(labels)[:, 1::2, 1::2])
