"""A labelled image, small enough to travel: lossy, no larger than training shows it, and of the same class."""

import math
from typing import NamedTuple

import cv2
import numpy as np

from inference.image.forms import to_three_channels
from inference.image.normalisation import normalise
from inference.reading import read_image
from models.classes import LARGE_COLOUR
from training.images.cues import CELL_AREA, cue_class
from training.images.datasets import median_diameter, read_labels
from training.images.manifest import Record

SMALLEST_REDUCTION = 0.85  # a factor nearer to 1 is not worth the resampling
SMALLEST_SIDE = 32  # pixels
CONTRAST = 100  # gray levels between percentiles 1 and 99; with less, an image is stretched before it is compressed


class Packed(NamedTuple):
    """The bytes of an image's file and its suffix; those of its labels, and theirs."""

    image: bytes
    suffix: str
    label: bytes
    label_suffix: str


def pack_image(record: Record, largest: float, quality: int) -> Packed:
    """An image and its labels.

    Gray images become JPEG, of one channel or three as they were, for JPEG keeps equal channels equal; others WebP. An
    image that would be of another class afterwards stays as it is.

    Parameters
    ----------
    largest : median diameter of the cells, in pixels, to which images with larger ones are reduced
    quality : 1 to 100
    """
    pixels, labels = read_image(record.image).pixels, read_labels(record.label)
    class_ = cue_class(pixels, labels)
    factor = reduction(labels, class_, largest)
    reduced = resize(labels.astype(np.int32), factor, cv2.INTER_NEAREST_EXACT)
    if reduced.max() < 2**16:
        for candidate in candidates(pixels):
            image, suffix = encode(resize(candidate, factor, cv2.INTER_AREA), quality)
            if cue_class(decode(image), reduced) == class_:
                png = _encode(".png", reduced.astype(np.uint16), [cv2.IMWRITE_PNG_COMPRESSION, 9])
                return Packed(image, suffix, png, ".png")
    return Packed(
        record.image.read_bytes(),
        "".join(record.image.suffixes),
        record.label.read_bytes(),
        "".join(record.label.suffixes),
    )


def reduction(labels: np.ndarray, class_: int, largest: float) -> float:
    """The factor for an image's sides, at most 1; large cells stay large, for the class depends on it."""
    factor = largest / median_diameter(labels)  # nan without cells
    if class_ == LARGE_COLOUR:
        area = np.bincount(labels.ravel())[1:].max()
        factor = max(factor, math.sqrt(1.05 * CELL_AREA / area))
    return factor if factor < SMALLEST_REDUCTION else 1.0


def resize(array: np.ndarray, factor: float, interpolation: int) -> np.ndarray:
    """Both sides times a factor."""
    if factor == 1:
        return array
    height, width = (max(SMALLEST_SIDE, round(side * factor)) for side in array.shape[:2])
    return cv2.resize(array, (width, height), interpolation=interpolation)


def candidates(pixels: np.ndarray) -> list[np.ndarray]:
    """The image in 8 bit, with as many channels as it has, 1 or 3: as it is, and normalised, the better one first."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if channels not in (1, 3):
        return []
    stretched = normalise(pixels) if channels == 1 else to_three_channels(normalise(pixels))
    if pixels.dtype != np.uint8:
        return [stretched]
    low, high = np.percentile(pixels, (1, 99))
    return [pixels, stretched] if high - low >= CONTRAST else [stretched, pixels]


def encode(pixels: np.ndarray, quality: int) -> tuple[bytes, str]:
    """The file of an image, and its suffix."""
    if pixels.ndim == 2 or (pixels == pixels[:, :, :1]).all():
        return _encode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]), ".jpg"
    return _encode(".webp", pixels[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, quality]), ".webp"


def _encode(suffix: str, array: np.ndarray, options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, array, options)
    if not done:
        raise ValueError(f"an array of shape {array.shape} cannot be encoded as {suffix}")
    return data.tobytes()


def decode(data: bytes) -> np.ndarray:
    """The pixels of a file, colours in the order red, green, blue."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
