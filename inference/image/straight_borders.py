"""Where the content of an image ends at straight borders, as a picture does that was put into empty surroundings."""

import math

import numpy as np

from inference.image.content import MARGIN, Box, block_side

SEGMENTS = 8  # of a line of pixels, that are compared with those of other lines
LINES = 256  # so many of the surroundings are enough
OTHER = 2.5  # times as far as any of these from their middle is a segment that differs...
LEAST = 0.1  # ...and so many gray levels
STRAIGHT = 0.5  # share of the segments that differ at once where there is a straight border
FULL = 0.9  # share of the pixels at a border that are not those of surroundings without any noise


def at_straight_borders(image: np.ndarray, box: Box) -> Box | None:
    """The box of a picture that was put into empty surroundings, to the pixel; None if content does not end at straight
    borders on all sides.

    Parameters
    ----------
    image : normalised, uint8, (H, W) or (H, W, 3)
    box : around its content, as `content_box` gives it
    """
    near = math.ceil((MARGIN + 2) * block_side(image))
    rows = _between_borders(image[:, box[1]], box[0], near)
    columns = rows and _between_borders(np.swapaxes(image[rows], 0, 1), box[1], near)
    if rows is None or columns is None:
        return None
    ground = _only_value(image, box)
    if ground is None:
        return rows, columns
    # Cells that were drawn in a row begin in one line, too, but between them is the ground.
    differ = (np.atleast_3d(image[rows, columns]) != ground).any(axis=2)
    full = all(border.mean() >= FULL for border in (differ[0], differ[-1], differ[:, 0], differ[:, -1]))
    return (rows, columns) if full else None


def _only_value(image: np.ndarray, box: Box) -> np.ndarray | None:
    """The value (channels,) that all pixels outside a box have; None if they differ."""
    rows, columns = box
    strips = image[: rows.start], image[rows.stop :], image[rows, : columns.start], image[rows, columns.stop :]
    values = [np.atleast_3d(strip) for strip in strips if strip.size]
    return values[0][0, 0] if values and all((strip == values[0][0, 0]).all() for strip in values) else None


def _between_borders(lines: np.ndarray, inside: slice, near: int) -> slice | None:
    """The lines (n, length) or (n, length, 3) of a box between straight borders, so many pixels within it at most, or
    those of the image; None if it lacks one.
    """
    outside = np.delete(np.arange(len(lines)), inside)
    if not outside.size:
        return inside
    if lines.shape[1] < SEGMENTS:
        return None
    usual = _figures(lines[outside[:: -(-outside.size // LINES)]])
    middle = np.median(usual, axis=0)
    other = np.maximum(OTHER * np.abs(usual - middle).max(axis=0), LEAST)

    def before_border(own: np.ndarray) -> int | None:
        """Lines before the first one that is not as the surroundings; None if it is so in a few places alone."""
        differ = (np.abs(_figures(own) - middle) > other).any(axis=2).mean(axis=1)
        first = int(np.argmax(differ > 0))
        return first if differ[first] >= STRAIGHT else None

    own = lines[inside]
    before, behind = before_border(own[:near]), before_border(own[: -near - 1 : -1])
    return None if before is None or behind is None else slice(inside.start + before, inside.stop - behind)


def _figures(lines: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each segment of lines (n, length) or (n, length, 3): (n, segments, 2 or 6)."""
    length = lines.shape[1] // SEGMENTS
    cut = lines[:, : length * SEGMENTS].astype(np.float32)
    cut = cut.reshape(len(lines), SEGMENTS, length, -1)
    return np.concatenate([cut.mean(axis=2), cut.std(axis=2)], axis=2)
