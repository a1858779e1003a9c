"""Labels that come as bands of rows."""

import numpy as np


def numbered(shape, cells):
    """Labels with the numbers 0 to `cells`, in order."""
    return (
        (np.arange(shape[0] * shape[1], dtype=np.int64) * (cells + 1) // (shape[0] * shape[1]))
        .astype(np.int32)
        .reshape(shape)
    )


def bands_of(labels, heights):
    """The labels cut into bands of these heights, again and again."""
    top = 0
    while top < len(labels):
        for height in heights:
            if top < len(labels):
                yield labels[top : top + height]
            top += height
