"""What of a picture is no image: white lines between and around panels, the black around a round field of view.

A few white lines would take nearly all of the contrast, and so would black corners from an image of transmitted light.
"""

from typing import Any

import cv2
import numpy as np

from inference.image.content import Cutout
from inference.reading import Regions
from inference.reading.regions import finite

WHITE = 0.97  # of the largest value: all pixels of a white line have as much in each channel
FEW = 16  # pixels of each line that are looked at first
MOST_WHITE = 0.01  # share of the other pixels that are as white at most; else the image is white in many places
MOST_ALIKE = 0.5  # share of the other rows, and of the other columns, whose pixels are all alike
SIDE = 256  # rows and columns of which it is told whether a field is round
CORNER = 0.02  # of the shorter side: that of the squares in the corners, which a round field leaves black
BLACK = 0.25  # of the median brightness, up to which the corners are black...
ABOVE_CORNERS = 1.5  # ...and all that is no brighter than so many times the brightest pixel of them
FEWEST_BLACK = 0.01  # share of the pixels that lie together around the field
FIELD_BEGINS = 5, 11  # sides in pixels of squares that black grows by; between them lies the field...
BETWEEN = 0.5  # ...which has this share of the median brightness there, as it ends at once; a vignette does not
BRIGHT = 0.4  # median over the 99th percentile, at least, of transmitted light


class WithoutBlank:
    """The pixels of an image without white lines, and 0 where they are black around a round field, made as they are
    asked for.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C)
    rows, columns : bool, (H,) and (W,), the white lines
    black : largest value of a pixel around a round field; below 0 if there is none
    """

    def __init__(self, pixels: np.ndarray | Regions | Cutout, rows: np.ndarray, columns: np.ndarray, black: float):
        self.pixels, self.black = pixels, black
        self.kept = np.flatnonzero(~rows), np.flatnonzero(~columns)
        self.shape: tuple[int, ...] = (*map(len, self.kept), *pixels.shape[2:])
        self.ndim: int = pixels.ndim
        self.dtype: np.dtype = pixels.dtype

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        """The region [rows, columns]; with a step, so many lines of the whole image are left out between two."""
        places, kept = [], []
        for part, own in zip(region, self.kept):
            own = own[part.start : part.stop]
            places.append(slice(int(own[0]), int(own[-1]) + 1, part.step))
            kept.append(np.isin(np.arange(own[0], own[-1] + 1, part.step or 1), own))
        block = self.pixels[places[0], places[1]][kept[0]][:, kept[1]]
        block[np.atleast_3d(block <= self.black).all(axis=2)] = 0
        return block


def without_blank(pixels: Any, sample: np.ndarray) -> Any:
    """An image without what is blank: as it is, or a `WithoutBlank`.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C), of any kind that `WithoutBlank` takes
    sample : every n-th row and column of it
    """
    shown = np.atleast_3d(sample if sample.dtype.kind in "ui" else finite(sample))
    lines, black = white_lines(shown), black_around(shown)
    if black < 0 and not any(map(np.any, lines)):
        return pixels
    rows, columns = (own[np.arange(n) * len(own) // n] for n, own in zip(pixels.shape, lines))
    return WithoutBlank(pixels, rows, columns, black)


def white_lines(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which rows and columns of an image (h, w, C) are white all along: bool, (h,) and (w,). None are where all are,
    where much else is white, or where the others are of one value each, as in a drawing.
    """
    height, width = image.shape[:2]
    rows, columns = np.zeros(height, bool), np.zeros(width, bool)
    largest = image.max(initial=0)
    level = WHITE * largest
    few_rows, few_columns = image[:: max(1, height // FEW)], image[:, :: max(1, width // FEW)]
    if not largest or not any((few.min(axis=(n, 2)) >= level).any() for n, few in ((0, few_rows), (1, few_columns))):
        return rows, columns
    white = (image >= level).all(axis=2)
    rows, columns = white.all(axis=1), white.all(axis=0)
    others = image[~rows][:, ~columns]
    if others.size and white[~rows][:, ~columns].mean() <= MOST_WHITE:
        alike = [(others.max(axis=axis) == others.min(axis=axis)).all(axis=1).mean() for axis in (0, 1)]
        if max(alike) <= MOST_ALIKE:
            return rows, columns
    return np.zeros_like(rows), np.zeros_like(columns)


def black_around(image: np.ndarray) -> float:
    """The largest value of the black around a round field in an image (h, w, C) of transmitted light; below 0 where
    there is none. What is dark within the field is brighter than that, or remains as few pixels.
    """
    gray = image[:: max(1, len(image) // SIDE), :: max(1, image.shape[1] // SIDE)].max(axis=2)
    if not gray.size:
        return -1.0
    side = max(1, round(CORNER * min(image.shape[:2])))
    ends = slice(None, side), slice(-side, None)
    middle, bright = np.percentile(gray, (50, 99))
    corners = float(max(image[y, x].max() for y in ends for x in ends))
    if not middle > BRIGHT * bright or corners > BLACK * middle:
        return -1.0
    black = min(ABOVE_CORNERS * corners, BLACK * middle)
    pieces = cv2.connectedComponents((gray <= black).astype(np.uint8))[1]
    outside = np.isin(pieces, np.setdiff1d(pieces[[0, 0, -1, -1], [0, -1, 0, -1]], 0)).astype(np.uint8)
    near, far = (cv2.dilate(outside, np.ones((n, n), np.uint8)) > 0 for n in FIELD_BEGINS)
    field = gray[far & ~near]
    begins = field.size > 0 and float(np.median(field)) >= BETWEEN * middle
    return black if begins and outside.mean() >= FEWEST_BLACK else -1.0
