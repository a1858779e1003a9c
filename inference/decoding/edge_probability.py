"""The object probability that StarDist networks learn to predict, made from a label image."""

import numpy as np

from inference.compiled import compiled
from inference.decoding.distances import distance_inside


@compiled
def _cut_touching(labels):
    """1 where a pixel and its right, lower and diagonal neighbours belong to one cell, else 0."""
    height, width = labels.shape
    mask = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0:
                continue
            same = True
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    v, u = y + dy, x + dx
                    if 0 <= v < height and 0 <= u < width and labels[v, u] != label and labels[v, u] != 0:
                        same = False
            mask[y, x] = same
    return mask


@compiled
def _over_cell_maximum(labels, distance):
    """Each pixel's distance over its cell's largest one, from the squares, which are whole numbers: OpenCV's square
    roots differ in the last bit with the place of the array in memory, and two runs of one seed must see the same
    target."""
    maximum = np.zeros(labels.max() + 1, np.float64)
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            maximum[labels[y, x]] = max(maximum[labels[y, x]], np.rint(distance[y, x] ** 2))
    result = np.zeros((height, width), np.float32)
    for y in range(height):
        for x in range(width):
            if labels[y, x] != 0:
                top = maximum[labels[y, x]]
                result[y, x] = np.sqrt(np.rint(distance[y, x] ** 2) / top) if top > 0 else 1.0
    return result


def edge_probability(labels: np.ndarray) -> np.ndarray:
    """Object probability: distance to the nearest pixel outside the cell over the cell's largest such distance.

    Parameters
    ----------
    labels : int32 array of shape (H, W)

    Returns
    -------
    float32 array of shape (H, W) in [0, 1], 0 in the background.

    Notes
    -----
    One Euclidean distance transform serves all cells: pixels that touch another cell are cut away before it. Their
    distance is then 0 instead of 1 or sqrt(2), so that the result is off by at most sqrt(2) over the cell's largest
    distance; cells that touch nothing are exact. A cell that fills the whole array has no outside there: its
    probability is 1.
    """
    inner = _cut_touching(labels)
    return _over_cell_maximum(labels, distance_inside(inner))
