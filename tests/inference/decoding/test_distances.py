"""Distances inside of a mask."""

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from inference.decoding.distances import distance_inside


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 9)])
def test_nothing_outside(shape):
    """A crop that one cell fills: finite, and the same everywhere."""
    assert np.array_equal(distance_inside(np.ones(shape, bool)), np.full(shape, max(shape), np.float32))


def test_as_scipy():
    mask = np.random.default_rng(0).random((60, 70)) < 0.95
    assert np.allclose(distance_inside(mask), distance_transform_edt(mask), atol=1e-4)
    assert distance_inside(mask).dtype == np.float32


def test_no_library_is_asked_directly():
    """`cv2.distanceTransform` of a mask without an outside differs from processor to processor."""
    import re
    from pathlib import Path

    root = Path(__file__).parents[3]
    files = [path for folder in ("inference", "training") for path in (root / folder).rglob("*.py")]
    assert {path.name for path in files if re.search(r"cv2\.distanceTransform\b", path.read_text())} == {"distances.py"}
