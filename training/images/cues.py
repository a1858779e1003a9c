"""Low-level cues: the rules that put a labelled image into one of the four classes (paper, section 2.1).

    0 binary         fewer than three channels
    1 gray           mean saturation <= 0.1 and mean value in [0.1, 0.6]
    2 large colour   largest cell above 8000 pixels
    3 small colour   the others

`python -m training.cue_table` shows what they make of a data set.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from inference.routing import GRAY_SATURATION
from models.classes import CLASSES

CUES_TABLE = "cues.csv"  # of training.cue_table
CLASS_NAMES = tuple(c.name for c in CLASSES)

# Paper, section 3.3, with GRAY_SATURATION, theta. Its text compares the saturation the other way round; its figure and
# the authors' code do not.
VALUE_LOW, VALUE_HIGH = 0.1, 0.6  # alpha_s, alpha_l
CELL_AREA = 8000  # sigma, pixels


@dataclass(frozen=True)
class Cues:
    """What the rules look at.

    channels : as stored in the file
    saturation, value : means over the image in HSV, in [0, 1]; None for fewer than three channels
    largest_cell : area in pixels, 0 without cells
    """

    channels: int
    saturation: float | None
    value: float | None
    largest_cell: int


def measure_cues(pixels: np.ndarray, labels: np.ndarray) -> Cues:
    """The cues of an image as read; parameters as of `cue_class`."""
    areas = np.bincount(labels.ravel())[1:]
    largest = int(areas.max()) if areas.size else 0
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels < 3:
        return Cues(channels, None, None, largest)
    scale = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1
    hsv = cv2.cvtColor(np.divide(pixels[:, :, :3], scale, dtype=np.float32), cv2.COLOR_RGB2HSV)
    return Cues(channels, float(hsv[:, :, 1].mean()), float(hsv[:, :, 2].mean()), largest)


def decide(cues: Cues) -> tuple[int, str]:
    """The class, an index of `models.classes.CLASSES`, and the rule that decided it, in words.

    Examples
    --------
    >>> decide(Cues(1, None, None, 350))
    (0, 'fewer than 3 channels')
    >>> decide(Cues(3, 0.4, 0.8, 9000))
    (2, 'colour: mean S above 0.1; largest cell above 8000 px')
    """
    if cues.channels < 3:
        return 0, "fewer than 3 channels"
    if cues.saturation > GRAY_SATURATION:
        colour = f"mean S above {GRAY_SATURATION:g}"
    elif not VALUE_LOW <= cues.value <= VALUE_HIGH:
        colour = f"mean V outside {VALUE_LOW:g} to {VALUE_HIGH:g}"
    else:
        return 1, f"gray: mean S at most {GRAY_SATURATION:g}, mean V from {VALUE_LOW:g} to {VALUE_HIGH:g}"
    large = cues.largest_cell > CELL_AREA
    return 2 if large else 3, f"colour: {colour}; largest cell {'above' if large else 'at most'} {CELL_AREA} px"


def cue_class(pixels: np.ndarray, labels: np.ndarray) -> int:
    """The class of an image as read, from its channels, its colours and its largest cell.

    Parameters
    ----------
    pixels : array of shape (H, W) or (H, W, C), before normalisation; 8 or 16-bit integers, or floats in [0, 1]
    labels : integer array of shape (H, W), true or pseudo labels

    Returns
    -------
    int from 0 to 3, an index of `models.classes.CLASSES`.
    """
    return decide(measure_cues(pixels, labels))[0]
