"""Parts of a label image put together."""

import numpy as np

from inference.cluster.joining import join


def put_together(parts):
    """All rows with their numbers, and the probabilities of all cells."""
    numbers = join([part.border for part in parts])
    heights = [sum(shape[0] for _, shape in part.packed) for part in parts]
    rows = [part.rows(own, 0, height) for part, own, height in zip(parts, numbers, heights) if height]
    return np.concatenate(rows), np.concatenate([part.new(own) for part, own in zip(parts, numbers)])
