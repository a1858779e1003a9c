"""Dark gaps between bright things, as in tissue in fluorescence: they look like cells to a network, and are none."""

from collections.abc import Iterator

import cv2
import numpy as np

# Chosen by the medians of 600 labelled images: of fluorescence all but dense tissue have 45 and less, of phase
# contrast, whose cells may be darker than the background, all have 62 and more.
DARK = 55.0  # median of 255 gray levels below which an image shows bright cells on a dark background
AROUND = 4  # pixels that the surroundings of a cell reach
MOST_PIXELS = 2**20  # that are counted in one go


def ground(image: np.ndarray) -> float | None:
    """The median gray level of an image that shows bright cells on a dark background; None where nothing is darker, and
    of any other image.

    Parameters
    ----------
    image : normalised, uint8, (H, W) or (H, W, channels)
    """
    middle = float(np.median(_gray(image)))
    return middle if 0 < middle < DARK else None


def gaps(labels: np.ndarray, image: np.ndarray, middle: float) -> np.ndarray:
    """The numbers of the cells that are gaps, (n,) in rising order: darker than the ground and than what is around.

    Parameters
    ----------
    labels : int32 of shape (H, W), 0 is background
    image : normalised, uint8 of shape (H, W) or (H, W, channels)
    middle : gray level of the ground, as of `ground`
    """
    gray, length = _gray(image), int(labels.max(initial=0)) + 1
    pixels, sums = np.zeros(length), np.zeros(length)
    for own, shown in zip(*(np.array_split(whole, -(-whole.size // MOST_PIXELS)) for whole in (labels, gray))):
        pixels += np.bincount(own.ravel(), minlength=length)
        sums += np.bincount(own.ravel(), shown.ravel(), length)
    means = sums / np.maximum(pixels, 1)
    dim = (means < middle) & (pixels > 0)
    dim[0] = False
    found = [n for n, box in _boxes(labels, dim) if means[n] < _around(labels, gray, n, box)]
    return np.array(found, np.int64)


def _boxes(labels: np.ndarray, wanted: np.ndarray) -> Iterator[tuple[int, tuple[slice, slice]]]:
    """The numbers of the wanted cells, as a bool for each number says, with their rows and columns."""
    places = np.flatnonzero(wanted[labels])
    numbers = labels.ravel()[places]
    order = np.argsort(numbers, kind="stable")
    own, starts = np.unique(numbers[order], return_index=True)
    for number, part in zip(own.tolist(), np.split(places[order], starts[1:])):
        y, x = np.divmod(part, labels.shape[1])
        yield number, (slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1))


def _around(labels: np.ndarray, gray: np.ndarray, number: int, box: tuple[slice, slice]) -> float:
    """Mean gray level of the background next to a cell; that of none is 0, so that nothing is darker."""
    y, x = (slice(max(0, part.start - AROUND), part.stop + AROUND) for part in box)
    labels, gray = labels[y, x], gray[y, x]
    own = cv2.dilate((labels == number).astype(np.uint8), np.ones((2 * AROUND + 1, 2 * AROUND + 1), np.uint8))
    beside = gray[(own > 0) & (labels == 0)]
    return float(beside.mean()) if beside.size else 0.0


def _gray(image: np.ndarray) -> np.ndarray:
    return image.max(axis=2) if image.ndim == 3 else image
