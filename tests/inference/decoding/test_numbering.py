"""Numbers of cells by their first pixel, whatever the bands in which the rows come."""

import numpy as np
import pytest
from bands import bands_of

from inference.decoding.numbering import Numbering
from inference.tiles import Tally


def test_by_hand():
    """Name 3 comes first, then 1; name 2 never does."""
    tally = Tally()
    number = Numbering(tally)
    number.learn(np.array([0.1, 0.2, 0.3], np.float32))
    first = number(np.array([[0, 3, 3], [1, 3, 0]], np.int32))
    number.learn(np.array([0.4], np.float32))
    second = number(np.array([[1, 4, 0]], np.int32))
    assert first.tolist() == [[0, 1, 1], [2, 1, 0]]
    assert second.tolist() == [[2, 3, 0]]
    assert tally.cells == 3
    assert np.concatenate(tally.probabilities).tolist() == pytest.approx([0.3, 0.1, 0.4])


@pytest.mark.parametrize("heights", [(1,), (2, 5), (96,)])
def test_bands_do_not_matter(blobs, heights):
    labels = blobs(3)
    tally = Tally()
    number = Numbering(tally)
    number.learn(np.linspace(0, 1, labels.max(), dtype=np.float32))
    numbered = np.concatenate([number(band.copy()) for band in bands_of(labels, heights)])
    shown, first = np.unique(labels[labels > 0], return_index=True)
    names = shown[np.argsort(first)]
    assert np.array_equal(np.concatenate([[0], names])[numbered], labels)
    assert np.array_equal(
        np.concatenate(tally.probabilities), np.linspace(0, 1, labels.max(), dtype=np.float32)[names - 1]
    )
