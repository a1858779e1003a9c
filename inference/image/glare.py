"""Bright places that take nearly all of the contrast of a gray image: dirt ten times as bright as the cells.

Where they cover more than the hundredth of the image that its contrast leaves out, the cells are left with a few gray
levels. The image is then stretched for what is dim in it, and the bright places are cut off.
"""

import numpy as np

from inference.image.noise import noise_deviation

# Fitted to 330 labelled gray images as they are, and to 112 with one to three bright spots on 1.5 to 8 % of them, 5 to
# 15 times as bright as the cells. The rule holds for 96 % of those with spots, and for two as they are, which show a
# few bright cells in dim tissue.
BLOCKS = 24  # along the shorter side
SMALLEST_BLOCK = 4  # pixels
FEWEST_BLOCKS = 5  # along each side; a smaller image has no glare
BRIGHT = 90.0  # percentile of a block's pixels that says how bright it is
LEAST = 3.0  # standard deviations of the noise that a block has which shows something
ROUNDING = 0.3  # gray levels, the noise of an image of 8 bits
DIM = 0.15  # share of the contrast in which at least half of these blocks lie...
BETWEEN = (0.2, 0.8)  # ...while in this part of it...
MOST_BETWEEN = 0.2  # ...there are no more than this share of them: the rest is far brighter
TYPICAL = 75.0  # percentile of the blocks below the bright ones...
USUAL = 0.45  # ...that is brought to this share of the contrast
FEWEST_LEVELS = 4.0  # gray levels; what is dimmer than this is not worth showing


def share_of_the_dim(overview: np.ndarray) -> float | None:
    """The share of the contrast, from its lower end, that is enough for all but a few far brighter places; None where
    there are none.

    Parameters
    ----------
    overview : normalised gray image in small, uint8, (H, W)
    """
    side = max(SMALLEST_BLOCK, min(overview.shape) // BLOCKS)
    rows, columns = (n // side for n in overview.shape)
    if min(rows, columns) < FEWEST_BLOCKS:
        return None
    grid = overview[: rows * side, : columns * side].reshape(rows, side, columns, side)
    blocks = grid.transpose(0, 2, 1, 3).reshape(rows * columns, side * side).astype(np.float32)
    noise = max(noise_deviation(overview.astype(np.float32)), ROUNDING)
    active = blocks[blocks.std(axis=1) > LEAST * noise]
    if not len(active):
        return None
    brightness = np.percentile(active, BRIGHT, axis=1) / 255
    low, high = BETWEEN
    between = np.mean((brightness > low) & (brightness < high))
    if np.median(brightness) >= DIM or between > MOST_BETWEEN:
        return None
    typical = float(np.percentile(brightness[brightness <= high], TYPICAL))
    share = typical / USUAL
    return share if typical * 255 >= FEWEST_LEVELS and share < 1 else None
