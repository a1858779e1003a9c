"""The shapes of cells as the networks' maps hold them, made from a label image. Compiled with numba, any number of labels.

Training learns from these maps (`training.datasets`), and inference compares them with what a network predicted: maps that the
cells found do not explain tell of a poor segmentation.

Ray distances are made on a grid of every `stride`-th pixel. Grid point (i, j) stands for the image position
(stride*i + (stride-1)/2, stride*j + (stride-1)/2), the centre of its stride x stride block, which is where bilinear
up-sampling of the networks' maps puts it.
"""

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
