"""Where the content of an image ends at straight borders, as a picture does that was put into empty surroundings."""

import math

import numpy as np

from inference.image.content import MARGIN, Box, block_side

SEGMENTS = 8  # of a line of pixels, that are compared with those of other lines
LINES = 256  # so many of the surroundings are enough
OTHER = 2.5  # times as far as any of these from their middle is a segment that differs...
LEAST = 0.1  # ...and so many gray levels
STRAIGHT = 0.5  # share of the segments that differ at once where there is a straight border


def at_straight_borders(image: np.ndarray, box: Box) -> Box:
    """The box up to the straight borders of its content, which an image has that was put into empty surroundings; a
    side without one stays where it is.

    Parameters
    ----------
    image : normalised, uint8, (H, W) or (H, W, 3)
    box : as `content_box` gives it
    """
    rows, columns = box
    near = math.ceil((MARGIN + 2) * block_side(image))
    rows = _between_borders(image[:, columns], rows, near)
    return rows, _between_borders(np.swapaxes(image[rows], 0, 1), columns, near)


def _between_borders(lines: np.ndarray, inside: slice, near: int) -> slice:
    """The lines (n, length) or (n, length, 3) of a box between straight borders, so many pixels within it at most."""
    outside = np.delete(np.arange(len(lines)), inside)
    if not outside.size or lines.shape[1] < SEGMENTS:
        return inside
    usual = _figures(lines[outside[:: -(-outside.size // LINES)]])
    middle = np.median(usual, axis=0)
    other = np.maximum(OTHER * np.abs(usual - middle).max(axis=0), LEAST)

    def before_border(own: np.ndarray) -> int:
        """Lines before the first one that is not as the surroundings; 0 if it is so in a few places alone."""
        differ = (np.abs(_figures(own) - middle) > other).any(axis=2).mean(axis=1)
        first = int(np.argmax(differ > 0))
        return first if differ[first] >= STRAIGHT else 0

    own = lines[inside]
    return slice(inside.start + before_border(own[:near]), inside.stop - before_border(own[: -near - 1 : -1]))


def _figures(lines: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each segment of lines (n, length) or (n, length, 3): (n, segments, 2 or 6)."""
    length = lines.shape[1] // SEGMENTS
    cut = lines[:, : length * SEGMENTS].astype(np.float32)
    cut = cut.reshape(len(lines), SEGMENTS, length, -1)
    return np.concatenate([cut.mean(axis=2), cut.std(axis=2)], axis=2)
