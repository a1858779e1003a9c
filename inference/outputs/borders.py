"""Which pixels of the cells are outline."""

import numpy as np


def inner_border(labels: np.ndarray) -> np.ndarray:
    """Pixels of a cell with one above, below, left or right that is not of the cell.

    Parameters
    ----------
    labels : (h + 2, w + 2) integer: the pixels asked for, and those around them

    Returns
    -------
    (h, w) bool
    """
    inner = labels[1:-1, 1:-1]
    beside = (labels[:-2, 1:-1], labels[2:, 1:-1], labels[1:-1, :-2], labels[1:-1, 2:])
    border = np.zeros(inner.shape, bool)
    for other in beside:
        border |= inner != other
    return border & (inner > 0)
