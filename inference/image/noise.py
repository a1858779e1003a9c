"""Whether a channel shows anything but noise. Stretching the contrast of an empty field would make its noise look like
cells.
"""

import math

import cv2
import numpy as np

NOISE_RESPONSE = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)  # blind to gradients and to most edges
SMALLEST_DEVIATION = 1e-9  # of a drawn image, which has no noise
UNEVENNESS = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], np.float32)  # blind to gradients; 20 is its sum of squares

# Fitted to the labelled images: of those with cells none has an evidence below 26, camera noise and empty fields have 4
# to 7.
BLOCKS = (4, 8, 16)  # pixels; noise averages out over a block, what is shown there does not
FEWEST_BLOCKS = 5  # along each side; a smaller image is taken to show something
STRIP_PIXELS = 2**20  # of a larger image, strips of this size are looked at until one shows something
SHORTEST_STRIP = 128  # pixels
LEAST_EVIDENCE = 7.0  # of something, in standard deviations of what noise alone would give


def noise_deviation(plane: np.ndarray) -> float:
    """Standard deviation of the noise that is independent from pixel to pixel (Immerkaer 1996).

    Parameters
    ----------
    plane : float32, (H, W), at least 3x3
    """
    response = cv2.filter2D(plane, cv2.CV_32F, NOISE_RESPONSE)[1:-1, 1:-1]
    return float(np.sqrt(np.pi / 2) / 6 * np.mean(np.abs(response)))


def evidence(plane: np.ndarray) -> float:
    """How far the most uneven place of a channel is from what its noise explains, in standard deviations.

    The means of neighbouring blocks are compared, for blocks of several sizes. Gradients do not count.

    Parameters
    ----------
    plane : (H, W), any number format

    Returns
    -------
    float; infinite for an image that is too small to tell.
    """
    plane = plane.astype(np.float32)
    if min(plane.shape) < FEWEST_BLOCKS * BLOCKS[0]:
        return np.inf
    deviation = max(noise_deviation(plane), SMALLEST_DEVIATION)
    largest = 0.0
    for block in BLOCKS:
        rows, columns = (n // block for n in plane.shape)
        if min(rows, columns) >= FEWEST_BLOCKS:
            means = cv2.resize(plane[: rows * block, : columns * block], (columns, rows), interpolation=cv2.INTER_AREA)
            uneven = float(np.abs(cv2.filter2D(means, cv2.CV_32F, UNEVENNESS)[1:-1, 1:-1]).max())
            largest = max(largest, uneven / (math.sqrt(20) * deviation / block))
    return largest


def shows_something(plane: np.ndarray) -> bool:
    """Whether there is more than noise, and a gradient at most, in a channel (H, W) of any number format."""
    strips = max(1, min(plane.size // STRIP_PIXELS, len(plane) // SHORTEST_STRIP))
    return any(evidence(strip) >= LEAST_EVIDENCE for strip in np.array_split(plane, strips))
