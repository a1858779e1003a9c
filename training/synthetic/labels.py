"""Label images, int32 (H, W) with 0 for the background: distances and middles within cells, and order among labels."""

import numpy as np
from skimage.measure import label as connected

from inference.decoding.distances import distance_inside


def inner_distance(labels: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the edge of its own cell, float32 (H, W) pixels; 0 outside and on edges."""
    inside = labels > 0
    for axis in (0, 1):
        differs = np.diff(labels, axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        inside[tuple(before)] &= ~differs
        inside[tuple(after)] &= ~differs
    padded = np.pad(inside.astype(np.uint8), 8, mode="edge")  # cells go on beyond the image
    return distance_inside(padded)[8:-8, 8:-8]


def deepest(labels: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Greatest inner distance of each cell, float32 (n + 1,), at least 1."""
    depth = np.ones(labels.max() + 1, np.float32)
    np.maximum.at(depth, labels, distance)
    return depth


def middles(labels: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Middle (x, y) of each cell, (n + 1, 2), where it is thick."""
    weight = (distance.astype(np.float64) ** 2 + 1e-3).ravel()
    flat, height, width = labels.ravel(), *labels.shape
    total = np.maximum(np.bincount(flat, weight), 1e-9)
    x, y = np.tile(np.arange(width), height), np.repeat(np.arange(height), width)
    return np.stack([np.bincount(flat, weight * x) / total, np.bincount(flat, weight * y) / total], 1)


def tidy(labels: np.ndarray, smallest: int = 12) -> np.ndarray:
    """Numbers 1 to n without gaps, and of each cell its largest 4-connected piece if it has `smallest` pixels."""
    pieces = connected(labels, connectivity=1)
    areas = np.bincount(pieces.ravel())
    owner = np.zeros(len(areas), np.int64)
    owner[pieces.ravel()] = labels.ravel()
    order = np.argsort(areas, kind="stable")
    largest = np.zeros(labels.max() + 1, np.int64)
    largest[owner[order]] = order  # the last one written is the largest
    keep = np.zeros(len(areas), bool)
    keep[largest[1:]] = True
    keep &= areas >= smallest
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0)[pieces].astype(np.int32)
