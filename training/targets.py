"""What the networks learn to predict, made from a label image. Compiled with numba, any number of labels.

Maps are made on a grid of every `stride`-th pixel. Grid point (i, j) stands for the image position
(stride*i + (stride-1)/2, stride*j + (stride-1)/2), the centre of its stride x stride block, which is where bilinear
up-sampling of the networks' maps puts it.
"""

import cv2
import numpy as np

from inference.compiled import compiled
from models.stardist import RAYS


@compiled
def star_distances(labels, rays=RAYS, stride=1):
    """Distances from each grid point to the border of its cell along equally spaced rays.

    The ray advances a pixel at a time until the label changes and steps back to the border between the last two pixels,
    as in StarDist (Schmidt et al. 2018; the same numbers as ``stardist.geometry.star_dist`` for stride 1).

    Parameters
    ----------
    labels : int32 array of shape (H, W), 0 is background
    rays : int
    stride : int

    Returns
    -------
    float32 array of shape (H // stride, W // stride, rays), in pixels, 0 in the background. Ray k points to
    (sin, cos)(2*pi*k/rays) in (y, x).
    """
    height, width = labels.shape
    offset = (stride - 1) / 2
    distances = np.zeros((height // stride, width // stride, rays), np.float32)
    for i in range(height // stride):
        for j in range(width // stride):
            y0, x0 = i * stride + offset, j * stride + offset
            label = labels[int(y0 + 0.5), int(x0 + 0.5)]
            if label == 0:
                continue
            for k in range(rays):
                dy, dx = np.sin(2 * np.pi * k / rays), np.cos(2 * np.pi * k / rays)
                steps = 1
                while True:
                    y, x = int(np.floor(y0 + steps * dy + 0.5)), int(np.floor(x0 + steps * dx + 0.5))
                    if y < 0 or y >= height or x < 0 or x >= width or labels[y, x] != label:
                        break
                    steps += 1
                overshoot = 1 - 0.5 / max(abs(dy), abs(dx))
                distances[i, j, k] = max(0.0, steps - overshoot)
    return distances


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
    """Each pixel's distance over its cell's largest one, from the squares, which are whole numbers: OpenCV's square roots differ
    in the last bit with the place of the array in memory, and two runs of one seed must see the same target."""
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
    One Euclidean distance transform serves all cells: pixels that touch another cell are cut away before it. Their distance is
    then 0 instead of 1 or sqrt(2), so that the result is off by at most sqrt(2) over the cell's largest distance; cells that
    touch nothing are exact.
    """
    return _over_cell_maximum(labels, cv2.distanceTransform(_cut_touching(labels), cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


@compiled
def hover_maps(labels):
    """Offsets of each cell pixel from its cell's centre of mass, divided by the cell's extent on that side (Graham et al. 2019).

    Parameters
    ----------
    labels : int32 array of shape (H, W)

    Returns
    -------
    float32 array of shape (2, H, W) in [-1, 1]: vertical (y) then horizontal (x), 0 in the background. The cell's first
    row is -1 and its last one +1.
    """
    height, width = labels.shape
    count = labels.max() + 1
    pixels = np.zeros(count, np.int64)
    centre = np.zeros((2, count), np.float64)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            pixels[label] += 1
            centre[0, label] += y
            centre[1, label] += x
    for label in range(1, count):
        if pixels[label] > 0:
            centre[:, label] /= pixels[label]
    extent = np.zeros((2, 2, count), np.float64)  # axis, negative or positive side
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            for axis in range(2):
                offset = (y if axis == 0 else x) - centre[axis, label]
                side = 1 if offset > 0 else 0
                extent[axis, side, label] = max(extent[axis, side, label], abs(offset))
    maps = np.zeros((2, height, width), np.float32)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0:
                continue
            for axis in range(2):
                offset = (y if axis == 0 else x) - centre[axis, label]
                reach = extent[axis, 1 if offset > 0 else 0, label]
                if reach > 0:
                    maps[axis, y, x] = offset / reach
    return maps
