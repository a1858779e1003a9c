"""Areas and intersections of star-convex polygons."""

import math

import numpy as np
import pytest
from stars import RAYS, random_stars

from inference.decoding.polygons import intersection_area, polygon_area, polygon_corners, ray_directions


def test_area_of_a_regular_polygon():
    dist = np.full(RAYS, 10, np.float32)
    assert polygon_area(dist) == pytest.approx(RAYS / 2 * 100 * math.sin(2 * math.pi / RAYS))


def test_intersection_area_against_fine_sampling():
    """The signed sum over non-convex polygons, against counting points of a 0.05-pixel grid in both polygons."""
    from skimage.draw import polygon2mask

    stars = random_stars(24, 30, seed=3)
    corners = [polygon_corners(p, d) for p, d in zip(stars.points, stars.dist)]
    directions = ray_directions(RAYS)
    masks = [polygon2mask((1200, 1200), (c + 15) * 20) for c in corners]
    for i in range(0, 24, 2):
        expected = (masks[i] & masks[i + 1]).sum() / 400
        found = intersection_area(stars.points[i], corners[i], corners[i + 1], directions)
        assert found == pytest.approx(expected, rel=0.01, abs=1.5)
        turned_round = intersection_area(stars.points[i + 1], corners[i + 1], corners[i], directions)
        assert found == pytest.approx(turned_round, rel=1e-3, abs=1e-3)


def test_intersection_area_of_special_pairs():
    """A polygon with itself, with its own needle, with what does not touch it, with one without area."""
    directions, stars = ray_directions(RAYS), random_stars(200, 300, seed=7)
    needle = np.zeros(RAYS, np.float32)
    needle[:2] = 5
    for point, dist in zip(stars.points, stars.dist):
        corners = polygon_corners(point, dist)
        assert intersection_area(point, corners, corners, directions) == pytest.approx(polygon_area(dist), rel=1e-5)
        assert intersection_area(point, corners, corners + np.float32(500), directions) == pytest.approx(0, abs=1e-3)
        assert intersection_area(point, corners, polygon_corners(point, 0 * dist), directions) == 0
        thin = polygon_corners(point, np.minimum(needle, dist))
        assert intersection_area(point, corners, thin, directions) == pytest.approx(
            polygon_area(np.minimum(needle, dist)), rel=1e-4
        )
        assert intersection_area(point, thin, corners, directions) == pytest.approx(
            polygon_area(np.minimum(needle, dist)), rel=1e-4
        )
