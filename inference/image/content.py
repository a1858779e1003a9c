"""Where an image shows something, if it lies in empty surroundings: a piece of tissue on glass, a field in the dark.

The contrast, the class and the size of the cells are then told from that part alone, as if it had been cut out.
"""

import math

import cv2
import numpy as np

from inference.reading import Regions

Box = tuple[slice, slice]  # rows, columns; starts and stops are given, steps are not

# Fitted to the labelled images as they are, of which one has a box, around its only cell, and in surroundings of three
# to six times their area: glass, darkness and a camera's noise.
SIDE = 512  # pixels of the longer side at which an image is looked at
BLOCK = 8  # pixels of these; what they show is compared
BUSIEST = 99.0  # percentile of the blocks' activities that says how active content is
ACTIVE = 0.12  # of that; a block with as much shows something
QUIET = 0.06  # of it; the surroundings show less in the mean
QUIETEST = 25.0  # percentile of the activities that is the noise of surroundings
ABOVE_NOISE = 1.5  # times that: a block shows something only from here on...
LIKE_NOISE = 1.15  # ...and surroundings of this in the mean show nothing...
ROUGH = 0.6  # ...if next pixels differ by as much of that in the mean, as those of noise do (by 1.1)
FILLED = 0.15  # share of the content's blocks that show something
MARGIN = 1  # blocks around what shows something
LARGEST_SHARE = 0.5  # of the image; content that fills more is not worth cutting out


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


def content_box(overview: np.ndarray) -> Box | None:
    """The rows and columns of the part that shows something, if all around it is empty; None otherwise.

    Parameters
    ----------
    overview : normalised image, uint8, (H, W) or (H, W, 3)
    """
    activity, steps, size = _activity(overview)
    if activity.size == 0:
        return None
    usual = np.percentile(activity, BUSIEST)
    noise = np.percentile(activity, QUIETEST)
    least = max(ABOVE_NOISE * noise, 1.0)
    busy = activity >= max(ACTIVE * usual, least)
    held = _without_specks(busy)
    if not held.any() or busy[inner := _around(held)].mean() < FILLED:
        return None
    boxes = _around_whole(held, activity >= max(QUIET * usual, least)), inner
    box = next((box for box in boxes if busy[box].size <= LARGEST_SHARE * busy.size), None)
    if box is None:
        return None
    outside = np.ones(activity.shape, bool)
    outside[box] = False
    around, most = activity[outside].mean(), QUIET * usual
    if steps[outside].mean() >= ROUGH * around:
        most = max(most, LIKE_NOISE * noise)
    if around > most:
        return None
    height, width = overview.shape[:2]
    rows, columns = (
        slice(math.floor(part.start * size), n if part.stop == blocks else min(math.ceil(part.stop * size), n))
        for part, blocks, n in zip(box, activity.shape, (height, width))
    )
    return rows, columns


def block_side(image: np.ndarray) -> float:
    """Pixels of an image along each side of a block."""
    return BLOCK * max(1.0, max(image.shape[:2]) / SIDE)


def _activity(overview: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """How much each block varies, as the standard deviation of the most varied channel; how much its pixels differ from
    the next ones, in the channel where they do most; and a block's side in pixels."""
    side, zoom = block_side(overview), BLOCK / block_side(overview)
    if zoom < 1:
        small = max(1, round(overview.shape[1] * zoom)), max(1, round(overview.shape[0] * zoom))
        overview = cv2.resize(overview, small, interpolation=cv2.INTER_AREA)
    planes = np.atleast_3d(overview).astype(np.float32)
    rows, columns = (n // BLOCK for n in planes.shape[:2])
    cut = planes[: rows * BLOCK, : columns * BLOCK]
    blocks = cut.reshape(rows, BLOCK, columns, BLOCK, planes.shape[2])
    steps = np.abs(np.diff(blocks, axis=3)).mean(axis=(1, 3))
    return blocks.std(axis=(1, 3)).max(axis=2, initial=0), steps.max(axis=2, initial=0), side


def _without_specks(busy: np.ndarray) -> np.ndarray:
    """Blocks with enough busy ones around them: dust on the glass is no content."""
    around = cv2.boxFilter(busy.astype(np.float32), -1, (3, 3), normalize=False, borderType=cv2.BORDER_CONSTANT)
    return busy & (around >= 4)


def _around_whole(held: np.ndarray, shown: np.ndarray) -> Box:
    """The box around all blocks that are to be held, and around those with something that its border would cut: it may
    be a cell, too small or too dim to be content.
    """
    _, pieces = cv2.connectedComponents(shown.astype(np.uint8))
    while True:
        box = _around(held)
        outside = shown.copy()
        outside[box] = False
        cut = np.intersect1d(pieces[box], pieces[outside])
        if not cut.size:
            return box
        held = held | np.isin(pieces, cut)


def _around(held: np.ndarray) -> Box:
    """The box around blocks, one at least, and MARGIN more on each side."""
    parts = []
    for axis, n in ((1, held.shape[0]), (0, held.shape[1])):
        (own,) = np.nonzero(held.any(axis=axis))
        parts.append(slice(max(0, int(own[0]) - MARGIN), min(n, int(own[-1]) + 1 + MARGIN)))
    return parts[0], parts[1]
