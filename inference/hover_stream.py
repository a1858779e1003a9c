"""Hover maps to label rows while the tiles still come in: band by band, each one decoded with a margin above and below.

A cell belongs to the band in which its marker begins, and is taken from that band's watershed. As far as markers and cells lie
within the band and its margins they are those of the whole image. A band whose cells reach the lower end of its margin waits for
more rows, up to a limit.
"""

import math
from collections.abc import Iterator
from itertools import groupby

import cv2
import numpy as np

from inference.tiles import Tally, TileMaps
from inference.watershed import HoverSettings, decode_hover, resize_rows
from models.unet import STRIDE

HOVER_STRIDE = 2  # Hover's maps are trained and decoded at half the working size: at a quarter the gaps between touching cells vanish
ZOOM = STRIDE // HOVER_STRIDE
BAND_PIXELS = 2**23  # of the decoded maps in a band and its margins; the watershed takes some 60 bytes for each
FEWEST_ROWS = 256  # of the decoded maps in a band without its margins
MARGIN = 192  # rows of the decoded maps; ten times the median cell's diameter
MOST_PIXELS = 2**24  # of the decoded maps that are waited for, for the sake of a large cell
BACKGROUND = -20.0  # logit of the cell probability where no network ran


def hover_rows(tiles: TileMaps, settings: HoverSettings, working_shape: tuple[int, int], shape: tuple[int, int],
               tally: Tally) -> Iterator[np.ndarray]:
    """Label rows of an image from the maps of its tiles. Parameters and yields as of `inference.stardist_stream.stardist_rows`."""
    scale = tuple(w / n / HOVER_STRIDE for w, n in zip(working_shape, shape))  # decoded pixels per pixel of the image
    maps = MapRows(tiles, working_shape)
    number = Numbering(tally)
    done = 0  # rows handed on
    for labels, first_row, complete in decode_bands(maps, settings, tally):
        if complete == maps.shape[0]:
            ready = shape[0]
        else:  # a row is made from the two nearest decoded ones
            ready = max(done, math.floor((complete - 0.5) / scale[0] - 0.5))
        while done < ready:
            bottom = min(ready, done + max(1, BAND_PIXELS // shape[1]))
            yield number(resize_rows(labels, first_row, maps.shape[0], (done, bottom), shape[1], scale))
            done = bottom


def decode_bands(maps: "MapRows", settings: HoverSettings, tally: Tally) -> Iterator[tuple[np.ndarray, int, int]]:
    """Labels of the decoded maps' size.

    Yields
    ------
    labels (rows, w) int32, each number one cell of the image; the number of the first row; and up to which row, without it, they
    are complete. The first rows repeat the last complete ones from before.
    """
    height, width = maps.shape
    own_rows = max(FEWEST_ROWS, BAND_PIXELS // width - 2 * MARGIN)
    labels, first_row = np.zeros((0, width), np.int32), 0
    cells = top = 0
    while top < height:
        bottom = top + own_rows if top + own_rows + MARGIN < height else height
        found, own, cut = decode_own(maps, settings, top, bottom)
        table = np.zeros(len(own) + 1, np.int32)
        table[1:][own] = np.arange(cells + 1, cells + 1 + np.count_nonzero(own))
        cells += np.count_nonzero(own)
        window_top = max(0, top - MARGIN)
        known = labels  # from the bands above; it keeps its pixels
        offset = window_top - first_row
        labels = np.zeros((max(len(known), offset + len(found)), width), np.int32)
        labels[offset : offset + len(found)] = table[found]
        labels[: len(known)][known > 0] = known[known > 0]
        complete = height if bottom == height else bottom - MARGIN
        tally.cut_cells += cut
        across = names_in(found[[y - window_top for y in (top - 1, bottom) if 0 <= y < height]])
        tally.seam_cells += int(np.count_nonzero(own[across - 1]))
        yield labels, first_row, complete
        keep_from = max(first_row, complete - 3)
        labels, first_row, top = labels[keep_from - first_row :].copy(), keep_from, bottom


def decode_own(maps: "MapRows", settings: HoverSettings, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Decode the band of rows [top, bottom) with its margins.

    Returns
    -------
    labels of the band and its margins, int32 1..n; for each one whether it belongs to the band; how many of these may be cut off.
    """
    height = maps.shape[0]
    first, last = max(0, top - MARGIN), min(height, bottom + MARGIN)
    limit = min(height, max(last, first + MOST_PIXELS // maps.shape[1]))
    while True:
        probability, hv = maps.rows(first, last)
        labels, begins = decode_hover(probability, hv, settings)
        own = (begins + first >= top) & (begins + first < bottom)
        if last == limit or not own[names_in(labels[-1]) - 1].any():
            ends = names_in(labels[[0] * (first > 0) + [-1] * (last < height)])
            return labels, own, int(np.count_nonzero(own[ends - 1]))
        last = min(limit, last + bottom - top)


def cell_probability(logit: np.ndarray) -> np.ndarray:
    """The logistic function of the network's first map."""
    return 1 / (1 + np.exp(-logit))


def enlarge(plane: np.ndarray) -> np.ndarray:
    """One of the network's maps (h, w), interpolated to the size that is decoded, (h * ZOOM, w * ZOOM)."""
    return cv2.resize(plane, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_LINEAR)


def names_in(rows: np.ndarray) -> np.ndarray:
    """The cells that rows of labels show."""
    return np.unique(rows[rows > 0])


class MapRows:
    """The maps of an image, enlarged to the size that is decoded, from tiles that come row by row. Rows are asked for downwards.

    shape : height and width of the decoded maps
    """

    def __init__(self, tiles: TileMaps, working_shape: tuple[int, int]):
        self._height, self._width = (-(-n // STRIDE) for n in working_shape)
        self.shape = self._height * ZOOM, self._width * ZOOM
        self._rows_of_tiles = (list(row) for _, row in groupby(tiles, key=lambda entry: entry[0].y))
        self._maps, self._first = np.zeros((3, 0, self._width), np.float32), 0

    def rows(self, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
        """Cell probability (bottom - top, w) in [0, 1] and HV maps (2, bottom - top, w), float32. Later calls ask for nothing above."""
        first, last = max(0, top // ZOOM - 1), min(self._height, -(-bottom // ZOOM) + 1)  # a row more for the interpolation
        self._maps, self._first = self._maps[:, first - self._first :], first
        parts = [self._maps]
        while sum(part.shape[1] for part in parts) < last - first:
            parts.append(self._next_row_of_tiles())
        self._maps = np.concatenate(parts, axis=1)
        place = slice(top - first * ZOOM, bottom - first * ZOOM)
        logit, vertical, horizontal = (enlarge(plane[: last - first])[place] for plane in self._maps)
        return cell_probability(logit), np.stack((vertical, horizontal))

    def _next_row_of_tiles(self) -> np.ndarray:
        row = next(self._rows_of_tiles)
        grid_rows = row[0][0].owned_grid()[0]
        maps = np.zeros((3, grid_rows.stop - grid_rows.start, self._width), np.float32)
        maps[0] = BACKGROUND
        for tile, tile_maps in row:
            if tile_maps is not None:
                columns = tile.owned_grid()[1]
                maps[:1, :, columns], maps[1:, :, columns] = tile_maps
        return maps


class Numbering:
    """Gives cells the numbers 1, 2, 3, ... in the order in which they appear. One that never appears (thinner than a pixel of the
    image, or beyond its border) gets none."""

    def __init__(self, tally: Tally):
        self._tally = tally
        self._numbers = np.zeros(1, np.int32)

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """Rows of labels with their final numbers, int32."""
        present = np.bincount(labels.ravel(), minlength=len(self._numbers)) > 0
        self._numbers = np.pad(self._numbers, (0, len(present) - len(self._numbers)))
        new = np.nonzero(present & (self._numbers == 0))[0]
        new = new[new > 0]
        self._numbers[new] = np.arange(self._tally.cells + 1, self._tally.cells + 1 + len(new))
        self._tally.cells += len(new)
        return self._numbers[labels]
