"""Low-level cues: the rules that put a labelled image into one of the four classes (paper, section 2.1).

    0 binary         one channel
    1 gray           mean saturation <= 0.1 and mean value in [0.1, 0.6]
    2 large colour   largest cell above 8000 pixels
    3 small colour   the others
"""

from dataclasses import dataclass

import cv2
import numpy as np

CLASSES = ("binary", "gray", "large colour", "small colour")


@dataclass(frozen=True)
class CueThresholds:
    """Paper, section 3.3. Its text compares the saturation the other way round; its figure and the authors' code do not."""

    saturation: float = 0.1  # theta
    value_low: float = 0.1  # alpha_s
    value_high: float = 0.6  # alpha_l
    cell_area: int = 8000  # sigma, pixels


def cue_class(pixels: np.ndarray, labels: np.ndarray, thresholds: CueThresholds = CueThresholds()) -> int:
    """The class of an image as read, from its channels, its colours and its largest cell.

    Parameters
    ----------
    pixels : array of shape (H, W) or (H, W, C), before normalisation; 8 or 16-bit integers, or floats in [0, 1]
    labels : integer array of shape (H, W), true or pseudo labels

    Returns
    -------
    int from 0 to 3, an index of CLASSES.
    """
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return 0
    scale = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1
    hsv = cv2.cvtColor((pixels[:, :, :3] / scale).astype(np.float32), cv2.COLOR_RGB2HSV)
    saturation, value = float(hsv[:, :, 1].mean()), float(hsv[:, :, 2].mean())
    if saturation <= thresholds.saturation and thresholds.value_low <= value <= thresholds.value_high:
        return 1
    areas = np.bincount(labels.ravel())[1:]
    return 2 if areas.size and areas.max() > thresholds.cell_area else 3
