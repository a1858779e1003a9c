"""Where an image shows something, if it lies in empty surroundings: a piece of tissue on glass, a field in the dark.

The contrast, the class and the size of the cells are then told from that part alone, as if it had been cut out.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from inference.reading import Regions

Box = tuple[slice, slice]  # rows, columns; starts and stops are given, steps are not


class Cutout:
    """A part of the pixels of an image, read as it is asked for.

    Parameters
    ----------
    pixels : array of shape (H, W) or (H, W, C), or `inference.reading.Regions`
    """

    def __init__(self, pixels: "np.ndarray | Regions | Cutout", box: Box):
        self.pixels, self.box = pixels, box
        self.shape: tuple[int, ...] = (*(part.stop - part.start for part in box), *pixels.shape[2:])
        self.ndim: int = pixels.ndim
        self.dtype: np.dtype = pixels.dtype

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        return self.pixels[within(self.box, region)]


def within(box: Box, region: tuple[slice, slice]) -> tuple[slice, slice]:
    """The place in the whole image of a region of its part."""
    rows, columns = (range(whole.start, whole.stop)[part] for whole, part in zip(box, region))
    return slice(rows.start, rows.stop, rows.step), slice(columns.start, columns.stop, columns.step)


@dataclass(frozen=True)
class ContentSettings:
    """Fitted to the labelled images as they are, of which one has a box, around its only cell, and in surroundings of
    three to six times their area: glass, darkness and a camera's noise."""

    side: int = 512  # pixels of the longer side at which an image is looked at
    block: int = 8  # pixels of these; what they show is compared
    busiest: float = 99.0  # percentile of the blocks' activities that says how active content is
    active: float = 0.12  # of that; a block with as much shows something
    quiet: float = 0.06  # of it; the surroundings show less in the mean
    quietest: float = 25.0  # percentile of the activities that is the noise of surroundings
    above_noise: float = 1.5  # times that: a block shows something only from here on...
    like_noise: float = 1.15  # ...and surroundings of this in the mean show nothing...
    rough: float = 0.6  # ...if next pixels differ by as much of that in the mean, as those of noise do (by 1.1)
    filled: float = 0.15  # share of the content's blocks that show something
    margin: int = 1  # blocks around what shows something
    largest_share: float = 0.5  # of the image; content that fills more is not worth cutting out
    segments: int = 8  # of a line of pixels, that are compared with those of other lines
    lines: int = 256  # so many of the surroundings are enough
    other: float = 2.5  # times as far as any of them from their middle is a segment that differs...
    least: float = 0.1  # ...and so many gray levels
    straight: float = 0.5  # share of the segments that differ at once where there is a straight border


SETTINGS = ContentSettings()


def content_box(overview: np.ndarray) -> Box | None:
    """The rows and columns of the part that shows something, if all around it is empty; None otherwise.

    Parameters
    ----------
    overview : normalised image, uint8, (H, W) or (H, W, 3)
    """
    activity, steps, size = _activity(overview)
    if activity.size == 0:
        return None
    usual = np.percentile(activity, SETTINGS.busiest)
    noise = np.percentile(activity, SETTINGS.quietest)
    busy = activity >= max(SETTINGS.active * usual, SETTINGS.above_noise * noise, 1.0)
    box = _around(_without_specks(busy), SETTINGS.margin)
    if box is None or busy[box].mean() < SETTINGS.filled:
        return None
    outside = np.ones(activity.shape, bool)
    outside[box] = False
    if outside.mean() < 1 - SETTINGS.largest_share:
        return None
    around, most = activity[outside].mean(), SETTINGS.quiet * usual
    if steps[outside].mean() >= SETTINGS.rough * around:
        most = max(most, SETTINGS.like_noise * noise)
    if around > most:
        return None
    height, width = overview.shape[:2]
    rows, columns = (
        slice(math.floor(part.start * size), n if part.stop == blocks else min(math.ceil(part.stop * size), n))
        for part, blocks, n in zip(box, activity.shape, (height, width))
    )
    return rows, columns


def at_straight_borders(image: np.ndarray, box: Box) -> Box:
    """The box up to the straight borders of its content, which an image has that was put into empty surroundings; a
    side without one stays where it is.

    Parameters
    ----------
    image : normalised, uint8, (H, W) or (H, W, 3)
    box : as `content_box` gives it
    """
    rows, columns = box
    near = math.ceil((SETTINGS.margin + 2) * _block_side(image))
    rows = _between_borders(image[:, columns], rows, near)
    return rows, _between_borders(np.swapaxes(image[rows], 0, 1), columns, near)


def _between_borders(lines: np.ndarray, inside: slice, near: int) -> slice:
    """The lines (n, length) or (n, length, 3) of a box between straight borders, so many pixels within it at most."""
    outside = np.delete(np.arange(len(lines)), inside)
    if not outside.size or lines.shape[1] < SETTINGS.segments:
        return inside
    usual = _figures(lines[outside[:: -(-outside.size // SETTINGS.lines)]])
    middle = np.median(usual, axis=0)
    other = np.maximum(SETTINGS.other * np.abs(usual - middle).max(axis=0), SETTINGS.least)

    def before_border(own: np.ndarray) -> int:
        """Lines before the first one that is not as the surroundings; 0 if it is so in a few places alone."""
        differ = (np.abs(_figures(own) - middle) > other).any(axis=2).mean(axis=1)
        first = int(np.argmax(differ > 0))
        return first if differ[first] >= SETTINGS.straight else 0

    own = lines[inside]
    return slice(inside.start + before_border(own[:near]), inside.stop - before_border(own[: -near - 1 : -1]))


def _figures(lines: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each segment of lines (n, length) or (n, length, 3): (n, segments, 2 or 6)."""
    length = lines.shape[1] // SETTINGS.segments
    cut = lines[:, : length * SETTINGS.segments].astype(np.float32)
    cut = cut.reshape(len(lines), SETTINGS.segments, length, -1)
    return np.concatenate([cut.mean(axis=2), cut.std(axis=2)], axis=2)


def _block_side(image: np.ndarray) -> float:
    """Pixels of an image along each side of a block."""
    return SETTINGS.block * max(1.0, max(image.shape[:2]) / SETTINGS.side)


def _activity(overview: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """How much each block varies, as the standard deviation of the most varied channel; how much its pixels differ from
    the next ones, in the channel where they do most; and a block's side in pixels."""
    side, zoom = _block_side(overview), SETTINGS.block / _block_side(overview)
    if zoom < 1:
        small = max(1, round(overview.shape[1] * zoom)), max(1, round(overview.shape[0] * zoom))
        overview = cv2.resize(overview, small, interpolation=cv2.INTER_AREA)
    planes = np.atleast_3d(overview).astype(np.float32)
    rows, columns = (n // SETTINGS.block for n in planes.shape[:2])
    cut = planes[: rows * SETTINGS.block, : columns * SETTINGS.block]
    blocks = cut.reshape(rows, SETTINGS.block, columns, SETTINGS.block, planes.shape[2])
    steps = np.abs(np.diff(blocks, axis=3)).mean(axis=(1, 3))
    return blocks.std(axis=(1, 3)).max(axis=2, initial=0), steps.max(axis=2, initial=0), side


def _without_specks(busy: np.ndarray) -> np.ndarray:
    """Blocks with enough busy ones around them: dust on the glass is no content."""
    around = cv2.boxFilter(busy.astype(np.float32), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return busy & (around >= 4)


def _around(busy: np.ndarray, margin: int) -> Box | None:
    """The box around all busy blocks and some more on each side; None without any."""
    if not busy.any():
        return None
    parts = []
    for axis, n in ((1, busy.shape[0]), (0, busy.shape[1])):
        (own,) = np.nonzero(busy.any(axis=axis))
        parts.append(slice(max(0, int(own[0]) - margin), min(n, int(own[-1]) + 1 + margin)))
    return parts[0], parts[1]
