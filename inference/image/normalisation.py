"""What brings an image to the 8-bit form that the networks see: which channels are shown, and with which contrast."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from inference.image.blank import without_blank
from inference.image.colour import channel_of_one_hue, shows_more
from inference.image.content import Cutout
from inference.image.noise import SHORTEST_STRIP, shows_something
from inference.image.sparse import SAMPLE_PIXELS, reaching_up
from inference.image.stains import WithoutBrown, without_brown
from inference.limits import LIMITS, Limits
from inference.reading import Regions
from inference.reading.regions import finite

FILLED = 0.01  # of the pixels, at least, have the number that stands for no data
FEW_LEVELS = 10  # a channel whose brightest pixels are so dark has few levels; the lowest one is told from nothing
LOW_PERCENTILE, HIGH_PERCENTILE = 1, 99  # of the non-zero pixels of a channel (the authors' pre-processing)
COMMON_SAMPLE = 2**18  # pixels of each image that the ends of many are taken from, where histograms do not do
HUE_SIDE = 256  # pixels of the sample's shorter side by which an image's hue is told

NOTHING = 0.0, 0.0  # ends of a channel with nothing to see
Pixels = np.ndarray | Regions | Cutout
Ends = tuple[tuple[float, float], ...]  # of channels, the values that become 0 and 255


def normalise(pixels: Pixels) -> np.ndarray:
    """Stretch each channel between percentiles 1 and 99 of its non-zero pixels to 8 bit.

    Parameters
    ----------
    pixels : array of shape (H, W) or (H, W, C), C of 1 to 3, any integer or float dtype; NaN and infinities count as 0

    Returns
    -------
    uint8 array of shape (H, W) for one channel, equal channels or a single hue on a dark background, else (H, W, 3):
    two channels become red and green. A channel without contrast becomes 0, and one that shows nothing but noise as
    well.
    """
    return Normalisation.measure(pixels)(pixels[:, :])


@dataclass(frozen=True)
class Normalisation:
    """What `normalise` does to the pixels of one image.

    channels : the numbers of the channels that are shown; a single one makes a gray image
    ends : of each of them the values that become 0 and 255; equal where there is nothing to see
    brown : False to take a brown stain away first
    glare : False if a few places far brighter than the rest are cut off
    """

    channels: tuple[int, ...]
    ends: Ends
    brown: bool = True
    glare: bool = True

    @property
    def gray(self) -> bool:
        """Whether the result has one channel."""
        return len(self.channels) == 1

    @classmethod
    def measure(cls, pixels: Pixels, limits: Limits = LIMITS, brown: bool = True) -> "Normalisation":
        """Look at the pixels, band by band.

        The percentiles of 8 and 16-bit integers come from a histogram and are exact, without sorting. Those of other
        numbers come from every n-th row and column of an image of more than `limits.whole_pixels`. What is blank does
        not count, and few bright cells have the upper end.
        """
        shown: Any = pixels if brown else WithoutBrown(pixels)
        sample = _thinned(shown, SAMPLE_PIXELS)
        told: Any = without_blank(shown, sample)
        channels = channels_to_show(told, limits)
        if pixels.dtype in (np.uint8, np.uint16):
            ends = _ends_of_counts(_counts(told, channels, limits))
        else:
            ends = _ends_of_numbers(told, channels, limits)
        planes = _planes(sample if told is shown else _thinned(told, SAMPLE_PIXELS), channels)
        ends = ((low, reaching_up(plane, high)) for plane, (low, high) in zip(planes, ends))
        seen = (any(shows_something(finite(_planes(band, (c,))[0])) for band in bands(told, limits)) for c in channels)
        return cls(
            channels, tuple(with_zero(*own) if any_cells else NOTHING for own, any_cells in zip(ends, seen)), brown
        )

    def with_ends(self, ends: Ends | None) -> "Normalisation":
        """The same with other ends, given for all channels of the image; None keeps those it has. Nothing to see
        remains nothing.
        """
        if ends is None:
            return self
        return replace(self, ends=tuple(ends[c] if own != NOTHING else own for c, own in zip(self.channels, self.ends)))

    def without_glare(self, share: float) -> "Normalisation":
        """The same that stretches the lower `share` of the contrast over all of it."""
        return replace(self, ends=tuple((low, low + share * (high - low)) for low, high in self.ends), glare=False)

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Normalise (h, w) or (h, w, C) pixels of the measured image: uint8, (h, w) or (h, w, 3)."""
        if not self.brown:
            block = without_brown(block)
        planes = [self._stretch(plane, *ends) for plane, ends in zip(_planes(block, self.channels), self.ends)]
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
            return np.where(np.isfinite(plane), stretch(finite(plane)), np.uint8(0))
        table = stretch(np.arange(np.iinfo(plane.dtype).max + 1, dtype=np.float64))
        return cv2.LUT(plane, table) if plane.dtype == np.uint8 else table[plane]


def with_zero(low: float, high: float) -> tuple[float, float]:
    """The ends of a channel; where its non-zero pixels are all alike, as in a mask, or of a few levels from 1 on, as of
    counted photons, 0 is the lower one.
    """
    few = low == 1 and high <= FEW_LEVELS
    return (low, high) if high > low and not few else (min(low, 0.0), max(high, 0.0))


def channels_to_show(pixels: Pixels, limits: Limits = LIMITS) -> tuple[int, ...]:
    """The numbers of the channels that show all there is to see: one for a gray image, however it is stored.

    Parameters
    ----------
    pixels : as of `normalise`
    """
    channels = tuple(range(1 if pixels.ndim == 2 else pixels.shape[2]))
    if len(channels) == 1 or all(
        np.array_equal(band[..., 0], band[..., c]) for band in bands(pixels, limits) for c in channels[1:]
    ):
        return channels[:1]
    every = every_nth(pixels.shape, HUE_SIDE)
    sample = pixels[::every, ::every]
    single = channel_of_one_hue(sample)
    return channels if single is None or shows_more(sample, single) else (single,)


def bands(pixels: Pixels, limits: Limits = LIMITS, multiple: int = 1) -> Iterator[np.ndarray]:
    """The pixels of an image in order, some rows at a time: a multiple of `multiple`, but for the last band. Few rows
    at the end are none of their own: they would not tell noise from what is shown.
    """
    height, width = pixels.shape[:2]
    rows = max(1, limits.band_pixels // (width * multiple)) * multiple
    tops = [*range(0, height, rows)]
    if len(tops) > 1 and height - tops[-1] < SHORTEST_STRIP:
        tops.pop()
    for top, bottom in zip(tops, [*tops[1:], height]):
        yield pixels[top:bottom, :]


def _planes(band: np.ndarray, channels: tuple[int, ...]) -> list[np.ndarray]:
    """Some channels of (h, w) or (h, w, C) pixels, each one contiguous."""
    return [np.ascontiguousarray(band if band.ndim == 2 else band[..., c]) for c in channels]


def _counts(pixels: Pixels, channels: tuple[int, ...], limits: Limits) -> np.ndarray:
    """How often each value occurs in each channel: (channels, levels) int64."""
    levels = np.iinfo(pixels.dtype).max + 1
    counts = np.zeros((len(channels), levels), np.int64)
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


def _ends_of_numbers(pixels: Pixels, channels: tuple[int, ...], limits: Limits) -> Iterator[tuple[float, float]]:
    """Both percentiles of each channel."""
    for plane in _planes(_thinned(pixels, limits.whole_pixels), channels):
        values = without_fill(finite(plane))
        yield tuple(np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE)).tolist()) if values.size else (0.0, 0.0)


def every_nth(shape: tuple[int, ...], side: int) -> int:
    """Which of an image's rows and columns are looked at, so that its shorter side has `side` pixels or up to twice as
    many, and a long image no more than SAMPLE_PIXELS.
    """
    return max(1, min(shape[:2]) // side, step_for(shape, SAMPLE_PIXELS))


def step_for(shape: tuple[int, ...], most: int) -> int:
    """Which of an image's rows and columns are no more than `most` pixels together."""
    return math.ceil(math.sqrt(math.prod(shape[:2]) / most))


def _thinned(pixels: Pixels, most: int) -> np.ndarray:
    """Every n-th row and column of an image of more than `most` pixels."""
    every = step_for(pixels.shape, most)
    return pixels[::every, ::every]


def without_fill(plane: np.ndarray) -> np.ndarray:
    """The values of a channel, (n,), that are those of pixels: not 0, nor the number that stands for no data, which is
    negative, occurs often and lies farther below all others than they lie apart.
    """
    values = plane[plane != 0]
    lowest = values.min(initial=0)
    if lowest < 0:
        others = values[values > lowest]
        often = len(values) - len(others) >= FILLED * plane.size
        if often and others.size and others.min() - lowest > np.percentile(others, HIGH_PERCENTILE) - others.min():
            return others
    return values


class CommonEnds:
    """Ends that many images of one type and number of channels have in common: the percentiles of all their pixels.

    Those of other numbers than 8 and 16-bit integers come from a sample of each image, which counts as much as that of
    any other.
    """

    def __init__(self) -> None:
        self._counts: np.ndarray | None = None
        self._samples: list[np.ndarray] = []  # (n, channels) of each image

    def add(self, pixels: Pixels, limits: Limits = LIMITS) -> None:
        """One more image."""
        pixels = without_blank(pixels, _thinned(pixels, SAMPLE_PIXELS))
        channels = 1 if pixels.ndim == 2 else pixels.shape[2]
        if pixels.dtype in (np.uint8, np.uint16):
            counts = _counts(pixels, tuple(range(channels)), limits)
            self._counts = counts if self._counts is None else self._counts + counts
        else:
            self._samples.append(finite(_thinned(pixels, COMMON_SAMPLE)).reshape(-1, channels))

    def merge(self, other: "CommonEnds") -> None:
        """The images of another one, of the same type and number of channels, as if they had been added here."""
        if other._counts is not None:
            self._counts = other._counts.copy() if self._counts is None else self._counts + other._counts
        self._samples += other._samples

    @property
    def ends(self) -> Ends:
        """Those of all images so far, for each of their channels; there must be one image."""
        if self._counts is not None:
            return tuple(with_zero(*own) for own in _ends_of_counts(self._counts.copy()))
        pixels = np.concatenate(self._samples)[:, None]
        return tuple(with_zero(*own) for own in _ends_of_numbers(pixels, tuple(range(pixels.shape[2])), LIMITS))
