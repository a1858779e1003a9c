"""Polygons painted as labels. Compiled with numba."""

import numpy as np

from inference.compiled import compiled
from inference.decoding.polygons import Candidates, polygon_box, polygon_corners


@compiled
def _insert(values, count, value):
    """Put a value in its place among the first `count` of `values`, which are sorted."""
    while count and values[count - 1] > value:
        values[count] = values[count - 1]
        count -= 1
    values[count] = value


@compiled
def _paint(points, dist, canvas, first_row, cells, scale_y, scale_x, shown):
    """Draw polygons where `canvas`, rows of the label image from number `first_row` on, is still 0; returns the number
    of cells, `cells` being that of those before."""
    height, width = canvas.shape
    rays = dist.shape[1]
    crossings, counts = np.empty((64, rays), np.float64), np.empty(64, np.int64)  # where the edges cross each row
    for i in range(len(points)):
        corners = polygon_corners(points[i], dist[i]).astype(np.float64)
        for k in range(rays):  # pixel centres of the working image to those of the canvas
            corners[k, 0] = (corners[k, 0] + 0.5) / scale_y - 0.5 - first_row
            corners[k, 1] = (corners[k, 1] + 0.5) / scale_x - 0.5
        low_y, low_x, high_y, high_x = polygon_box(corners)
        top, bottom = max(0, int(np.ceil(low_y))), min(height - 1, int(np.floor(high_y)))
        left, right = max(0, int(np.ceil(low_x))), min(width - 1, int(np.floor(high_x)))
        if bottom - top >= len(counts):
            crossings, counts = np.empty((2 * (bottom - top), rays), np.float64), np.empty(2 * (bottom - top), np.int64)
        counts[: max(0, bottom - top + 1)] = 0
        for k in range(rays):
            ay, ax = corners[k, 0], corners[k, 1]
            by, bx = corners[k + 1 if k + 1 < rays else 0, 0], corners[k + 1 if k + 1 < rays else 0, 1]
            for y in range(max(top, int(np.floor(min(ay, by)))), min(bottom, int(np.ceil(max(ay, by)))) + 1):
                if (ay <= y) != (by <= y):
                    _insert(crossings[y - top], counts[y - top], ax + (y - ay) * (bx - ax) / (by - ay))
                    counts[y - top] += 1
        label = np.int32(cells + 1)
        painted, hidden = 0, 0
        for y in range(top, bottom + 1):
            for c in range(0, counts[y - top] - 1, 2):
                first, last = int(np.ceil(crossings[y - top, c])), int(np.floor(crossings[y - top, c + 1]))
                run = canvas[y, max(0, first) : max(0, last + 1)]
                free = np.int32(0)
                for x in range(len(run)):  # without a branch and in 32 bits, for the processor's vector instructions
                    before = run[x]
                    free += np.int32(before == 0)
                    run[x] = label if before == 0 else before
                painted += free
                hidden += len(run) - free
        if hidden and painted:
            painted = _keep_largest_fragment(canvas[top : bottom + 1, left : right + 1], label)
        shown[i] = painted > 0
        if painted:
            cells += 1
    return cells


@compiled
def _root(parent, run):
    """The first run of the fragment that a run belongs to."""
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run


@compiled
def _keep_largest_fragment(window, label):
    """Clear all 4-connected fragments of a label but the largest (the first of equals); returns its number of pixels.

    Runs of pixels in a row are joined with those that they touch in the row above.
    """
    height, width = window.shape
    most = height * ((width + 1) // 2)
    row, begin, end = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
    parent, pixels = np.empty(most, np.int32), np.empty(most, np.int32)
    count = above_end = 0  # runs so far; those of the row above end here
    for y in range(height):
        above, above_end = above_end, count
        x = 0
        while x < width:
            if window[y, x] != label:
                x += 1
                continue
            row[count], begin[count], parent[count] = y, x, count
            while x < width and window[y, x] == label:
                x += 1
            end[count], pixels[count] = x, x - begin[count]
            while above < above_end and end[above] <= begin[count]:
                above += 1
            touching = above
            while touching < above_end and begin[touching] < x:
                one, other = _root(parent, touching), _root(parent, count)
                if one != other:
                    parent[max(one, other)] = min(one, other)
                    pixels[min(one, other)] += pixels[max(one, other)]
                touching += 1
            count += 1
    best = 0
    for run in range(count):
        if parent[run] == run and pixels[run] > pixels[best]:
            best = run
    for run in range(count):
        if _root(parent, run) != best:
            window[row[run], begin[run] : end[run]] = 0
    return pixels[best]


def paint(cells: Candidates, shape: tuple[int, int], scale: tuple[float, float] = (1.0, 1.0)) -> tuple[np.ndarray, int]:
    """Draw polygons as labels; where two overlap, the first one keeps the pixels.

    Parameters
    ----------
    cells : survivors, highest probability first
    shape : height and width of the label image
    scale : working size over label image size, (y, x): polygons are in pixels of the working image

    Returns
    -------
    labels (H, W) int32, and the number of cells n: labels are 1..n without gaps, each one 4-connected. A polygon that
    covers no free pixel gets no label.
    """
    labels = np.zeros(shape, np.int32)
    return labels, paint_onto(labels, 0, cells, scale, 0, np.empty(len(cells), np.bool_))


def paint_onto(
    canvas: np.ndarray,
    first_row: int,
    cells: Candidates,
    scale: tuple[float, float],
    before: int,
    shown: np.ndarray,
) -> int:
    """Draw polygons as `paint` does, where `canvas` is still 0, and return the number of cells.

    Parameters
    ----------
    canvas : (rows, W) int32, the rows of a label image from number `first_row` on
    before : the number of cells painted earlier; new ones get the numbers after it
    shown : (N,) bool, filled in: which polygons have become cells
    """
    return _paint(cells.points, cells.dist, canvas, first_row, before, *scale, shown)
