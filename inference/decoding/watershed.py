"""From Hover maps to cells: markers where the HV maps are even, watershed on their jumps. Flooding compiled with numba.

HoVer-Net (Graham et al. 2019) scales the gradients of each image by their own minimum and maximum, so that a tile
decodes differently from the whole. Here the scale is fixed: HV runs from -1 to 1 across a cell, so between two touching
cells it falls by 2, and such a fall is a border of strength 1 in every image.
"""

import itertools
from dataclasses import dataclass, replace

import cv2
import numpy as np

from inference.compiled import compiled
from inference.decoding.sensitivity import shifted

LEVELS = 256  # the boundary strength is flooded in 8-bit steps


@dataclass(frozen=True)
class WatershedSettings:
    """Decoding of Hover's maps; lengths are pixels of the map that is decoded (half the working size)."""

    cell_threshold: float = 0.6  # paper, section 3.3
    marker_threshold: float = 0.1  # of the boundary strength; markers lie below it
    sobel_size: int = 5  # HoVer-Net has 21 at twice this resolution and cuts thin cells with it
    min_marker: int = 6  # pixels; smaller markers are noise
    min_cell: int = 20  # pixels; an eighth of the typical cell at the working size. Smaller cells are splinters

    def at(self, sensitivity: float) -> "WatershedSettings":
        """Those for another sensitivity, see `inference.decoding.sensitivity`."""
        return replace(self, cell_threshold=shifted(self.cell_threshold, sensitivity))

    @classmethod
    def grid(cls) -> list["WatershedSettings"]:
        """Those that are tried when they are fitted to images."""
        return [
            cls(cell_threshold=c, marker_threshold=m)
            for c, m in itertools.product((0.4, 0.5, 0.6, 0.7), (0.05, 0.1, 0.15, 0.2, 0.3))
        ]


@compiled
def flood(energy, labels, mask):
    """Marker-controlled watershed with a bucket queue: cost grows linearly with the pixels.

    Pixels are flooded from the markers in the order of their energy, equal ones first come first served, through
    4-neighbours; the same as ``skimage.segmentation.watershed`` on 8-bit input.

    Parameters
    ----------
    energy : (H, W) uint8
    labels : (H, W) int32 markers, 0 elsewhere; grown in place
    mask : (H, W) bool, pixels that may be flooded
    """
    height, width = labels.shape
    wide = width + 2  # with a border that cannot be flooded, no neighbour needs a test whether it exists
    size = (height + 2) * wide
    free = np.zeros(size, np.bool_)
    names, levels = np.zeros(size, np.int32), np.empty(size, np.uint8)
    for y in range(height):
        for x in range(width):
            i = (y + 1) * wide + x + 1
            levels[i] = energy[y, x]
            if mask[y, x]:
                names[i] = labels[y, x]
                free[i] = labels[y, x] == 0
    follow = np.empty(size, np.int32)
    head, tail = np.full(LEVELS, -1, np.int32), np.full(LEVELS, -1, np.int32)
    for i in range(wide, size - wide):
        if names[i] and (
            free[i - wide] or free[i - 1] or free[i + 1] or free[i + wide]
        ):  # else nothing to flood from here
            level = levels[i]
            follow[i] = -1
            if head[level] < 0:
                head[level] = i
            else:
                follow[tail[level]] = i
            tail[level] = i
    current = 0
    while current < LEVELS:
        i = head[current]
        if i < 0:
            current += 1
            continue
        head[current] = follow[i]
        for j in (i - wide, i - 1, i + 1, i + wide):
            if not free[j]:
                continue
            free[j] = False
            names[j] = names[i]
            level = levels[j]
            follow[j] = -1
            if head[level] < 0:
                head[level] = j
            else:
                follow[tail[level]] = j
            tail[level] = j
            current = min(current, level)
    for y in range(height):
        for x in range(width):
            labels[y, x] = names[(y + 1) * wide + x + 1]


def boundary_strength(hv: np.ndarray, sobel_size: int) -> np.ndarray:
    """How far the HV vectors jump from one pixel to the next: 0 within cells, up to 1 between them.

    Within a cell the vertical map rises downwards and the horizontal one to the right, gently, and neither changes
    across. Any fall along its own axis and any change across it is a border. HoVer-Net looks at the falls alone and
    misses borders between cells that lie at an angle or are not convex.

    Parameters
    ----------
    hv : (2, H, W) float32, vertical then horizontal, in [-1, 1]
    sobel_size : odd, pixels

    Returns
    -------
    (H, W) float32 in [0, 1]
    """
    derivative, smooth = (k.ravel() for k in cv2.getDerivKernels(1, 0, sobel_size, normalize=False, ktype=cv2.CV_64F))
    full_fall = 2 * derivative[: sobel_size // 2].sum() * smooth.sum()  # response to a step from +1 to -1, negative
    fall = derivative / full_fall

    def filtered(plane: np.ndarray, along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(plane, cv2.CV_32F, along_x, along_y, borderType=cv2.BORDER_REPLICATE)

    vertical, horizontal = hv
    squared = (
        np.maximum(filtered(vertical, smooth, fall), 0) ** 2 + np.maximum(filtered(horizontal, fall, smooth), 0) ** 2
    )
    squared += filtered(vertical, fall, smooth) ** 2 + filtered(horizontal, smooth, fall) ** 2
    return np.minimum(np.sqrt(squared), 1)


def decode_hover(
    cell_probability: np.ndarray, hv: np.ndarray, settings: WatershedSettings = WatershedSettings()
) -> tuple[np.ndarray, np.ndarray]:
    """Separate cells by a marker-controlled watershed.

    Parameters
    ----------
    cell_probability : (H, W) float32 in [0, 1]
    hv : (2, H, W) float32, vertical then horizontal, in [-1, 1]

    Returns
    -------
    labels (H, W) int32: 0 is background, cells are 1..n without gaps, each one 4-connected; and the row in which each
    cell's marker begins, (n,) int32.
    """
    mask = cell_probability > settings.cell_threshold
    boundary = boundary_strength(np.ascontiguousarray(hv, np.float32), settings.sobel_size)
    seeds = (mask & (boundary < settings.marker_threshold)).astype(np.uint8)
    count, markers, stats, _ = cv2.connectedComponentsWithStats(seeds, connectivity=4, ltype=cv2.CV_32S)
    keep = stats[:, cv2.CC_STAT_AREA] >= settings.min_marker
    keep[0] = False
    markers = np.where(keep, np.arange(count, dtype=np.int32), np.int32(0))[markers]
    # A small cell may be all boundary: without a seed of its own it is one marker as a whole.
    parts, components, part_stats, _ = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S
    )
    seeded = np.zeros(parts, bool)
    seeded[components[markers > 0]] = True
    seeded[0] = True
    whole = np.where(
        seeded | (part_stats[:, cv2.CC_STAT_AREA] < settings.min_cell), 0, np.arange(parts, dtype=np.int32) + count
    )
    markers += whole.astype(np.int32)[components]
    flood((boundary * (LEVELS - 1)).astype(np.uint8), markers, mask)
    tops = np.concatenate([stats[:, cv2.CC_STAT_TOP], part_stats[:, cv2.CC_STAT_TOP]])
    areas = np.bincount(markers.ravel(), minlength=len(tops))
    kept = areas >= settings.min_cell
    kept[0] = False
    return (np.cumsum(kept, dtype=np.int32) * kept)[markers], tops[kept]
