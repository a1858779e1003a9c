"""The working image: an image at the size at which its cells are as large as the network wants them. Made row by
row.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from inference.compiled import compiled
from inference.normalisation import NormalisedImage, to_three_channels


@dataclass(frozen=True)
class ScaleSettings:
    """What the image's size allows, for the sake of the time; an image is never made smaller for it."""

    enlargement: float = 4.0  # an image is enlarged to this many times its pixels at most...
    enlarged_pixels: int = 4_000_000  # ...and to this many


def working_scale(
    shape: tuple[int, ...], wanted: float, diameter: float, settings: ScaleSettings = ScaleSettings()
) -> float:
    """Factor that brings cells of `diameter` pixels to `wanted` ones, within what the image's size allows.

    Parameters
    ----------
    shape : height and width of the image in pixels
    """
    return min(wanted / diameter, largest_scale(shape, settings))


def largest_scale(shape: tuple[int, ...], settings: ScaleSettings = ScaleSettings()) -> float:
    """Factor by which an image of this height and width may be enlarged, 1 or more."""
    return math.sqrt(max(1.0, min(settings.enlargement, settings.enlarged_pixels / (shape[0] * shape[1]))))


def smallest_shown(shape: tuple[int, ...], wanted: float, settings: ScaleSettings = ScaleSettings()) -> float:
    """Diameter in pixels of the image of the smallest cells that can be brought to `wanted` ones."""
    return wanted / largest_scale(shape, settings)


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

    def __init__(self, image: NormalisedImage, scale: float):
        self.image, self.sizes = image, Sizes.at_scale(image.shape, scale)
        self.shape = self.sizes.working
        self._enlarged = None
        if math.prod(self.shape) > math.prod(image.shape):  # to a few megapixels at most, see ScaleSettings
            self._enlarged = cv2.resize(image[:, :], self.shape[::-1], interpolation=cv2.INTER_LINEAR)

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """Working rows [top, bottom): uint8, (bottom - top, W, 3). Shrunk, a pixel is the mean over its area."""
        if self._enlarged is not None:
            return to_three_channels(self._enlarged[top:bottom])
        if self.shape == self.image.shape:
            return to_three_channels(self.image[top:bottom, :])
        zoom = self.image.shape[0] / self.shape[0]
        first, last = math.floor(top * zoom), min(math.ceil(bottom * zoom), self.image.shape[0])
        block = self.image[first:last, :]
        block = cv2.resize(block, (self.shape[1], len(block)), interpolation=cv2.INTER_AREA)
        rows = np.empty((bottom - top, *block.shape[1:]), np.uint8)
        _average_rows(block.reshape(len(block), -1), first, zoom, top, rows.reshape(len(rows), -1))
        return to_three_channels(rows)


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
