"""The sliding window: where the tiles lie, which pixels each one owns, and the network run over them in batches."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields

import cv2
import numpy as np

from models.unet import DEEPEST_STRIDE, STRIDE

WINDOW = 512  # pixels; paper, section 3.3
STEP = 384

# Which windows are not shown to a network.
BLOCK = 8  # pixels; the means of such blocks are compared
CONTRAST = 8  # of 255; a window whose blocks differ by less is empty
LONGEST_WAIT = 64  # tiles; so many may be empty before the others among them are run


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels: the window reads [start, start + length), the tile owns [low, high)."""

    start: int
    length: int
    low: int
    high: int

    def owned_grid(self, origin: int) -> slice:
        """The owned part on the 1/4 grid that begins at pixel `origin`."""
        return slice((self.low - origin) // STRIDE, -(-(self.high - origin) // STRIDE))


@dataclass(frozen=True)
class Tile:
    """A window and the part of the image that it owns. Every image pixel belongs to exactly one tile, the one whose
    centre is nearest.
    """

    y: Span
    x: Span

    def owned_grid(self) -> tuple[slice, slice]:
        """The owned part on the whole image's 1/4 grid."""
        return self.y.owned_grid(0), self.x.owned_grid(0)

    def owned_grid_in_window(self) -> tuple[slice, slice]:
        """The owned part on the window's 1/4 grid."""
        return self.y.owned_grid(self.y.start), self.x.owned_grid(self.x.start)


@dataclass
class Tally:
    """What is counted while an image is segmented.

    tiles : windows of the image
    empty_tiles : of these the ones that no network had to look at
    cells : in the whole image
    seam_cells : cells that lie across a border between two bands of rows; they are whole
    cut_cells : cells so large that a part may be missing
    probabilities : of the cells 1, 2, 3, ... in parts, each one (n,) float32: how surely each is a cell
    """

    tiles: int = 0
    empty_tiles: int = 0
    cells: int = 0
    seam_cells: int = 0
    cut_cells: int = 0
    probabilities: list[np.ndarray] = field(default_factory=list, compare=False)

    @property
    def all_probabilities(self) -> np.ndarray:
        """Of all cells: (cells,) float32."""
        return np.concatenate([np.zeros(0, np.float32), *self.probabilities])

    def add(self, other: "Tally") -> None:
        """What is counted of another part of the image, whose cells come behind those so far."""
        for own in fields(self):
            setattr(self, own.name, getattr(self, own.name) + getattr(other, own.name))


Maps = tuple[np.ndarray, ...]
Rows = Callable[[int, int], np.ndarray]
TileMaps = Iterable[tuple[Tile, Maps | None]]


def spans(length: int) -> list[Span]:
    """Tiles along an axis of `length` pixels.

    Windows start at multiples of 32, so that the network's grid is the same in all of them; the last one may reach
    beyond the image by up to 31 pixels, and an image smaller than the window gets one window of its size rounded up to
    32.
    """
    if length <= WINDOW:
        return [Span(0, math.ceil(length / DEEPEST_STRIDE) * DEEPEST_STRIDE, 0, length)]
    last = math.ceil((length - WINDOW) / DEEPEST_STRIDE) * DEEPEST_STRIDE
    starts = [*range(0, last, STEP), last]
    borders = [0, *((a + b + WINDOW) // 2 for a, b in zip(starts, starts[1:])), length]
    return [Span(s, WINDOW, low, high) for s, low, high in zip(starts, borders, borders[1:])]


def tile_image(height: int, width: int) -> list[Tile]:
    """All tiles of an image, row by row."""
    return [Tile(y, x) for y in spans(height) for x in spans(width)]


def mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Indices reflected at the ends of [0, length), repeating the edge pixel, as often as it takes."""
    index = np.mod(index, 2 * length)
    return np.minimum(index, 2 * length - 1 - index)


class Windows:
    """The windows of an image, mirrored where they reach beyond it. Those of one row of tiles share the pixels read for
    it.

    Parameters
    ----------
    shape : height and width of the image
    rows : function from [top, bottom) to these rows of the image, (bottom - top, W, 3) uint8
    """

    def __init__(self, shape: tuple[int, int], rows: Rows):
        self.shape, self.rows = shape, rows
        self._span: Span | None = None
        self._strip = np.empty(0)

    def cut(self, tile: Tile) -> np.ndarray:
        """(h, w, 3) uint8, h and w of the tile's spans."""
        height, width = self.shape
        if tile.y != self._span:
            rows = mirrored(np.arange(tile.y.start, tile.y.start + tile.y.length), height)
            top = int(rows.min())
            strip = self.rows(top, int(rows.max()) + 1)
            self._span, self._strip = tile.y, strip if len(strip) == len(rows) else strip[rows - top]
        end = tile.x.start + tile.x.length
        if end <= width:
            return self._strip[:, tile.x.start : end]
        return self._strip[:, mirrored(np.arange(tile.x.start, end), width)]


def is_empty(window: np.ndarray) -> bool:
    """Whether a window is too even to show a cell: the means of its 8x8 blocks differ by less than 8 gray levels.

    window : uint8, (h, w, 3), normalised
    """
    small = cv2.resize(window, None, fx=1 / BLOCK, fy=1 / BLOCK, interpolation=cv2.INTER_AREA)
    return bool((small.max(axis=(0, 1)) - small.min(axis=(0, 1))).max() < CONTRAST)


def cut_batches(
    shape: tuple[int, int],
    rows: Rows,
    batch: int,
    tally: Tally,
    tiles: Sequence[Tile] | None = None,
) -> Iterator[list[tuple[Tile, np.ndarray | None]]]:
    """The tiles of an image, row by row, in groups of as many full windows as a network takes at once.

    Parameters
    ----------
    shape, rows : the image, as `Windows` takes it
    batch : full windows in a group; the last one may have fewer, and so may one with many empty windows
    tally : counts the tiles
    tiles : those of the image that are wanted, row by row; None for all

    Yields
    ------
    Tiles with their windows, (h, w, 3) uint8, or None instead of an empty one.
    """
    windows = Windows(shape, rows)
    group: list[tuple[Tile, np.ndarray | None]] = []
    for tile in tile_image(*shape) if tiles is None else tiles:
        tally.tiles += 1
        window = windows.cut(tile)
        empty = is_empty(window)
        tally.empty_tiles += empty
        group.append((tile, None if empty else window))
        if sum(window is not None for _, window in group) == batch or len(group) == LONGEST_WAIT:
            yield group
            group = []
    if group:
        yield group


def run_tiles(
    batches: Iterable[list[tuple[Tile, np.ndarray | None]]],
    predict: Callable[[np.ndarray], Maps],
    on_tile: Callable[[], None] = lambda: None,
) -> Iterator[tuple[Tile, Maps | None]]:
    """Run a network over an image.

    Parameters
    ----------
    batches : of the image's tiles, as `cut_batches` yields them
    predict : function from a batch of windows (N, h, w, 3) uint8 to maps (N, C, h/4, w/4) float32
    on_tile : called after each tile, for a progress bar

    Yields
    ------
    Each tile, row by row, with its maps, cut to what it owns: arrays of shape (C, owned height / 4, owned width / 4).
    None instead of maps for a tile whose window is empty.
    """
    for group in batches:
        full = [window for _, window in group if window is not None]
        maps = predict(np.stack(full)) if full else ()
        number = 0
        for tile, window in group:
            if window is None:
                yield tile, None
            else:
                owned = tile.owned_grid_in_window()
                yield tile, tuple(m[number][:, owned[0], owned[1]] for m in maps)
                number += 1
            on_tile()
