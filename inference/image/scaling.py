"""The working image: an image at the size at which its cells are as large as the network wants them. Made row by
row.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from inference.compiled import compiled
from inference.image.forms import NormalisedForm, to_three_channels

# Fitted to validation images, of unseen sources too, at the true size of their cells.
LARGEST = 2.0  # factor; what is enlarged further shows nothing new, and takes time
WORTHWHILE = 1.2  # from which on an image is enlarged for its labels; less blurs more than it shows


def working_scale(wanted: float, diameter: float) -> float:
    """Factor that brings cells of `diameter` pixels to `wanted` ones, or as near as an image may be enlarged."""
    return min(wanted / diameter, LARGEST)


def labelling_scale(wanted: float, diameter: float) -> float:
    """The same for the labels, where a small enlargement is not worth it."""
    scale = working_scale(wanted, diameter)
    return scale if scale < 1 or scale >= WORTHWHILE else 1.0


def smallest_shown(wanted: float) -> float:
    """Diameter in pixels of the image of the smallest cells that can be brought to `wanted` ones."""
    return wanted / LARGEST


@dataclass(frozen=True)
class Sizes:
    """Height and width of an image, and of the working image that the network sees, in pixels."""

    image: tuple[int, int]
    working: tuple[int, int]

    @classmethod
    def at_scale(cls, image: tuple[int, int], scale: float) -> "Sizes":
        """With a working image of `scale` times the size, rounded to whole pixels, at least 1."""
        height, width = (max(1, round(n * scale)) for n in image)
        return cls(image, (height, width))

    @property
    def scale(self) -> tuple[float, float]:
        """Working pixels per pixel of the image, exactly, (y, x)."""
        return self.working[0] / self.image[0], self.working[1] / self.image[1]


class WorkingImage:
    """A normalised image at another size, of which rows are made as they are asked for.

    Parameters
    ----------
    scale : working size over image size

    Attributes
    ----------
    shape : height and width in working pixels
    """

    def __init__(self, image: NormalisedForm, scale: float):
        self.image, self.sizes = image, Sizes.at_scale(image.shape, scale)
        self.shape = self.sizes.working

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Working rows [top, bottom): uint8, (bottom - top, W, 3). Shrunk, a pixel is the mean over its area; enlarged,
        it lies on a line between its neighbours.
        """
        if self.shape == self.image.shape:
            return to_three_channels(self.image[top:bottom, :])
        height, zoom = self.image.shape[0], self.image.shape[0] / self.shape[0]
        if enlarged := math.prod(self.shape) > math.prod(self.image.shape):
            first, last = (math.floor((row + 0.5) * zoom - 0.5) for row in (top, bottom - 1))
            first, last = max(first, 0), min(last + 2, height)
        else:
            first, last = math.floor(top * zoom), min(math.ceil(bottom * zoom), height)
        block = self.image[first:last, :]
        interpolation = cv2.INTER_LINEAR if enlarged else cv2.INTER_AREA
        block = cv2.resize(block, (self.shape[1], len(block)), interpolation=interpolation)
        rows = np.empty((bottom - top, *block.shape[1:]), np.uint8)
        make = _rows_between if enlarged else _average_rows
        make(block.reshape(len(block), -1), first, zoom, top, rows.reshape(len(rows), -1))
        return to_three_channels(rows)


@compiled
def _rows_between(block, first, zoom, top, rows):
    """Each row from the two nearest ones. Parameters as of `_average_rows`; beyond the block's ends its last row goes
    on.
    """
    for i in range(len(rows)):
        place = (top + i + 0.5) * zoom - 0.5 - first
        low = min(max(int(np.floor(place)), 0), len(block) - 1)
        high = min(low + 1, len(block) - 1)
        part = np.float32(min(max(place - low, 0.0), 1.0))
        for k in range(block.shape[1]):
            between = (1 - part) * np.float32(block[low, k]) + part * np.float32(block[high, k])
            rows[i, k] = np.uint8(between + np.float32(0.5))


@compiled
def _average_rows(block, first, zoom, top, rows):
    """Each row's mean over its area.

    block : (n, k) uint8, rows from number `first` on
    zoom : rows of the block's image per row of the result
    rows : (m, k) uint8, filled in; rows of the result from number `top` on
    """
    for i in range(len(rows)):
        low, high = (top + i) * zoom, (top + i + 1) * zoom
        a = int(np.floor(low))
        b = min(int(np.ceil(high)), first + len(block))
        total = min(high, b) - low
        sums = np.zeros(block.shape[1], np.float32)
        for j in range(a, b):
            weight = np.float32((min(j + 1, high) - max(j, low)) / total)
            for k in range(block.shape[1]):
                sums[k] += weight * block[j - first, k]
        for k in range(block.shape[1]):
            rows[i, k] = np.uint8(sums[k] + np.float32(0.5))
