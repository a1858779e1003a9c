"""Label images at another size."""

import numpy as np
import pytest

from inference.decoding.resizing import resize_rows
from tests.helpers.resized import resize_labels


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_resize_labels(factor):
    yy, xx = np.mgrid[:40, :60]
    labels = (np.hypot(yy - 20, xx - 20) < 12).astype(np.int32) + 2 * (np.hypot(yy - 20, xx - 45) < 10)
    large = resize_labels(labels, (40 * factor, 60 * factor), (1 / factor, 1 / factor))
    assert np.array_equal(large, labels) if factor == 1 else set(np.unique(large)) == {0, 1, 2}
    for cell in (1, 2):
        assert (large == cell).sum() == pytest.approx(factor**2 * (labels == cell).sum(), rel=0.03)
    assert np.array_equal(resize_labels(large, (40, 60), (factor, factor)), labels)


def test_resize_labels_gives_smooth_outlines():
    """Enlarged four times, a 45-degree edge has steps of one pixel, not of four."""
    labels = np.tril(np.ones((20, 20), np.int32))
    large = resize_labels(labels, (80, 80), (0.25, 0.25))
    ends = large[10:70].sum(axis=1)
    assert np.abs(np.diff(ends)).max() <= 2


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.7])
def test_some_rows_of_resized_labels(factor):
    """From the rows that they depend on: equal to those of the whole."""
    labels = np.random.default_rng(0).integers(0, 5, (60, 11), np.int32)
    shape = (round(60 * factor), 17)
    scale = (60 / shape[0], 11 / 17)
    whole = resize_labels(labels, shape, scale)
    for top, bottom in ((0, 3), (shape[0] // 3, shape[0] // 2), (shape[0] - 2, shape[0])):
        first, last = max(0, int((top + 0.5) * scale[0] - 0.5)), min(60, int((bottom - 0.5) * scale[0] - 0.5) + 2)
        assert np.array_equal(resize_rows(labels[first:last], first, 60, (top, bottom), 17, scale), whole[top:bottom])


def test_resized_rows_beyond_2_to_the_31():
    """The last rows of labels of 5,000,000,000 rows."""
    labels = np.array([[1, 1], [2, 2]], np.int32)
    rows = resize_rows(labels, 4_999_999_998, 5_000_000_000, (4_999_999_998, 5_000_000_000), 2, (1.0, 1.0))
    assert rows.tolist() == [[1, 1], [2, 2]]
