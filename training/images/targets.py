"""The targets of a crop: what both kinds of network learn to predict there, and where it counts."""

import numpy as np

from inference import hover, stardist
from inference.hover import HOVER_STRIDE


def make_targets(labels: np.ndarray, known: np.ndarray) -> dict[str, np.ndarray]:
    """Targets of both kinds of network.

    Parameters
    ----------
    labels : int32 array of shape (S, S), S a multiple of 4
    known : float32 array of shape (S, S), weight of each pixel in the losses

    Returns
    -------
    float32 arrays: on the 1/4 grid prob (1, h, w), dist (32, h, w) and weight (1, h, w); on the 1/2 grid cell (1, h,
    w), hv (2, h, w) and hover_weight (1, h, w), which is the smallest weight in a block, since cell and hv are means
    over all of it.
    """
    (prob, dist), (cell, hv) = stardist.targets(labels), hover.targets(labels)
    height, width = (n // HOVER_STRIDE for n in known.shape)
    return {
        "prob": prob,
        "dist": dist,
        "weight": stardist.at_block_centres(known)[None],
        "cell": cell,
        "hv": hv,
        "hover_weight": known.reshape(height, HOVER_STRIDE, width, HOVER_STRIDE).min(axis=(1, 3))[None],
    }
