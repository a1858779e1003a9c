"""Size, form and brightness of every cell, as `skimage.measure.regionprops` defines them, while the label rows go by.

regionprops needs the whole image in memory, and half a millisecond a cell; this needs one pass over the rows.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from inference.compiled import compiled
from inference.outputs.extents import BOTTOM, LEFT, RIGHT, TOP, Extents
from inference.outputs.label_rows import LabelRows

MARGIN = 2  # rows above and below that the perimeter depends on


def measure_shapes(labels: LabelRows, extents: Extents) -> dict[str, np.ndarray]:
    """Columns of regionprops, each of shape (cells,), in pixels, for the cells 1, 2, 3, ...

    area, bbox-0..3, centroid-0..1, perimeter, eccentricity, solidity, axis_major_length, axis_minor_length,
    orientation, equivalent_diameter_area; and, which regionprops lacks, touches_border (0 or 1).

    Notes
    -----
    Moments are summed up as integers from the corner of each cell's box, so that they are exact.
    """
    cells = labels.cells
    moments = np.zeros((cells + 1, 5), np.int64)  # sums of y, x, yy, yx, xx
    perimeter = np.zeros((cells + 1, 3), np.int64)  # border pixels that count 1, sqrt(2), (1 + sqrt(2)) / 2
    heights = extents.box[:, BOTTOM] - extents.box[:, TOP]
    heights[0] = 0
    first = np.concatenate([[0], np.cumsum(heights)])  # of each cell in the list of all rows of all cells
    ends = np.empty((first[-1], 2), np.int64)  # leftmost and rightmost pixel
    ends[:] = (labels.shape[1], -1)
    height = max(1, labels.band_pixels // labels.shape[1])
    for top, block in labels.regular(height, MARGIN):
        _add_rows(block, top, extents.box, first, moments, ends)
        _add_perimeter(block, perimeter)
    hull = np.zeros(cells + 1, np.int64)
    _count_hulls(first, ends, hull)

    area, box = extents.area[1:], extents.box[1:]
    y, x, yy, yx, xx = (moments[1:] / area[:, None]).T
    yy, yx, xx = yy - y * y, yx - y * x, xx - x * x  # the inertia tensor is ((xx, -yx), (-yx, yy))
    middle, half = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + yx**2)
    large, small = middle + half, np.maximum(middle - half, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        eccentricity = np.where(large > 0, np.sqrt(1 - small / large), 0)
    orientation = np.where(xx == yy, np.where(yx > 0, np.pi / 4, -np.pi / 4), 0.5 * np.arctan2(2 * yx, yy - xx))
    return {
        "area": area,
        **{f"bbox-{n}": box[:, side] for n, side in enumerate((TOP, LEFT, BOTTOM, RIGHT))},
        "centroid-0": y + box[:, TOP],
        "centroid-1": x + box[:, LEFT],
        "perimeter": perimeter[1:] @ np.array([1, np.sqrt(2), (1 + np.sqrt(2)) / 2]),
        "eccentricity": eccentricity,
        "solidity": area / np.maximum(1, hull[1:]),
        "axis_major_length": 4 * np.sqrt(large),
        "axis_minor_length": 4 * np.sqrt(small),
        "orientation": orientation,
        "equivalent_diameter_area": np.sqrt(4 * area / np.pi),
        "touches_border": extents.touches_border()[1:].astype(np.int64),
    }


def measure_intensities(labels: LabelRows, extents: Extents, pixels, channels: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns intensity_mean, intensity_min and intensity_max of regionprops, each of shape (cells,).

    Parameters
    ----------
    pixels : (H, W) or (H, W, C), an array or anything else that gives regions; NaN and infinities count as 0
    channels : names of the channels, with which the columns' names end, and their numbers from 0 where names are
        missing or not one channel's alone; nothing for a single channel without a name
    """
    count = 1 if pixels.ndim == 2 else pixels.shape[2]
    names = [f"-{n}" for n in range(count)] if count > 1 else [""]
    if len(channels) == count:
        uses = Counter(channels)
        numbers = [number if uses[name] > 1 or not name else "" for name, number in zip(channels, names)]
        names = [f"-{name}{number}" if name else number for name, number in zip(channels, numbers)]
    sums = np.zeros((labels.cells + 1, count))
    lows, highs = np.full(sums.shape, np.inf), np.full(sums.shape, -np.inf)
    for top, band in labels.regular(max(1, labels.band_pixels // (labels.shape[1] * count))):
        block = np.asarray(pixels[top : top + len(band), :]).reshape(*band.shape, count)
        if block.dtype.kind == "f":
            block = np.nan_to_num(block, nan=0, posinf=0, neginf=0)
        _add_intensities(band, block.astype(np.float64), sums, lows, highs)
    columns = {}
    for n, name in enumerate(names):
        columns[f"intensity_mean{name}"] = sums[1:, n] / extents.area[1:]
        columns[f"intensity_min{name}"] = lows[1:, n]
        columns[f"intensity_max{name}"] = highs[1:, n]
    return columns


@compiled
def _add_rows(block, first_row, box, first, moments, ends):
    """Add the pixels of a band, without its margins, to the sums and to the ends of rows of its cells."""
    for i in range(2, block.shape[0] - 2):
        row = first_row + i - 2
        for j in range(block.shape[1]):
            cell = block[i, j]
            if cell == 0:
                continue
            y, x = row - box[cell, 0], j - box[cell, 1]
            own = moments[cell]
            own[0] += y
            own[1] += x
            own[2] += y * y
            own[3] += y * x
            own[4] += x * x
            end = ends[first[cell] + y]
            end[0] = min(end[0], j)
            end[1] = max(end[1], j)


@compiled
def _on_border(block, i, j):
    """A pixel of a cell has one above, below, left or right that is not of the cell, as beyond the image."""
    cell = block[i, j]
    if j == 0 or j == block.shape[1] - 1:
        return True
    return block[i - 1, j] != cell or block[i + 1, j] != cell or block[i, j - 1] != cell or block[i, j + 1] != cell


@compiled
def _add_perimeter(block, perimeter):
    """Count the kinds of border pixels of a band, without its margins, as `skimage.measure.perimeter` does.

    Source: Benkrid and Crookes, "Design and FPGA implementation of a perimeter estimator", 2000.
    """
    height, width = block.shape
    for i in range(2, height - 2):
        for j in range(width):
            cell = block[i, j]
            if cell == 0 or not _on_border(block, i, j):
                continue
            straight, diagonal = 0, 0
            for di in range(-1, 2):
                for dj in range(-1, 2):
                    if (di == 0 and dj == 0) or j + dj < 0 or j + dj >= width or block[i + di, j + dj] != cell:
                        continue
                    if _on_border(block, i + di, j + dj):
                        if di == 0 or dj == 0:
                            straight += 1
                        else:
                            diagonal += 1
            value = 1 + 2 * straight + 10 * diagonal
            if value == 5 or value == 7 or value == 15 or value == 17 or value == 25 or value == 27:
                perimeter[cell, 0] += 1
            elif value == 21 or value == 33:
                perimeter[cell, 1] += 1
            elif value == 13 or value == 23:
                perimeter[cell, 2] += 1


@compiled
def _add_intensities(band, pixels, sums, lows, highs):
    """band : (n, W) int32; pixels : (n, W, C) float64; the others (cells + 1, C) float64"""
    for i in range(band.shape[0]):
        for j in range(band.shape[1]):
            cell = band[i, j]
            if cell == 0:
                continue
            for c in range(pixels.shape[2]):
                value = pixels[i, j, c]
                sums[cell, c] += value
                lows[cell, c] = min(lows[cell, c], value)
                highs[cell, c] = max(highs[cell, c], value)


@compiled
def _count_hulls(first, ends, hull):
    """Pixels within the convex hull of each cell, as of `skimage.morphology.convex_hull_image`: of the edges' middles.

    Heights and columns are doubled, so that all corners are whole numbers.
    """
    longest = 0
    for cell in range(1, len(hull)):
        longest = max(longest, first[cell + 1] - first[cell])
    ys, xs = np.empty(3 * longest + 3, np.int64), np.empty(3 * longest + 3, np.int64)
    limits = np.empty((2, longest), np.int64)
    for cell in range(1, len(hull)):
        rows = first[cell + 1] - first[cell]
        own = ends[first[cell] : first[cell + 1]]
        for side in range(2):  # the left side is looked at in a mirror
            count = 0
            for level in range(-1, 2 * rows):
                x, found = 0, False
                for row in range(level // 2, (level + 1) // 2 + 1):  # one row, or the two beside their common edge
                    if 0 <= row < rows and own[row, 1] >= 0:
                        end = 2 * (own[row, 1] if side else -own[row, 0]) + (1 if level % 2 == 0 else 0)
                        x = max(x, end) if found else end
                        found = True
                if not found:
                    continue
                while count > 1 and (xs[count - 1] - xs[count - 2]) * (level - ys[count - 2]) <= (x - xs[count - 2]) * (
                    ys[count - 1] - ys[count - 2]
                ):
                    count -= 1
                ys[count], xs[count] = level, x
                count += 1
            corner = 0
            for row in range(rows):
                while ys[corner + 1] < 2 * row:
                    corner += 1
                dy, dx = ys[corner + 1] - ys[corner], xs[corner + 1] - xs[corner]
                limits[side, row] = (xs[corner] * dy + dx * (2 * row - ys[corner])) // (2 * dy)
        for row in range(rows):
            hull[cell] += max(0, limits[1, row] + limits[0, row] + 1)
