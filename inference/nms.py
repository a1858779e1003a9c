"""From StarDist maps to cells: candidates, greedy suppression of overlapping polygons, painting. Compiled with numba."""

from dataclasses import dataclass

import numpy as np

from inference.compiled import compiled
from models.unet import STRIDE

SURVIVOR, SUPPRESSED, UNDECIDED = 1, 0, -1  # states of a candidate


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

    def __len__(self) -> int:
        return len(self.prob)

    def __getitem__(self, chosen: np.ndarray) -> "Candidates":
        """Some of them, by a mask or by their numbers."""
        return Candidates(self.prob[chosen], self.points[chosen], self.dist[chosen])

    def boxes(self) -> np.ndarray:
        """Bounding boxes of the polygons, (N, 4) float32: low y, low x, high y, high x in pixels."""
        boxes = np.empty((len(self), 4), np.float32)
        for axis, direction in enumerate(ray_directions(self.dist.shape[1]).T.astype(np.float32)):
            offsets = self.dist * direction
            boxes[:, axis], boxes[:, axis + 2] = (self.points[:, axis] + end for end in (offsets.min(axis=1), offsets.max(axis=1)))
        return boxes


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
    rays = np.ascontiguousarray(dist.transpose(1, 2, 0)[y, x], np.float32)  # fastest where a point's rays lie side by side
    return Candidates(prob[0, y, x].astype(np.float32), points.astype(np.float32), np.maximum(rays, 0, out=rays))


def ray_directions(rays: int) -> np.ndarray:
    """Unit vectors (R, 2) float64 of the rays, in (y, x)."""
    angle = 2 * np.pi * np.arange(rays) / rays
    return np.stack((np.sin(angle), np.cos(angle)), axis=1)


@compiled
def _polygon(point, dist):
    """Corners (R, 2) in (y, x) of the star-convex polygon around `point`."""
    rays = len(dist)
    corners = np.empty((rays, 2), np.float32)
    turn_y, turn_x = np.sin(2 * np.pi / rays), np.cos(2 * np.pi / rays)
    y, x = 0.0, 1.0  # direction of the ray; turning it is much cheaper than a sine and a cosine for each
    for k in range(rays):
        corners[k, 0], corners[k, 1] = point[0] + dist[k] * y, point[1] + dist[k] * x
        y, x = y * turn_x + x * turn_y, x * turn_x - y * turn_y
    return corners


@compiled
def _area(dist):
    """Area of a star-convex polygon with equally spaced rays: the sum of its triangles."""
    rays = len(dist)
    total = 0.0
    for k in range(rays):
        total += dist[k] * dist[k + 1 if k + 1 < rays else 0]
    return 0.5 * np.sin(2 * np.pi / rays) * total


@compiled
def _sector(y, x, rays):
    """Number of the ray before the direction (y, x)."""
    return int(np.floor(np.arctan2(y, x) * rays / (2 * np.pi))) % rays


@compiled
def _share_inside(u, v, edge):
    """Part of the triangle (0, u, v) on the inner side of a line. u, v, edge: distances of u, of v and of the line from 0 along the
    line's normal, up to a common factor."""
    if edge <= 0:  # the line runs through 0
        return 0.0
    if u <= edge and v <= edge:
        return 1.0
    if u > edge and v > edge:
        return edge / u * (edge / v)
    inner, outer = min(u, v), max(u, v)
    crossing = (edge - inner) / (outer - inner)
    return crossing + (1 - crossing) * edge / outer


@compiled
def _intersection_area(point, corners, other, directions):
    """Area that a star-convex polygon (centre, corners and the directions of its rays) has in common with another polygon.

    The other polygon is the signed sum of the triangles between `point` and its edges. Each one is cut at the rays; within the
    sector between two rays the star is bounded by one line. So every edge meets only the few sectors that it crosses, and the
    cost grows with the number of corners, not with its square.
    """
    rays, last = len(corners), len(other) - 1
    uy, ux = other[last, 0] - point[0], other[last, 1] - point[1]
    sector = _sector(uy, ux, rays)
    total = 0.0
    for j in range(last + 1):
        vy, vx = other[j, 0] - point[0], other[j, 1] - point[1]
        cross = ux * vy - uy * vx  # twice the triangle's area, positive where the edge runs in the order of the rays
        if abs(cross) <= 1e-9 * abs(ux * vx + uy * vy):  # no area; the edge may run through the point
            uy, ux, sector = vy, vx, _sector(vy, vx, rays)
            continue
        begin = 0.0  # of the piece within the sector, from 0 at u to 1 at v
        while True:
            after = sector + 1 if sector + 1 < rays else 0
            ray = after if cross > 0 else sector
            u_side = directions[ray, 1] * uy - directions[ray, 0] * ux
            v_side = directions[ray, 1] * vy - directions[ray, 0] * vx
            leaves = v_side >= 0 if cross > 0 else v_side < 0
            end = u_side / (u_side - v_side) if leaves and u_side != v_side else 1.0
            ay, ax = corners[sector, 0] - point[0], corners[sector, 1] - point[1]
            by, bx = corners[after, 0] - point[0], corners[after, 1] - point[1]
            ey, ex = by - ay, bx - ax
            u_height, v_height = ux * ey - uy * ex, vx * ey - vy * ex
            rise = v_height - u_height
            total += cross * (end - begin) * _share_inside(u_height + begin * rise, u_height + end * rise, ax * by - ay * bx)
            if not leaves:
                break
            begin = end
            sector = after if cross > 0 else sector - 1 if sector else rays - 1
        uy, ux = vy, vx
    return abs(total) / 2


@compiled
def _box(corners):
    """Bounding box of a polygon: low y, low x, high y, high x."""
    low_y, low_x = high_y, high_x = corners[0, 0], corners[0, 1]
    for k in range(1, len(corners)):
        y, x = corners[k, 0], corners[k, 1]
        low_y, low_x = min(low_y, y), min(low_x, x)
        high_y, high_x = max(high_y, y), max(high_x, x)
    return low_y, low_x, high_y, high_x


@compiled
def _by_boxes(box, other, areas, limit):
    """Whether polygons with these bounding boxes and this sum of areas have more than `limit` in common: 1 surely, 0 surely not,
    -1 unknown. They have no more in common than their boxes, and cover together no more than the box around both."""
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    if height <= 0 or width <= 0 or height * width <= limit:
        return 0
    around = (max(box[2], other[2]) - min(box[0], other[0])) * (max(box[3], other[3]) - min(box[1], other[1]))
    return 1 if areas - around > limit else -1


@compiled
def _suppress(points, dist, order, threshold, frontier, directions):
    """Greedy suppression; see `decide` for the meaning of the states.

    Parameters
    ----------
    points : (N, 2) float32
    dist : (N, R) float32
    order : (M,) int64, the candidates to be decided, highest probability first; all others are survivors already
    threshold : float
    frontier : float
    directions : (R, 2) float64, of `ray_directions`

    Returns
    -------
    (N,) int8

    Notes
    -----
    Polygons that still count are kept in the buckets of a square grid that their bounding boxes touch, and compared with
    candidates of the same buckets alone. There are two lists a bucket. The first one holds survivors and what will survive unless a
    later candidate is in its way. The second one holds what is undecided because of another undecided one: mostly candidates of one
    cell, which are many, and need not be compared with each other once one of the first list is found in their way.
    """
    n, rays = dist.shape
    state = np.full(n, SURVIVOR, np.int8)
    if n == 0:
        return state
    state[order] = UNDECIDED
    sequence = np.concatenate((np.nonzero(state == SURVIVOR)[0], order))
    given = n - len(order)
    mean = 0.0
    for i in range(n):
        for k in range(0, rays, 4):
            mean += dist[i, k]
    bucket = max(4.0, 1.5 * mean / (n * ((rays + 3) // 4)))  # pixels; somewhat less than the mean side of the boxes
    origin_y, origin_x = points[:, 0].min(), points[:, 1].min()  # what lies further out is in the outermost buckets
    rows = int((points[:, 0].max() - origin_y) / bucket) + 1
    columns = int((points[:, 1].max() - origin_x) / bucket) + 1

    head = np.full((2, rows * columns), -1, np.int64)  # linked lists
    follow, member = np.empty(4 * n + 16, np.int64), np.empty(4 * n + 16, np.int64)
    entries = 0
    kept, owner, area = 0, np.empty(n, np.int64), np.empty(n, np.float64)  # of the polygons in the lists
    seen = np.full(n, -1, np.int64)  # seen[s]: the last candidate that polygon number s was compared with
    boxes, corners_of = np.empty((n, 4), np.float32), np.empty((n, rays, 2), np.float32)

    for index in range(n):
        i = sequence[index]
        own_area = _area(dist[i])
        if own_area <= 0:
            if index >= given:
                state[i] = SUPPRESSED
            continue
        corners = _polygon(points[i], dist[i])
        box = _box(corners)
        y0, y1 = max(0, int((box[0] - origin_y) / bucket)), min(rows - 1, int((box[2] - origin_y) / bucket))
        x0, x1 = max(0, int((box[1] - origin_x) / bucket)), min(columns - 1, int((box[3] - origin_x) / bucket))
        result, blocked = SURVIVOR, False
        if index >= given:
            for which in range(2):
                for row in range(y0, y1 + 1):
                    for column in range(x0, x1 + 1):
                        entry = head[which, row * columns + column]
                        while entry >= 0:
                            s = member[entry]
                            entry = follow[entry]
                            if seen[s] == i or (blocked and state[owner[s]] == UNDECIDED):
                                continue
                            seen[s] = i
                            limit = threshold * min(own_area, area[s])
                            conflict = _by_boxes(box, boxes[s], own_area + area[s], limit)
                            if conflict < 0:
                                conflict = _intersection_area(points[owner[s]], corners_of[s], corners, directions) > limit
                            if not conflict:
                                continue
                            if state[owner[s]] == SURVIVOR:
                                result = SUPPRESSED
                                break
                            blocked = True
                        if result == SUPPRESSED:
                            break
                    if result == SUPPRESSED:
                        break
                if result == SUPPRESSED or blocked or box[2] >= frontier:
                    break
            if result == SURVIVOR and (blocked or box[2] >= frontier):
                result = UNDECIDED
            state[i] = result
        if result == SUPPRESSED:
            continue
        owner[kept], area[kept], corners_of[kept] = i, own_area, corners
        boxes[kept, 0], boxes[kept, 1], boxes[kept, 2], boxes[kept, 3] = box
        which = 1 if blocked else 0
        for row in range(y0, y1 + 1):
            for column in range(x0, x1 + 1):
                if entries == len(member):
                    follow = np.concatenate((follow, np.empty(len(follow), np.int64)))
                    member = np.concatenate((member, np.empty(len(member), np.int64)))
                member[entries], follow[entries] = kept, head[which, row * columns + column]
                head[which, row * columns + column] = entries
                entries += 1
        kept += 1
    return state


def by_probability(prob: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Indices that sort candidates: highest probability first, equal ones by their position."""
    return np.lexsort((points[:, 1], points[:, 0], -prob))


def decide(candidates: Candidates, overlap_threshold: float, frontier: float = np.inf, survivors: int = 0) -> np.ndarray:
    """What becomes of each candidate, as far as it can be told before all candidates are known.

    For an image that comes in bands from the top: call it after each band with the candidates left undecided, the new ones, and
    the survivors so far that may touch them. The survivors of all calls are those of one call with all candidates.

    Parameters
    ----------
    candidates : the first `survivors` of them have survived already
    overlap_threshold : see `suppress`
    frontier : y in pixels which no polygon of a later candidate reaches above; infinite if there are no more

    Returns
    -------
    (N,) int8: SURVIVOR, SUPPRESSED, or UNDECIDED for a candidate that reaches the frontier or is in conflict with an undecided one.
    """
    prob, points = candidates.prob[survivors:], candidates.points[survivors:]
    order = by_probability(prob, points) + survivors
    return _suppress(candidates.points, candidates.dist, order, overlap_threshold, frontier, ray_directions(candidates.dist.shape[1]))


def suppress(candidates: Candidates, overlap_threshold: float) -> Candidates:
    """Greedy non-maximum suppression of star-convex polygons, highest probability first.

    A candidate falls if more than `overlap_threshold` of the smaller of two polygons is common to it and to a survivor
    with a higher probability, which is what StarDist's ``non_maximum_suppression`` compares. Ties in the probability
    are broken by the position, so that the order of the candidates does not matter.

    Returns
    -------
    The survivors, highest probability first.
    """
    kept = np.nonzero(decide(candidates, overlap_threshold) == SURVIVOR)[0]
    kept = kept[by_probability(candidates.prob[kept], candidates.points[kept])]
    return Candidates(candidates.prob[kept], candidates.points[kept], candidates.dist[kept])


@compiled
def _insert(values, count, value):
    """Put a value in its place among the first `count` of `values`, which are sorted."""
    while count and values[count - 1] > value:
        values[count] = values[count - 1]
        count -= 1
    values[count] = value


@compiled
def _paint(points, dist, canvas, first_row, cells, scale_y, scale_x):
    """Draw polygons where `canvas`, rows of the label image from number `first_row` on, is still 0; returns the number of cells,
    `cells` being that of those before."""
    height, width = canvas.shape
    rays = dist.shape[1]
    crossings, counts = np.empty((64, rays), np.float64), np.empty(64, np.int64)  # where the edges cross each row
    for i in range(len(points)):
        corners = _polygon(points[i], dist[i]).astype(np.float64)
        for k in range(rays):  # pixel centres of the working image to those of the canvas
            corners[k, 0] = (corners[k, 0] + 0.5) / scale_y - 0.5 - first_row
            corners[k, 1] = (corners[k, 1] + 0.5) / scale_x - 0.5
        low_y, low_x, high_y, high_x = _box(corners)
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
    labels (H, W) int32, and the number of cells n: labels are 1..n without gaps, each one 4-connected. A polygon that covers
    no free pixel gets no label.
    """
    labels = np.zeros(shape, np.int32)
    return labels, paint_onto(labels, 0, cells, scale, 0)


def paint_onto(canvas: np.ndarray, first_row: int, cells: Candidates, scale: tuple[float, float], before: int) -> int:
    """Draw polygons as `paint` does, where `canvas` is still 0, and return the number of cells.

    Parameters
    ----------
    canvas : (rows, W) int32, the rows of a label image from number `first_row` on
    before : the number of cells painted earlier; new ones get the numbers after it
    """
    return _paint(cells.points, cells.dist, canvas, first_row, before, *scale)
