"""Bring an image to the 8-bit form that the networks see: whole, or region by region as it is asked for."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from inference.limits import LIMITS, Limits
from inference.reading import Regions

LOW_PERCENTILE, HIGH_PERCENTILE = 1, 99  # of the non-zero pixels of a channel (the authors' pre-processing)
COMMON_SAMPLE = 2**18  # pixels of each image that the ends of many are taken from, where histograms do not do

Ends = tuple[tuple[float, float], ...]  # of each channel the values that become 0 and 255


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


def normalised_image(pixels: np.ndarray | Regions, limits: Limits = LIMITS, ends: "Ends | None" = None) -> "NormalisedImage":
    """As `normalise`, but a large image is normalised region by region, as they are asked for.

    Parameters
    ----------
    ends : as of `Normalisation`, if they are not to be those of this image
    """
    if math.prod(pixels.shape[:2]) <= limits.whole_pixels:
        return NormalisedImage(Normalisation.measure(pixels, limits, ends)(pixels[:, :]))
    return LargeImage(pixels, limits, ends)


@dataclass(frozen=True)
class Normalisation:
    """What `normalise` does to the pixels of one image.

    ends : of each channel the values that become 0 and 255
    gray : whether the channels are equal
    """

    ends: Ends
    gray: bool

    @classmethod
    def measure(cls, pixels: np.ndarray | Regions, limits: Limits = LIMITS, ends: Ends | None = None) -> "Normalisation":
        """Look at the pixels, band by band.

        The percentiles of 8 and 16-bit integers come from a histogram and are exact, without sorting. Those of other numbers
        come from every n-th row and column of an image of more than `limits.whole_pixels`.
        """
        channels = range(1 if pixels.ndim == 2 else pixels.shape[2])
        gray = len(channels) == 1 or all(np.array_equal(band[..., 0], band[..., c]) for band in bands(pixels, limits) for c in channels[1:])
        if ends is None:
            measure = _ends_of_integers if pixels.dtype in (np.uint8, np.uint16) else _ends_of_numbers
            ends = tuple(measure(pixels, 1 if gray else len(channels), limits))
        return cls(ends, gray)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Normalise (h, w) or (h, w, C) pixels of the measured image: uint8, (h, w) or (h, w, 3)."""
        planes = [block] if block.ndim == 2 else [block[..., c] for c in range(len(self.ends))]
        planes = [self._stretch(np.ascontiguousarray(plane), *ends) for plane, ends in zip(planes, self.ends)]
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


def bands(pixels: np.ndarray | Regions, limits: Limits = LIMITS, multiple: int = 1) -> Iterator[np.ndarray]:
    """The pixels of an image in order, some rows at a time: a multiple of `multiple`, but for the last band."""
    height, width = pixels.shape[:2]
    rows = max(1, limits.band_pixels // (width * multiple)) * multiple
    for top in range(0, height, rows):
        yield pixels[top : top + rows, :]


def _planes(band: np.ndarray, count: int) -> list[np.ndarray]:
    """The first `count` channels of (h, w) or (h, w, C) pixels, each one contiguous."""
    return [band] if band.ndim == 2 else [np.ascontiguousarray(band[..., c]) for c in range(count)]


def _finite(plane: np.ndarray) -> np.ndarray:
    return np.nan_to_num(plane.astype(np.float32, copy=False), nan=0, posinf=0, neginf=0)


def _ends_of_integers(pixels: np.ndarray | Regions, channels: int, limits: Limits) -> Iterator[tuple[float, float]]:
    """Both percentiles of each channel."""
    return _ends_of_counts(_counts(pixels, channels, limits))


def _counts(pixels: np.ndarray | Regions, channels: int, limits: Limits) -> np.ndarray:
    """How often each value occurs in each channel: (channels, levels) int64."""
    levels = np.iinfo(pixels.dtype).max + 1
    counts = np.zeros((channels, levels), np.int64)
    for band in bands(pixels, limits):
        for own, plane in zip(counts, _planes(band, channels)):
            own += cv2.calcHist([plane], [0], None, [levels], [0, levels]).ravel().astype(np.int64)
    return counts


def _ends_of_counts(counts: np.ndarray) -> Iterator[tuple[float, float]]:
    """Both percentiles of each channel by linear interpolation between order statistics, as numpy.percentile."""
    counts[:, 0] = 0
    for own in counts:
        ends = np.cumsum(own)
        positions = max(0, ends[-1] - 1) * np.array([LOW_PERCENTILE, HIGH_PERCENTILE]) / 100
        below = positions.astype(np.int64)
        a, b = (np.searchsorted(ends, ranks, side="right") for ranks in (below, np.minimum(below + 1, ends[-1] - 1)))
        low, high = a + (b - a) * (positions - below)
        yield float(low), float(high)


def _ends_of_numbers(pixels: np.ndarray | Regions, channels: int, limits: Limits) -> Iterator[tuple[float, float]]:
    """Both percentiles of each channel."""
    every = math.ceil(math.sqrt(math.prod(pixels.shape[:2]) / limits.whole_pixels))
    sample = pixels[::every, ::every]
    for plane in _planes(sample, channels):
        plane = _finite(plane)
        values = plane[plane != 0]
        yield tuple(np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE)).tolist()) if values.size else (0.0, 0.0)


class CommonEnds:
    """Ends that many images of one type and number of channels have in common: the percentiles of all their pixels.

    Those of other numbers than 8 and 16-bit integers come from a sample of each image, which counts as much as that of any other.
    """

    def __init__(self) -> None:
        self._counts: np.ndarray | int = 0
        self._samples: list[np.ndarray] = []  # (n, channels) of each image

    def add(self, pixels: np.ndarray | Regions, limits: Limits = LIMITS) -> None:
        """One more image."""
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        if pixels.dtype in (np.uint8, np.uint16):
            self._counts = self._counts + _counts(pixels, channels, limits)
        else:
            every = math.ceil(math.sqrt(math.prod(pixels.shape[:2]) / COMMON_SAMPLE))
            self._samples.append(_finite(pixels[::every, ::every]).reshape(-1, channels))

    @property
    def ends(self) -> Ends:
        """Those of all images so far; there must be one."""
        if isinstance(self._counts, np.ndarray):
            return tuple(_ends_of_counts(self._counts.copy()))
        return tuple(_ends_of_numbers(np.concatenate(self._samples)[:, None], self._samples[0].shape[1], LIMITS))


class NormalisedImage:
    """An image in its normalised form, kept whole.

    Parameters
    ----------
    whole : uint8, (H, W) or (H, W, 3)

    Attributes
    ----------
    shape : height and width in pixels
    reduction : pixels of the image per pixel of its overview, along each axis
    """

    reduction = 1

    def __init__(self, whole: np.ndarray):
        self.shape: tuple[int, int] = whole.shape[:2]
        self._whole = whole

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        """The region [rows, columns]: uint8, (h, w) or (h, w, 3)."""
        return self._whole[region]

    @property
    def overview(self) -> np.ndarray:
        """The image in small: uint8, (H / reduction, W / reduction) without what is left over, or (..., 3)."""
        return self._whole


class LargeImage(NormalisedImage):
    """The normalised form of an image, of which regions are made as they are asked for.

    Parameters
    ----------
    pixels : as `normalise` takes them
    ends : as of `normalised_image`
    """

    def __init__(self, pixels: np.ndarray | Regions, limits: Limits = LIMITS, ends: Ends | None = None):
        self.pixels, self.limits, self.shape = pixels, limits, pixels.shape[:2]
        self.normalisation = Normalisation.measure(pixels, limits, ends)
        self.reduction = max(1, min(self.shape) // limits.overview_side)

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        return self.normalisation(self.pixels[region])

    @cached_property
    def overview(self) -> np.ndarray:
        """Means over squares of `reduction` pixels."""
        n = self.reduction
        if n == 1:
            return self[:, :]
        columns = self.shape[1] // n * n
        reduced = []
        for band in bands(self.pixels, self.limits, n):
            rows = len(band) // n * n
            if rows:
                band = self.normalisation(band[:rows, :columns])
                reduced.append(cv2.resize(band, (columns // n, rows // n), interpolation=cv2.INTER_AREA))
        return np.concatenate(reduced)


def to_three_channels(image: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W, 3) by repetition; (H, W, 3) is returned as it is."""
    return image if image.ndim == 3 else cv2.merge([image] * 3)
