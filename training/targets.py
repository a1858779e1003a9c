"""What the networks learn to predict, made from a label image: object probability, distances and HV maps on the grids of the networks.

Grid point (i, j) of a grid of every `stride`-th pixel stands for the centre of its stride x stride block, as in
`inference.geometry` and wherever the networks' maps are decoded.
"""

import cv2
import numpy as np

from inference.compiled import compiled
from inference.geometry import hover_maps, star_distances
from inference.hover_stream import HOVER_STRIDE
from models.unet import STRIDE


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
    touch nothing are exact. A cell that fills the whole array has no outside there: its probability is 1.
    """
    inner = _cut_touching(labels)
    if inner.all():  # OpenCV's distances to nothing differ from processor to processor
        return np.ones(labels.shape, np.float32)
    return _over_cell_maximum(labels, cv2.distanceTransform(inner, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


@compiled
def _block_means(labels, maps, stride):
    """Share of cell pixels of each block, and the mean of each map over the pixels of the cell that has most of the block."""
    rows, columns = labels.shape[0] // stride, labels.shape[1] // stride
    share = np.zeros((rows, columns), np.float32)
    means = np.zeros((len(maps), rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            block = labels[i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
            filled, winner, most = 0, 0, 0
            for label in block.flat:
                if label == 0:
                    continue
                filled += 1
                count = 0
                for other in block.flat:
                    count += other == label
                if count > most:
                    winner, most = label, count
            if most == 0:
                continue
            share[i, j] = filled / stride**2
            for y in range(stride):
                for x in range(stride):
                    if block[y, x] == winner:
                        for k in range(len(maps)):
                            means[k, i, j] += maps[k, i * stride + y, j * stride + x] / most
    return share, means


def hover_targets(labels: np.ndarray, stride: int = HOVER_STRIDE) -> tuple[np.ndarray, np.ndarray]:
    """Share of cell pixels (H/stride, W/stride) in [0, 1] and HV maps (2, H/stride, W/stride) in [-1, 1] of each block, float32.

    The HV maps are means over the pixels of the cell that has most of the block, so that two cells are never mixed.

    Parameters
    ----------
    labels : int32 array of shape (H, W), multiples of `stride`
    """
    return _block_means(labels, hover_maps(labels), stride)


def make_targets(labels: np.ndarray, known: np.ndarray) -> dict[str, np.ndarray]:
    """Targets of both kinds of network.

    Parameters
    ----------
    labels : int32 array of shape (S, S), S a multiple of 4
    known : float32 array of shape (S, S), weight of each pixel in the losses

    Returns
    -------
    float32 arrays: on the 1/4 grid prob (1, h, w), dist (32, h, w) and weight (1, h, w); on the 1/2 grid cell (1, h, w), hv
    (2, h, w) and hover_weight (1, h, w).
    """
    cell, hv = hover_targets(labels)
    return {
        "prob": at_block_centres(edge_probability(labels))[None],
        "dist": star_distances(labels, stride=STRIDE).transpose(2, 0, 1).copy(),
        "weight": at_block_centres(known)[None],
        "cell": cell[None],
        "hv": hv,
        "hover_weight": known[HOVER_STRIDE // 2 :: HOVER_STRIDE, HOVER_STRIDE // 2 :: HOVER_STRIDE][None].copy(),
    }


def at_block_centres(values: np.ndarray) -> np.ndarray:
    """(H, W) -> (H/4, W/4) float32: means of the four pixels around the centre of each 4x4 block."""
    first, second = slice(STRIDE // 2 - 1, None, STRIDE), slice(STRIDE // 2, None, STRIDE)
    return (values[first, first] + values[first, second] + values[second, first] + values[second, second]) / 4
