"""Few bright cells on a dark background: fewer pixels than the hundredth that the contrast of an image leaves out.

The contrast then ends within the noise of the background, which is stretched over all gray levels, and the cells are
one white. So it is made to reach up to the cells.
"""

import cv2
import numpy as np

from inference.reading.regions import finite

# Chosen on cells of four sources, 5 to 80 of them in 1536x1536 pixels of noise, and on 772 labelled gray images, for
# four of which the rule holds. It holds for no channel of 497 labelled colour images.
BRIGHT = 8.0  # deviations of the means over 3x3 pixels from which on a pixel is bright
FEWEST = 30  # bright pixels...
MOST = 0.02  # ...and the share of all that they are at most
NOISE = 4.0  # deviations from the median within which the usual upper end is one of the background
TYPICAL = 75.0  # percentile of the bright pixels, which becomes the upper end...
FARTHER = 3.0  # ...if it lies so many times as far from the median as the usual one...
DARK = 0.5  # ...and the median is no more than this share of it, as where cells shine

SAMPLE_PIXELS = 2**20  # of a larger image every n-th row and column is looked at
DEVIATION = 1.4826  # standard deviation of normal noise over the median of its absolute deviations
ROUNDING = 0.5  # gray levels, the least noise of integers


def reaching_up(plane: np.ndarray, high: float) -> float:
    """The value that becomes white in a channel: that of its few bright cells, or `high` where there are none.

    Parameters
    ----------
    plane : (H, W), any number format; the image, or every n-th row and column of it
    high : a high percentile of the pixels that are not 0
    """
    sample = finite(plane)
    pixels = sample[sample != 0]
    if not pixels.size:
        return high
    middle = float(np.median(pixels))
    if middle > DARK * pixels.max():  # of transmitted light: no cell can be so much brighter
        return high
    deviation = _deviation(pixels, middle)
    least = ROUNDING if plane.dtype.kind in "iu" else 0.0
    if not middle < high < middle + NOISE * max(deviation, least):
        return high
    means = cv2.blur(sample, (3, 3))
    ground = float(np.median(means))
    bright = sample[means > ground + BRIGHT * _deviation(means, ground)]
    if not FEWEST <= bright.size <= MOST * sample.size:
        return high
    cells = float(np.percentile(bright, TYPICAL))
    far = cells > middle + FARTHER * (high - middle)
    return cells if far and middle <= DARK * cells else high


def _deviation(values: np.ndarray, middle: float) -> float:
    """The standard deviation, by the median of the absolute deviations from the median."""
    return DEVIATION * float(np.median(np.abs(values - middle)))
