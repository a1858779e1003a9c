"""A picture of the image, as it looks, with the outlines of its cells and their numbers."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from inference.decoding.distances import distance_inside
from inference.image.forms import to_three_channels
from inference.image.normalisation import bands
from inference.limits import LIMITS, Limits
from inference.outputs.borders import inner_border
from inference.outputs.whole_file import whole_file

LOW_PERCENTILE, HIGH_PERCENTILE = 0.1, 99.9
SPREAD = 96  # of 255; an 8-bit image whose values lie this far apart is shown as it is
CHROMA_WEIGHT = 0.5  # thin lines are told from what is below by their lightness first
HARDEST = 2  # percentile of the pixels below the outlines that a colour has to stand out from
COLOURS = {  # RGB; of equal ones the first is taken
    "yellow": (255, 255, 0),
    "green": (0, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
    "red": (255, 0, 0),
    "blue": (0, 0, 255),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}
AUTOMATIC = ("yellow", "green", "magenta", "cyan", "red")
SMALLEST_TEXT, LARGEST_TEXT = 0.3, 1.0  # of OpenCV's font, 22 pixels high


@dataclass(frozen=True)
class OverlayStyle:
    """How outlines are drawn.

    colour : RGB, 0 to 255; None for the one of `AUTOMATIC` that stands out best
    width : pixels of the picture
    numbers : the number of each cell is written into it
    """

    colour: tuple[int, int, int] | None = None
    width: int = 1
    numbers: bool = False


PLAIN = OverlayStyle()


def parse_colour(text: str) -> tuple[int, int, int] | None:
    """A colour by its name or as #rrggbb; None for "auto". Raises ValueError for anything else."""
    if text == "auto":
        return None
    if text in COLOURS:
        return COLOURS[text]
    if len(text) == 7 and text[0] == "#":
        try:
            red, green, blue = bytes.fromhex(text[1:])
            return red, green, blue
        except ValueError:
            pass
    raise ValueError(f"no colour: {text!r}; give one of auto, {', '.join(COLOURS)}, or a number like #ff8000")


def reduction(shape: tuple[int, int], limits: Limits = LIMITS) -> int:
    """Pixels of the image per pixel of the overlay, along each axis."""
    pixels = math.prod(shape)
    return 1 if pixels <= limits.shown_pixels else min(math.ceil(math.sqrt(pixels / limits.small_pixels)), *shape)


def own_picture(pixels, photograph: bool, limits: Limits = LIMITS) -> np.ndarray:
    """The image as people know it: 8-bit images that fill their range as they are, others stretched.

    Parameters
    ----------
    pixels : (H, W) or (H, W, C), C of 1 to 3, an array or anything else that gives regions of rows and columns
    photograph : the channels are red, green and blue of a colour camera; stretched together, they keep their balance

    Returns
    -------
    uint8, (h, w) or (h, w, 3), smaller than the image by `reduction`, without what is left over; two channels become
    red and green.
    """
    small = np.concatenate(list(_reduced(pixels, reduction(pixels.shape[:2], limits))))
    planes = [small] if small.ndim == 2 else [np.ascontiguousarray(small[..., c]) for c in range(small.shape[2])]
    groups = [planes] if photograph else [[plane] for plane in planes]
    shown = [_stretch(plane, *_limits(group, pixels.dtype)) for group in groups for plane in group]
    if len(shown) == 1:
        return shown[0]
    return cv2.merge(shown + [np.zeros_like(shown[0])] * (3 - len(shown)))


def _reduced(pixels, every: int) -> Iterator[np.ndarray]:
    columns = pixels.shape[1] // every * every
    for band in bands(pixels, multiple=every):
        if band.dtype.kind == "f":
            band = np.nan_to_num(band, nan=0, posinf=0, neginf=0)
        if band.dtype not in (np.uint8, np.uint16):
            band = band.astype(np.float32)
        rows = len(band) // every * every
        if every == 1:
            yield band
        elif rows:
            small = cv2.resize(band[:rows, :columns], (columns // every, rows // every), interpolation=cv2.INTER_AREA)
            yield small.reshape(*small.shape[:2], *band.shape[2:])


def _limits(planes: list[np.ndarray], dtype: np.dtype) -> tuple[float, float]:
    """The values that become black and white in all of the planes."""
    values = np.concatenate([plane.ravel()[:: max(1, plane.size // 2**20)] for plane in planes])
    low, high = np.percentile(values, (LOW_PERCENTILE, HIGH_PERCENTILE)).tolist()
    return (0.0, 255.0) if dtype == np.uint8 and high - low >= SPREAD else (low, high)


def _stretch(plane: np.ndarray, low: float, high: float) -> np.ndarray:
    if plane.dtype == np.uint8 and (low, high) == (0.0, 255.0):
        return plane
    if not high > low:
        return np.zeros(plane.shape, np.uint8)
    return (np.clip((plane.astype(np.float32) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def draw_overlay(picture: np.ndarray, labels: np.ndarray, style: OverlayStyle = PLAIN) -> np.ndarray:
    """The picture with the border pixels of each cell coloured.

    Parameters
    ----------
    picture : uint8 array of shape (H, W) or (H, W, 3), RGB
    labels : (H, W) integer; a row or a column more is cut off

    Returns
    -------
    uint8 array of shape (H, W, 3), RGB.
    """
    picture = to_three_channels(picture).copy()
    labels = labels[: picture.shape[0], : picture.shape[1]]
    outline = inner_border(np.pad(labels, 1, mode="edge"))
    if style.width > 1:
        brush = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (style.width, style.width))
        outline = cv2.dilate(outline.astype(np.uint8), brush).astype(bool)
    colour = style.colour or standing_out(picture[outline])
    picture[outline] = colour
    if style.numbers:
        _write_numbers(picture, labels, colour)
    return picture


def standing_out(below: np.ndarray) -> tuple[int, int, int]:
    """The colour of `AUTOMATIC` that is told best from most of these pixels, (n, 3) uint8, RGB."""
    if not len(below):
        return COLOURS[AUTOMATIC[0]]
    below = _lab(below[:: max(1, len(below) // 2**16)])
    scores = []
    for name in AUTOMATIC:
        difference = np.abs(below - _lab(np.array([COLOURS[name]], np.uint8)))
        scores.append(np.percentile(difference[:, 0] + CHROMA_WEIGHT * np.hypot(*difference[:, 1:].T), HARDEST))
    return COLOURS[AUTOMATIC[int(np.argmax(scores))]]


def _lab(colours: np.ndarray) -> np.ndarray:
    """CIELAB of (n, 3) uint8 RGB, (n, 3) float32."""
    return cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]


def _write_numbers(picture: np.ndarray, labels: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Write each cell's number where the cell is widest, with a dark edge."""
    free = (labels > 0) & ~inner_border(np.pad(labels, 1))
    width = distance_inside(free, 3)
    places = np.flatnonzero(labels)
    places = places[np.argsort(width.ravel()[places], kind="stable")]
    widest = dict(zip(labels.ravel()[places].tolist(), places.tolist()))  # the last one of each cell
    font = cv2.FONT_HERSHEY_SIMPLEX
    for cell, place in sorted(widest.items()):
        y, x = divmod(place, labels.shape[1])
        (length, _), _ = cv2.getTextSize(str(cell), font, 1, 1)
        scale = min(LARGEST_TEXT, max(SMALLEST_TEXT, 1.8 * float(width[y, x]) / length))
        (length, height), _ = cv2.getTextSize(str(cell), font, scale, 1)
        corner = x - length // 2, y + height // 2
        cv2.putText(picture, str(cell), corner, font, scale, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(picture, str(cell), corner, font, scale, colour, 1, cv2.LINE_AA)


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture (H, W, 3) uint8, RGB."""
    ok, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert ok, "OpenCV encodes any uint8 RGB picture"
    with whole_file(path) as partial:
        partial.write_bytes(data)
