"""Star-convex polygons for tests."""

import numpy as np

from inference.decoding.polygons import Candidates, by_probability
from inference.decoding.suppression import SURVIVOR, decide

RAYS = 32


def disks(points, radii, prob=None):
    prob = np.linspace(0.9, 0.6, len(points)) if prob is None else prob
    dist = np.repeat(np.asarray(radii, np.float32)[:, None], RAYS, axis=1)
    return Candidates(np.asarray(prob, np.float32), np.asarray(points, np.float32), dist)


def random_stars(n, size, seed, mean_radius=12):
    """Star-convex polygons of smoothly varying radius."""
    rng = np.random.default_rng(seed)
    angle = 2 * np.pi * np.arange(RAYS) / RAYS
    waves = sum(rng.normal(0, 0.3 / k, (n, 1)) * np.cos(k * angle + rng.uniform(0, 6.3, (n, 1))) for k in (1, 2, 3))
    dist = rng.uniform(0.5, 1.5, (n, 1)) * mean_radius * np.maximum(1 + waves, 0.2)
    return Candidates(
        rng.permutation(n).astype(np.float32) / n,
        rng.uniform(0, size, (n, 2)).astype(np.float32),
        dist.astype(np.float32),
    )


def suppress(candidates, overlap_threshold):
    """The survivors of all candidates at once, highest probability first."""
    kept = candidates[decide(candidates, overlap_threshold) == SURVIVOR]
    return kept[by_probability(kept.prob, kept.points)]
