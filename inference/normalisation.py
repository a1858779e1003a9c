"""Bring an image to the 8-bit form that the networks see: whole, or region by region as it is asked for."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from inference.reading import Regions

LOW_PERCENTILE, HIGH_PERCENTILE = 1, 99  # of the non-zero pixels of a channel (the authors' pre-processing)
BAND_PIXELS = 2**23  # looked at in one go; OpenCV's histogram counts in float32, exact up to 2^24
WHOLE_PIXELS = 2**25  # an image up to this size is normalised once and kept, a larger one region by region
OVERVIEW_SIDE = 1024  # pixels at least on the shorter side of a large image's overview


def normalise(pixels: np.ndarray | Regions) -> np.ndarray:
    """Stretch each channel between percentiles 1 and 99 of its non-zero pixels to 8 bit.

    Parameters
    ----------
    pixels : array of shape (H, W) or (H, W, C), C of 1 to 3, any integer or float dtype; NaN and infinities count as 0

    Returns
    -------
    uint8 array of shape (H, W) for one channel or equal channels, else (H, W, 3): two channels become red and green.
    A channel without contrast becomes 0.
    """
    return Normalisation.measure(pixels)(pixels[:, :])


@dataclass(frozen=True)
class Normalisation:
    """What `normalise` does to the pixels of one image.

    limits : of each channel the values that become 0 and 255
    gray : whether the channels are equal
    """

    limits: tuple[tuple[float, float], ...]
    gray: bool

    @classmethod
    def measure(cls, pixels: np.ndarray | Regions) -> "Normalisation":
        """Look at the pixels, band by band.

        The percentiles of 8 and 16-bit integers come from a histogram and are exact, without sorting. Those of other numbers
        come from every n-th row and column of an image of more than `WHOLE_PIXELS`.
        """
        channels = range(1 if pixels.ndim == 2 else pixels.shape[2])
        gray = len(channels) == 1 or all(np.array_equal(band[..., 0], band[..., c]) for band in bands(pixels) for c in channels[1:])
        limits = _limits_of_integers if pixels.dtype in (np.uint8, np.uint16) else _limits_of_numbers
        return cls(tuple(limits(pixels, 1 if gray else len(channels))), gray)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Normalise (h, w) or (h, w, C) pixels of the measured image: uint8, (h, w) or (h, w, 3)."""
        planes = [block] if block.ndim == 2 else [block[..., c] for c in range(len(self.limits))]
        planes = [self._stretch(np.ascontiguousarray(plane), *limits) for plane, limits in zip(planes, self.limits)]
        if self.gray:
            return planes[0]
        return cv2.merge(planes + [np.zeros_like(planes[0])] * (3 - len(planes)))

    @staticmethod
    def _stretch(plane: np.ndarray, low: float, high: float) -> np.ndarray:
        def stretch(values: np.ndarray) -> np.ndarray:
            if not high > low:
                return np.zeros(values.shape, np.uint8)
            return (np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)

        if plane.dtype not in (np.uint8, np.uint16):
            return stretch(_finite(plane))
        table = stretch(np.arange(np.iinfo(plane.dtype).max + 1, dtype=np.float64))
        return cv2.LUT(plane, table) if plane.dtype == np.uint8 else table[plane]


def bands(pixels: np.ndarray | Regions, multiple: int = 1) -> Iterator[np.ndarray]:
    """The pixels of an image in order, some rows at a time: a multiple of `multiple`, but for the last band."""
    height, width = pixels.shape[:2]
    rows = max(1, BAND_PIXELS // (width * multiple)) * multiple
    for top in range(0, height, rows):
        yield pixels[top : top + rows, :]


def _planes(band: np.ndarray, count: int) -> list[np.ndarray]:
    """The first `count` channels of (h, w) or (h, w, C) pixels, each one contiguous."""
    return [band] if band.ndim == 2 else [np.ascontiguousarray(band[..., c]) for c in range(count)]


def _finite(plane: np.ndarray) -> np.ndarray:
    return np.nan_to_num(plane.astype(np.float32, copy=False), nan=0, posinf=0, neginf=0)


def _limits_of_integers(pixels: np.ndarray | Regions, channels: int) -> Iterator[tuple[float, float]]:
    """Both percentiles of each channel by linear interpolation between order statistics, as numpy.percentile."""
    levels = np.iinfo(pixels.dtype).max + 1
    counts = np.zeros((channels, levels), np.int64)
    for band in bands(pixels):
        for own, plane in zip(counts, _planes(band, channels)):
            own += cv2.calcHist([plane], [0], None, [levels], [0, levels]).ravel().astype(np.int64)
    counts[:, 0] = 0
    for own in counts:
        ends = np.cumsum(own)
        positions = max(0, ends[-1] - 1) * np.array([LOW_PERCENTILE, HIGH_PERCENTILE]) / 100
        below = positions.astype(np.int64)
        a, b = (np.searchsorted(ends, ranks, side="right") for ranks in (below, np.minimum(below + 1, ends[-1] - 1)))
        low, high = a + (b - a) * (positions - below)
        yield float(low), float(high)


def _limits_of_numbers(pixels: np.ndarray | Regions, channels: int) -> Iterator[tuple[float, float]]:
    """Both percentiles of each channel."""
    every = math.ceil(math.sqrt(math.prod(pixels.shape[:2]) / WHOLE_PIXELS))
    sample = pixels[::every, ::every]
    for plane in _planes(sample, channels):
        plane = _finite(plane)
        values = plane[plane != 0]
        yield tuple(np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE)).tolist()) if values.size else (0.0, 0.0)


class NormalisedImage:
    """The normalised form of an image, of which regions are made as they are asked for.

    Parameters
    ----------
    pixels : as `normalise` takes them
    """

    def __init__(self, pixels: np.ndarray | Regions):
        self.pixels, self.shape = pixels, pixels.shape[:2]
        self.normalisation = Normalisation.measure(pixels)
        self._whole = self.normalisation(pixels[:, :]) if math.prod(self.shape) <= WHOLE_PIXELS else None

    @classmethod
    def of(cls, image: np.ndarray) -> "NormalisedImage":
        """An image that is normalised already: uint8, (H, W) or (H, W, 3)."""
        wrapped = cls.__new__(cls)
        wrapped.shape, wrapped._whole = image.shape[:2], image
        return wrapped

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        """The region [rows, columns]: uint8, (h, w) or (h, w, 3)."""
        return self._whole[region] if self._whole is not None else self.normalisation(self.pixels[region])

    @cached_property
    def reduction(self) -> int:
        """Pixels of the image per pixel of its overview, along each axis; 1 for an image that is kept whole."""
        return 1 if self._whole is not None else max(1, min(self.shape) // OVERVIEW_SIDE)

    @cached_property
    def overview(self) -> np.ndarray:
        """The image in small: uint8, (H / reduction, W / reduction) without what is left over, or (..., 3)."""
        n = self.reduction
        if n == 1:
            return self[:, :]
        columns = self.shape[1] // n * n
        reduced = []
        for band in bands(self.pixels, n):
            rows = len(band) // n * n
            if rows:
                band = self.normalisation(band[:rows, :columns])
                reduced.append(cv2.resize(band, (columns // n, rows // n), interpolation=cv2.INTER_AREA))
        return np.concatenate(reduced)


def square(image: NormalisedImage | np.ndarray, corner: tuple[int, int], side: int, finest: float) -> tuple[np.ndarray, int]:
    """The square of `side` pixels at `corner` (y, x) of a normalised image, cut off at the image's border.

    Parameters
    ----------
    finest : pixels of the image that may be taken together along each axis; the square of a large image may then come from its
        overview

    Returns
    -------
    the square, uint8, (h, w) or (h, w, 3), and how many pixels of the image were taken together along each axis.
    """
    reduction = image.reduction if isinstance(image, NormalisedImage) else 1
    if not 1 < reduction <= finest:
        return image[corner[0] : corner[0] + side, corner[1] : corner[1] + side], 1
    (top, left), side = (c // reduction for c in corner), max(1, side // reduction)
    return image.overview[top : top + side, left : left + side], reduction


def to_three_channels(image: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W, 3) by repetition; (H, W, 3) is returned as it is."""
    return image if image.ndim == 3 else cv2.merge([image] * 3)
