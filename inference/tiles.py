"""The sliding window: where the tiles lie, which pixels each one owns, and the network run over them in batches."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from models.unet import DEEPEST_STRIDE, STRIDE

WINDOW = 512  # pixels; paper, section 3.3
STEP = 384


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels: the window reads [start, start + length), the tile owns [low, high)."""

    start: int
    length: int
    low: int
    high: int


@dataclass(frozen=True)
class Tile:
    """A window and the part of the image that it owns. Every image pixel belongs to exactly one tile, the one whose centre is nearest."""

    y: Span
    x: Span

    def owned_grid(self) -> tuple[slice, slice]:
        """The owned part on the whole image's 1/4 grid."""
        return tuple(slice(s.low // STRIDE, -(-s.high // STRIDE)) for s in (self.y, self.x))

    def owned_grid_in_window(self) -> tuple[slice, slice]:
        """The owned part on the window's 1/4 grid."""
        return tuple(slice((s.low - s.start) // STRIDE, -(-(s.high - s.start) // STRIDE)) for s in (self.y, self.x))


def spans(length: int, window: int = WINDOW, step: int = STEP) -> list[Span]:
    """Tiles along an axis of `length` pixels.

    Windows start at multiples of 32, so that the network's grid is the same in all of them; the last one may reach beyond
    the image by up to 31 pixels, and an image smaller than the window gets one window of its size rounded up to 32.
    """
    if length <= window:
        return [Span(0, math.ceil(length / DEEPEST_STRIDE) * DEEPEST_STRIDE, 0, length)]
    last = math.ceil((length - window) / DEEPEST_STRIDE) * DEEPEST_STRIDE
    starts = [*range(0, last, step), last]
    borders = [0, *((a + b + window) // 2 for a, b in zip(starts, starts[1:])), length]
    return [Span(s, window, low, high) for s, low, high in zip(starts, borders, borders[1:])]


def tile_image(height: int, width: int) -> list[Tile]:
    """All tiles of an image, row by row."""
    return [Tile(y, x) for y in spans(height) for x in spans(width)]


def cut_window(image: np.ndarray, tile: Tile) -> np.ndarray:
    """The window of (H, W) or (H, W, C) `image`, mirrored where it reaches beyond the image."""
    rows, columns = (_mirror(np.arange(s.start, s.start + s.length), n) for s, n in zip((tile.y, tile.x), image.shape))
    return image[rows[:, None], columns]


def _mirror(index: np.ndarray, length: int) -> np.ndarray:
    """Reflect indices at the ends of [0, length), repeating the edge pixel, as often as it takes."""
    index = np.mod(index, 2 * length)
    return np.minimum(index, 2 * length - 1 - index)


def run_tiles(image: np.ndarray, predict: Callable[[np.ndarray], tuple[np.ndarray, ...]], batch: int,
              on_tile: Callable[[], None] = lambda: None) -> Iterator[tuple[Tile, tuple[np.ndarray, ...]]]:
    """Run a network over an image.

    Parameters
    ----------
    image : uint8 array of shape (H, W, 3)
    predict : function from a batch of windows (N, h, w, 3) uint8 to maps (N, C, h/4, w/4) float32
    batch : windows a call
    on_tile : called after each tile, for a progress bar

    Yields
    ------
    Each tile with its maps, cut to what it owns: arrays of shape (C, owned height / 4, owned width / 4).
    """
    tiles = tile_image(*image.shape[:2])
    for first in range(0, len(tiles), batch):
        group = tiles[first : first + batch]
        maps = predict(np.stack([cut_window(image, t) for t in group]))
        for i, tile in enumerate(group):
            owned = tile.owned_grid_in_window()
            yield tile, tuple(m[i][:, owned[0], owned[1]] for m in maps)
            on_tile()
