"""From StarDist maps to cells: candidates, greedy suppression of overlapping polygons, painting. Compiled with numba."""

from dataclasses import dataclass

import numpy as np

from inference.compiled import compiled
from models.unet import STRIDE


@dataclass(frozen=True)
class StarDistSettings:
    """Paper, section 3.3."""

    prob_threshold: float = 0.5
    overlap_threshold: float = 0.4  # intersection over the smaller polygon's area, StarDist's measure


@dataclass(frozen=True)
class Candidates:
    """Polygons that may be cells, in any order.

    prob : (N,) float32 in [0, 1]
    points : (N, 2) float32, centres as (y, x) in pixels
    dist : (N, R) float32, distances to the border along R rays, in pixels
    """

    prob: np.ndarray
    points: np.ndarray
    dist: np.ndarray

    @staticmethod
    def concatenate(parts: list["Candidates"], rays: int) -> "Candidates":
        """All parts in one; `rays` gives the shape where there is no part."""
        if not parts:
            return Candidates(np.zeros(0, np.float32), np.zeros((0, 2), np.float32), np.zeros((0, rays), np.float32))
        return Candidates(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("prob", "points", "dist")))


def find_candidates(prob: np.ndarray, dist: np.ndarray, grid_origin: tuple[int, int], threshold: float) -> Candidates:
    """Grid points whose object probability is above the threshold.

    Parameters
    ----------
    prob : (1, h, w) float32, on the 1/4 grid
    dist : (R, h, w) float32, pixels
    grid_origin : position of prob[0, 0, 0] on the whole image's 1/4 grid, (y, x)

    Returns
    -------
    Candidates with points in pixels of the image: grid point g stands for pixel 4*g + 1.5.
    """
    y, x = np.nonzero(prob[0] > threshold)
    points = (np.stack((y, x), axis=1) + np.asarray(grid_origin)) * STRIDE + (STRIDE - 1) / 2
    return Candidates(prob[0, y, x].astype(np.float32), points.astype(np.float32),
                      np.ascontiguousarray(np.maximum(dist[:, y, x], 0).T, dtype=np.float32))


@compiled
def _polygon(point, dist):
    """Corners (R, 2) in (y, x) of the star-convex polygon around `point`."""
    rays = len(dist)
    corners = np.empty((rays, 2), np.float32)
    for k in range(rays):
        angle = 2 * np.pi * k / rays
        corners[k, 0] = point[0] + dist[k] * np.sin(angle)
        corners[k, 1] = point[1] + dist[k] * np.cos(angle)
    return corners


@compiled
def _area(dist):
    """Area of a star-convex polygon with equally spaced rays: the sum of its triangles."""
    rays = len(dist)
    total = 0.0
    for k in range(rays):
        total += dist[k] * dist[(k + 1) % rays]
    return 0.5 * np.sin(2 * np.pi / rays) * total


@compiled
def _inner_radius(dist):
    """Radius of a disk around the centre that lies inside the polygon: the smallest distance from the centre to an edge."""
    rays = len(dist)
    sine, cosine = np.sin(2 * np.pi / rays), np.cos(2 * np.pi / rays)
    smallest = np.inf
    for k in range(rays):
        a, b = dist[k], dist[(k + 1) % rays]
        edge = np.sqrt(max(a * a + b * b - 2 * a * b * cosine, 1e-12))
        height = a * b * sine / edge  # of the triangle over this edge; never above the true distance to it
        smallest = min(smallest, height)
    return smallest


@compiled
def _lens_area(r, s, d):
    """Area that two disks of radius r and s have in common when their centres are d apart."""
    if d >= r + s:
        return 0.0
    if d <= abs(r - s):
        return np.pi * min(r, s) ** 2
    a = (d * d + r * r - s * s) / (2 * d)
    b = d - a
    half = np.sqrt(max(r * r - a * a, 0.0))
    return r * r * np.arccos(min(1.0, max(-1.0, a / r))) + s * s * np.arccos(min(1.0, max(-1.0, b / s))) - d * half


@compiled
def _clip(polygon, count, ay, ax, by, bx, out):
    """Part of a polygon to the inner side of the line a -> b (Sutherland and Hodgman 1974); returns its number of corners."""
    ey, ex = by - ay, bx - ax
    kept = 0
    py, px = polygon[count - 1, 0], polygon[count - 1, 1]
    p_side = ex * (py - ay) - ey * (px - ax)
    for i in range(count):
        qy, qx = polygon[i, 0], polygon[i, 1]
        q_side = ex * (qy - ay) - ey * (qx - ax)
        if (p_side >= 0) != (q_side >= 0):
            t = p_side / (p_side - q_side)
            out[kept, 0], out[kept, 1] = py + t * (qy - py), px + t * (qx - px)
            kept += 1
        if q_side >= 0:
            out[kept, 0], out[kept, 1] = qy, qx
            kept += 1
        py, px, p_side = qy, qx, q_side
    return kept


@compiled
def _intersection_area(point, corners, other, buffer_a, buffer_b):
    """Area that a star-convex polygon (centre and corners) has in common with another polygon.

    The other polygon is clipped by each triangle of the star; where it is not convex, the parts are joined by edges that
    run to and fro on the triangle's border and cancel in the signed area.
    """
    rays = len(corners)
    total = 0.0
    cy, cx = point[0], point[1]
    for k in range(rays):
        ay, ax = corners[k, 0], corners[k, 1]
        by, bx = corners[(k + 1) % rays, 0], corners[(k + 1) % rays, 1]
        count = _clip(other, len(other), cy, cx, ay, ax, buffer_a)
        if count < 3:
            continue
        count = _clip(buffer_a, count, by, bx, cy, cx, buffer_b)
        if count < 3:
            continue
        count = _clip(buffer_b, count, ay, ax, by, bx, buffer_a)
        for i in range(count):
            j = i + 1 if i + 1 < count else 0
            total += (buffer_a[i, 1] - cx) * (buffer_a[j, 0] - cy) - (buffer_a[j, 1] - cx) * (buffer_a[i, 0] - cy)
    return abs(total) / 2


@compiled
def _suppress(points, dist, order, threshold):
    """Greedy suppression in the given order. Returns the indices that survive, in that order.

    Survivors are kept in the buckets of a square grid that their bounding boxes touch; a candidate is compared with the
    survivors of its own buckets alone. Disks inside and boxes around the polygons decide most pairs without clipping.
    """
    n, rays = dist.shape
    survivors = np.empty(n, np.int64)
    found = 0
    if n == 0:
        return survivors[:0]
    low, high = np.empty((n, 2), np.float32), np.empty((n, 2), np.float32)
    extent = 0.0
    for i in range(n):
        corners = _polygon(points[i], dist[i])
        for axis in range(2):
            low[i, axis], high[i, axis] = corners[:, axis].min(), corners[:, axis].max()
        extent += high[i, 0] - low[i, 0] + high[i, 1] - low[i, 1]
    bucket = max(4.0, extent / (2 * n))  # the mean side of the boxes
    origin_y, origin_x = low[:, 0].min(), low[:, 1].min()
    rows = int((high[:, 0].max() - origin_y) / bucket) + 1
    columns = int((high[:, 1].max() - origin_x) / bucket) + 1

    head = np.full(rows * columns, -1, np.int64)  # linked lists of survivors
    follow, member = np.empty(4 * n + 16, np.int64), np.empty(4 * n + 16, np.int64)
    entries = 0
    seen = np.full(n, -1, np.int64)  # seen[s]: the last candidate that survivor number s was compared with
    area, inner = np.empty(n, np.float64), np.empty(n, np.float64)  # of survivors
    corners_of = np.empty((n, rays, 2), np.float32)
    buffer_a, buffer_b = np.empty((4 * rays + 16, 2), np.float64), np.empty((4 * rays + 16, 2), np.float64)

    for index in range(n):
        i = order[index]
        own_area, own_inner = _area(dist[i]), _inner_radius(dist[i])
        if own_area <= 0:
            continue
        corners = _polygon(points[i], dist[i])
        y0, y1 = int((low[i, 0] - origin_y) / bucket), int((high[i, 0] - origin_y) / bucket)
        x0, x1 = int((low[i, 1] - origin_x) / bucket), int((high[i, 1] - origin_x) / bucket)
        suppressed = False
        for row in range(y0, y1 + 1):
            for column in range(x0, x1 + 1):
                entry = head[row * columns + column]
                while entry >= 0 and not suppressed:
                    s = member[entry]
                    entry = follow[entry]
                    if seen[s] == i:
                        continue
                    seen[s] = i
                    j = survivors[s]
                    limit = threshold * min(own_area, area[s])
                    height = min(high[i, 0], high[j, 0]) - max(low[i, 0], low[j, 0])
                    width = min(high[i, 1], high[j, 1]) - max(low[i, 1], low[j, 1])
                    if height <= 0 or width <= 0 or height * width <= limit:
                        continue
                    apart = np.hypot(points[i, 0] - points[j, 0], points[i, 1] - points[j, 1])
                    if _lens_area(own_inner, inner[s], apart) > limit:
                        suppressed = True
                    elif _intersection_area(points[j], corners_of[s], corners, buffer_a, buffer_b) > limit:
                        suppressed = True
                if suppressed:
                    break
            if suppressed:
                break
        if suppressed:
            continue
        survivors[found], area[found], inner[found], corners_of[found] = i, own_area, own_inner, corners
        for row in range(y0, y1 + 1):
            for column in range(x0, x1 + 1):
                if entries == len(member):
                    follow = np.concatenate((follow, np.empty(len(follow), np.int64)))
                    member = np.concatenate((member, np.empty(len(member), np.int64)))
                member[entries], follow[entries] = found, head[row * columns + column]
                head[row * columns + column] = entries
                entries += 1
        found += 1
    return survivors[:found].copy()


def suppress(candidates: Candidates, overlap_threshold: float) -> Candidates:
    """Greedy non-maximum suppression of star-convex polygons, highest probability first.

    A candidate falls if more than `overlap_threshold` of the smaller of two polygons is common to it and to a survivor
    with a higher probability, which is what StarDist's ``non_maximum_suppression`` compares. Ties in the probability
    are broken by the position, so that the order of the candidates does not matter.

    Returns
    -------
    The survivors, highest probability first.
    """
    order = np.lexsort((candidates.points[:, 1], candidates.points[:, 0], -candidates.prob))
    kept = _suppress(candidates.points, candidates.dist, order, overlap_threshold)
    return Candidates(candidates.prob[kept], candidates.points[kept], candidates.dist[kept])


@compiled
def _paint(points, dist, height, width, scale_y, scale_x):
    labels = np.zeros((height, width), np.int32)
    rays = dist.shape[1]
    crossings = np.empty(rays, np.float64)
    cells = 0
    for i in range(len(points)):
        corners = _polygon(points[i], dist[i]).astype(np.float64)
        for k in range(rays):  # pixel centres of the working image to those of the original
            corners[k, 0] = (corners[k, 0] + 0.5) / scale_y - 0.5
            corners[k, 1] = (corners[k, 1] + 0.5) / scale_x - 0.5
        top, bottom = max(0, int(np.ceil(corners[:, 0].min()))), min(height - 1, int(np.floor(corners[:, 0].max())))
        left, right = max(0, int(np.ceil(corners[:, 1].min()))), min(width - 1, int(np.floor(corners[:, 1].max())))
        label = cells + 1
        painted, hidden = 0, 0
        for y in range(top, bottom + 1):
            count = 0
            for k in range(rays):
                ay, ax = corners[k, 0], corners[k, 1]
                by, bx = corners[(k + 1) % rays, 0], corners[(k + 1) % rays, 1]
                if (ay <= y) != (by <= y):
                    crossings[count] = ax + (y - ay) * (bx - ax) / (by - ay)
                    count += 1
            crossings[:count].sort()
            for c in range(0, count - 1, 2):
                for x in range(max(0, int(np.ceil(crossings[c]))), min(width - 1, int(np.floor(crossings[c + 1]))) + 1):
                    if labels[y, x] == 0:
                        labels[y, x] = label
                        painted += 1
                    else:
                        hidden += 1
        if hidden and painted:
            painted = _keep_largest_fragment(labels[top : bottom + 1, left : right + 1], label)
        if painted:
            cells += 1
    return labels, cells


@compiled
def _keep_largest_fragment(window, label):
    """Clear all 4-connected fragments of a label but the largest (the first of equals); returns its number of pixels."""
    height, width = window.shape
    fragment = np.zeros((height, width), np.int32)
    stack = np.empty((height * width, 2), np.int32)
    count, best, best_pixels = 0, 0, 0
    for y0 in range(height):
        for x0 in range(width):
            if window[y0, x0] != label or fragment[y0, x0]:
                continue
            count += 1
            fragment[y0, x0] = count
            stack[0, 0], stack[0, 1] = y0, x0
            depth, pixels = 1, 0
            while depth:
                depth -= 1
                y, x = stack[depth, 0], stack[depth, 1]
                pixels += 1
                for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                    v, u = y + dy, x + dx
                    if 0 <= v < height and 0 <= u < width and window[v, u] == label and fragment[v, u] == 0:
                        fragment[v, u] = count
                        stack[depth, 0], stack[depth, 1] = v, u
                        depth += 1
            if pixels > best_pixels:
                best, best_pixels = count, pixels
    for y in range(height):
        for x in range(width):
            if fragment[y, x] and fragment[y, x] != best:
                window[y, x] = 0
    return best_pixels


def paint(cells: Candidates, shape: tuple[int, int], scale: tuple[float, float] = (1.0, 1.0)) -> tuple[np.ndarray, int]:
    """Draw polygons as labels; where two overlap, the first one keeps the pixels.

    Parameters
    ----------
    cells : survivors, highest probability first
    shape : height and width of the label image
    scale : working size over label image size, (y, x): polygons are in pixels of the working image

    Returns
    -------
    labels (H, W) int32, and the number of cells n: labels are 1..n without gaps, each one 4-connected. A polygon that covers
    no free pixel gets no label.
    """
    return _paint(cells.points, cells.dist, *shape, *scale)
