"""Star-convex polygons, a centre and distances along equally spaced rays: corners, areas, boxes. Compiled with
numba.
"""

from dataclasses import dataclass

import numpy as np

from inference.compiled import compiled


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
            boxes[:, axis], boxes[:, axis + 2] = (
                self.points[:, axis] + end for end in (offsets.min(axis=1), offsets.max(axis=1))
            )
        return boxes


def by_probability(prob: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Indices that sort candidates: highest probability first, equal ones by their position."""
    return np.lexsort((points[:, 1], points[:, 0], -prob))


def ray_directions(rays: int) -> np.ndarray:
    """Unit vectors (R, 2) float64 of the rays, in (y, x)."""
    angle = 2 * np.pi * np.arange(rays) / rays
    return np.stack((np.sin(angle), np.cos(angle)), axis=1)


@compiled
def polygon_corners(point, dist):
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
def polygon_area(dist):
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
    """Part of the triangle (0, u, v) on the inner side of a line. u, v, edge: distances of u, of v and of the line from
    0 along the line's normal, up to a common factor."""
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
def intersection_area(point, corners, other, directions):
    """Area that a star-convex polygon (centre, corners and the directions of its rays) has in common with another
    polygon.

    The other polygon is the signed sum of the triangles between `point` and its edges. Each one is cut at the rays;
    within the sector between two rays the star is bounded by one line. So every edge meets only the few sectors that it
    crosses, and the cost grows with the number of corners, not with its square.
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
            total += (
                cross * (end - begin) * _share_inside(u_height + begin * rise, u_height + end * rise, ax * by - ay * bx)
            )
            if not leaves:
                break
            begin = end
            sector = after if cross > 0 else sector - 1 if sector else rays - 1
        uy, ux = vy, vx
    return abs(total) / 2


@compiled
def polygon_box(corners):
    """Bounding box of a polygon: low y, low x, high y, high x."""
    low_y, low_x = high_y, high_x = corners[0, 0], corners[0, 1]
    for k in range(1, len(corners)):
        y, x = corners[k, 0], corners[k, 1]
        low_y, low_x = min(low_y, y), min(low_x, x)
        high_y, high_x = max(high_y, y), max(high_x, x)
    return low_y, low_x, high_y, high_x
