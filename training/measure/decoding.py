"""Labels that are made to time decoders with, and StarDist's own decoder."""

import math
from importlib import import_module

import numpy as np

from inference import stardist
from inference.decoding.painting import paint
from inference.decoding.polygons import Candidates
from models.stardist import RAYS
from models.unet import STRIDE

MEAN_RADIUS = 0.43  # of the distance between two centres, so that most cells touch their neighbours
COMPARED_WITH = "stardist.geometry", "stardist.nms", "csbdeep.utils", "skimage.segmentation"
SETTINGS = stardist.Settings()


def random_stars(centres: np.ndarray, radius: float, rng: np.random.Generator) -> Candidates:
    """A polygon of smoothly varying radius around each centre, (N, 2) in (y, x) pixels."""
    n = len(centres)
    angle = 2 * np.pi * np.arange(RAYS) / RAYS
    waves = sum(
        rng.normal(0, 0.15 / k, (n, 1)) * np.cos(k * angle + rng.uniform(0, 2 * np.pi, (n, 1))) for k in (1, 2, 3)
    )
    dist = radius * rng.uniform(0.7, 1.3, (n, 1)) * np.maximum(1 + waves, 0.3)
    return Candidates(rng.random(n).astype(np.float32), centres.astype(np.float32), dist.astype(np.float32))


def make_labels(side: int, cells: int) -> np.ndarray:
    """(side, side) int32 with about so many cells, one near each point of a square lattice."""
    rng = np.random.default_rng(0)
    across = math.ceil(math.sqrt(cells))
    apart = side / across
    lattice = np.stack(np.meshgrid(np.arange(across), np.arange(across), indexing="ij"), axis=-1).reshape(-1, 2)[:cells]
    centres = (lattice + rng.uniform(0.35, 0.65, (cells, 2))) * apart
    return paint(random_stars(centres, MEAN_RADIUS * apart, rng), (side, side))[0]


def need_stardist() -> None:
    """Raise ValueError, with the remedy, if a package of StarDist's or the watershed of scikit-image is not there."""
    try:
        for name in COMPARED_WITH:
            import_module(name)
    except ImportError as error:
        raise ValueError(
            f"{error.name} is not installed, and nothing can be compared without it: pip install stardist scikit-image"
        ) from None


def decode_by_stardist(prob: np.ndarray, dist: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """StarDist's: the same maps to labels, with its grid of points at every fourth pixel's corner."""
    from stardist.geometry import polygons_to_label
    from stardist.nms import non_maximum_suppression

    points, prob, dist = non_maximum_suppression(
        np.ascontiguousarray(dist.transpose(1, 2, 0)),
        prob[0],
        grid=(STRIDE, STRIDE),
        b=0,
        nms_thresh=SETTINGS.overlap_threshold,
        prob_thresh=SETTINGS.prob_threshold,
    )
    return polygons_to_label(dist, points + (STRIDE - 1) / 2, shape, prob=prob)
