"""Greedy suppression of polygons that overlap a more probable one. Compiled with numba."""

import numpy as np

from inference.compiled import compiled
from inference.decoding.polygons import (
    Candidates,
    by_probability,
    intersection_area,
    polygon_area,
    polygon_box,
    polygon_corners,
    ray_directions,
)

SURVIVOR, SUPPRESSED, UNDECIDED = 1, 0, -1  # states of a candidate


@compiled
def _by_boxes(box, other, areas, limit):
    """Whether polygons with these bounding boxes and this sum of areas have more than `limit` in common: 1 surely, 0
    surely not, -1 unknown. They have no more in common than their boxes, and cover together no more than the box around
    both."""
    height = min(box[2], other[2]) - max(box[0], other[0])
    width = min(box[3], other[3]) - max(box[1], other[1])
    if height <= 0 or width <= 0 or height * width <= limit:
        return 0
    around = (max(box[2], other[2]) - min(box[0], other[0])) * (max(box[3], other[3]) - min(box[1], other[1]))
    return 1 if areas - around > limit else -1


@compiled
def _suppress(points, dist, order, threshold, above, frontier, directions):
    """Greedy suppression; see `decide` for the meaning of the states.

    Parameters
    ----------
    points : (N, 2) float32
    dist : (N, R) float32
    order : (M,) int64, the candidates to be decided, highest probability first; all others are survivors already
    threshold : float
    above, frontier : float
    directions : (R, 2) float64, of `ray_directions`

    Returns
    -------
    (N,) int8

    Notes
    -----
    Polygons that still count are kept in the buckets of a square grid that their bounding boxes touch, and compared
    with candidates of the same buckets alone. There are two lists a bucket. The first one holds survivors and what will
    survive unless a later candidate is in its way. The second one holds what is undecided because of another undecided
    one: mostly candidates of one cell, which are many, and need not be compared with each other once one of the first
    list is found in their way.
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
        own_area = polygon_area(dist[i])
        if own_area <= 0:
            if index >= given:
                state[i] = SUPPRESSED
            continue
        corners = polygon_corners(points[i], dist[i])
        box = polygon_box(corners)
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
                                conflict = (
                                    intersection_area(points[owner[s]], corners_of[s], corners, directions) > limit
                                )
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
                if result == SUPPRESSED or blocked or box[2] >= frontier or box[0] <= above:
                    break
            if result == SURVIVOR and (blocked or box[2] >= frontier or box[0] <= above):
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


def decide(
    candidates: Candidates,
    overlap_threshold: float,
    frontier: float = np.inf,
    survivors: int = 0,
    above: float = -np.inf,
) -> np.ndarray:
    """Greedy non-maximum suppression of star-convex polygons, highest probability first: what becomes of each
    candidate, as far as it can be told before all candidates are known.

    A candidate falls if more than `overlap_threshold` of the smaller of two polygons is common to it and to a survivor
    with a higher probability, which is what StarDist's ``non_maximum_suppression`` compares. Ties in the probability
    are broken by the position, so that the order of the candidates does not matter.

    For an image that comes in bands from the top: call it after each band with the candidates left undecided, the new
    ones, and the survivors so far that may touch them. The survivors of all calls are those of one call with all
    candidates.

    Parameters
    ----------
    candidates : the first `survivors` of them have survived already
    frontier : y in pixels which no polygon of a later candidate reaches above; infinite if there are no more
    above : y in pixels which no polygon of a candidate from higher up, if these are not known, reaches below

    Returns
    -------
    (N,) int8: SURVIVOR, SUPPRESSED, or UNDECIDED for a candidate that reaches the frontier, or `above`, or is in
    conflict with an undecided one.
    """
    prob, points = candidates.prob[survivors:], candidates.points[survivors:]
    order = by_probability(prob, points) + survivors
    directions = ray_directions(candidates.dist.shape[1])
    return _suppress(
        candidates.points, candidates.dist, order, overlap_threshold, float(above), float(frontier), directions
    )
