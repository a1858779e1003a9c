"""Distances that are the same on every processor."""

import cv2
import numpy as np


def distance_inside(mask: np.ndarray, size: int = cv2.DIST_MASK_PRECISE) -> np.ndarray:
    """Distance of each pixel of a mask from the nearest pixel outside of it, 0 there: (H, W) float32, pixels.

    Parameters
    ----------
    mask : (H, W) uint8 or bool
    size : of OpenCV's mask: 3, 5, or exact

    Notes
    -----
    Where nothing is outside, OpenCV promises nothing: the answer is 1.8e19 on some processors. Here it is the longer
    side of the array, which is further than any pixel that could be outside along a side.
    """
    if mask.all():
        return np.full(mask.shape, max(mask.shape, default=0), np.float32)
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, size)
