"""Hover: cells as a map of cell pixels and maps of each pixel's offset from its cell's centre, told apart by a
watershed.

Labels are made row by row while the tiles still come in. The network's maps lie on a 1/4 grid; they are enlarged to
half the working size, at which they are learnt and decoded.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import cv2
import numpy as np

from inference.compiled import compiled
from inference.decoding.numbering import Numbering
from inference.decoding.resizing import resize_rows
from inference.decoding.watershed import WatershedSettings as Settings
from inference.decoding.watershed import decode_hover
from inference.image.scaling import Sizes
from inference.limits import LIMITS, Limits
from inference.tiles import Tally, TileMaps
from models.unet import STRIDE

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS = 1, 2  # of the two maps
# Working pixels per pixel that is learnt and decoded: at a quarter the gaps between touching cells vanish.
HOVER_STRIDE = 2
ZOOM = STRIDE // HOVER_STRIDE
MARGIN = 192  # rows of the decoded maps; ten times the median cell's diameter
KEPT = 3  # of the complete decoded rows the last ones, from which the next rows of the image are made too
BACKGROUND = -20.0  # logit of the cell probability where no network ran


def activate(cp: "Tensor", hv: "Tensor") -> tuple["Tensor", "Tensor"]:
    """The network's heads (N, 2, h, w) and (N, 2, h, w) -> maps float32: logit of the cell probability (N, 1, h, w), HV
    maps.
    """
    return cp[:, 1:].float() - cp[:, :1].float(), hv.float()


def mean_with_turned(maps: tuple[np.ndarray, ...], turned: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """As of `inference.kinds.Kind`."""
    (upright, hv), (other, opposite) = maps, turned
    return (upright + other) / 2, (hv - opposite) / 2


def targets(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels to the maps that a network learns to predict.

    The HV maps are means over the pixels of the cell that has most of a block, so that two cells are never mixed.

    Parameters
    ----------
    labels : int32 array of shape (H, W), H and W even

    Returns
    -------
    share of cell pixels of each 2x2 block (1, H/2, W/2) and HV maps (2, H/2, W/2) in [-1, 1], y then x, float32.
    """
    share, hv = _block_means(labels, hover_maps(labels), HOVER_STRIDE)
    return share[None], hv


def rows(
    tiles: TileMaps, settings: Settings, sizes: Sizes, tally: Tally, limits: Limits = LIMITS
) -> Iterator[np.ndarray]:
    """Maps to labels: label rows of an image from the maps of its tiles. Parameters and yields as of
    `inference.stardist.rows`.

    Each band of the maps is decoded with a margin above and below. A cell belongs to the band in which its marker
    begins, and is taken from that band's watershed. As far as markers and cells lie within the band and its margins
    they are those of the whole image. A band whose cells reach the lower end of its margin waits for more rows, up to a
    limit.
    """
    width = sizes.image[1]
    scale = sizes.scale[0] / HOVER_STRIDE, sizes.scale[1] / HOVER_STRIDE  # decoded pixels per pixel of the image
    maps = MapRows(tiles, sizes.working)
    number = Numbering(tally)
    done = 0  # rows handed on
    for labels, first_row, complete, probabilities in decode_bands(maps, settings, tally, limits):
        ready = rows_ready(complete, maps.shape[0], sizes)
        number.learn(probabilities)
        while done < ready:
            bottom = min(ready, done + max(1, limits.decoded_pixels // width))
            yield number(resize_rows(labels, first_row, maps.shape[0], (done, bottom), width, scale))
            done = bottom


def decode_bands(
    maps: "MapRows", settings: Settings, tally: Tally, limits: Limits
) -> Iterator[tuple[np.ndarray, int, int, np.ndarray]]:
    """Labels of the decoded maps' size.

    Yields
    ------
    labels (rows, w) int32, each number one cell of the image; the number of the first row; and up to which row, without
    it, they are complete. The first rows repeat the last complete ones from before. And the probabilities of the cells
    that are new, in the order of their numbers.
    """
    height, width = maps.shape
    labels, first_row = np.zeros((0, width), np.int32), 0
    cells = 0
    for top, bottom in cut_bands(maps.shape, limits):
        band = decode_band(maps, settings, top, bottom, limits)
        known = labels  # from the bands above; it keeps its pixels
        offset = band.first_row - first_row
        labels = np.zeros((max(len(known), offset + len(band.labels)), width), np.int32)
        labels[offset : offset + len(band.labels)] = band.labels + np.int32(cells) * (band.labels > 0)
        labels[: len(known)][known > 0] = known[known > 0]
        cells += len(band.probabilities)
        complete = complete_up_to(bottom, height)
        tally.cut_cells += band.cut
        tally.seam_cells += band.across
        yield labels, first_row, complete, band.probabilities
        keep_from = max(first_row, complete - KEPT)
        labels, first_row = labels[keep_from - first_row :].copy(), keep_from


def cut_bands(shape: tuple[int, int], limits: Limits) -> list[tuple[int, int]]:
    """The bands [top, bottom) of rows in which maps of a shape are decoded."""
    height, width = shape
    own_rows = max(limits.fewest_decoded_rows, limits.decoded_pixels // width - 2 * MARGIN)
    tops = range(0, max(1, height - MARGIN), own_rows)
    return list(zip(tops, [*tops[1:], height]))


def complete_up_to(bottom: int, height: int) -> int:
    """The decoded row, without it, up to which all cells are known with the band that ends at `bottom`."""
    return height if bottom == height else bottom - MARGIN


def rows_ready(complete: int, height: int, sizes: Sizes) -> int:
    """The row of the image, without it, up to which rows can be made from the first `complete` of the `height` decoded
    rows: each one is made from the two nearest.
    """
    if complete == height:
        return sizes.image[0]
    return max(0, math.floor((complete - 0.5) / (sizes.scale[0] / HOVER_STRIDE) - 0.5))


@dataclass(frozen=True)
class Band:
    """The cells that belong to a band of the decoded maps.

    first_row : of the labels
    labels : (rows, w) int32, of the band and its margins; cells are 1..n, those of other bands are background
    probabilities : (n,) float32
    cut, across : how many of them may be cut, and lie across the border to another band
    """

    first_row: int
    labels: np.ndarray
    probabilities: np.ndarray
    cut: int
    across: int


def decode_band(maps: "MapRows", settings: Settings, top: int, bottom: int, limits: Limits) -> Band:
    """Decode the band of rows [top, bottom) of the maps, and keep its own cells."""
    found, own, cut, probabilities = decode_own(maps, settings, top, bottom, limits.most_decoded_pixels)
    table = np.zeros(len(own) + 1, np.int32)
    table[1:][own] = np.arange(1, 1 + np.count_nonzero(own))
    window_top = max(0, top - MARGIN)
    across = names_in(found[[y - window_top for y in (top - 1, bottom) if 0 <= y < maps.shape[0]]])
    return Band(window_top, table[found], probabilities[own], cut, int(np.count_nonzero(own[across - 1])))


def decode_own(
    maps: "MapRows", settings: Settings, top: int, bottom: int, most_pixels: int
) -> tuple[np.ndarray, np.ndarray, int, np.ndarray]:
    """Decode the band of rows [top, bottom) with its margins, which grow up to `most_pixels` where cells are cut.

    Returns
    -------
    labels of the band and its margins, int32 1..n; for each one whether it belongs to the band; how many of these may
    be cut off; and for each one its pixels' mean probability, (n,) float32.
    """
    height = maps.shape[0]
    first, last, limit = reach_of(maps.shape, top, bottom, most_pixels)
    while True:
        probability, hv = maps.rows(first, last)
        labels, begins = decode_hover(probability, hv, settings)
        own = (begins + first >= top) & (begins + first < bottom)
        if last == limit or not own[names_in(labels[-1]) - 1].any():
            ends = names_in(labels[[0] * (first > 0) + [-1] * (last < height)])
            return labels, own, int(np.count_nonzero(own[ends - 1])), mean_of_labels(labels, probability, len(own))
        last = min(limit, last + bottom - top)


def reach_of(shape: tuple[int, int], top: int, bottom: int, most_pixels: int) -> tuple[int, int, int]:
    """The first row that a band [top, bottom) is decoded with, and the last one without it: as a rule, and at most."""
    height, width = shape
    first, last = max(0, top - MARGIN), min(height, bottom + MARGIN)
    return first, last, min(height, max(last, first + most_pixels // width))


def mean_of_labels(labels: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """Mean of the values over each of the labels 1..count: (count,) float32."""
    pixels, sums = (np.bincount(labels.ravel(), weights, count + 1)[1:] for weights in (None, values.ravel()))
    return (sums / np.maximum(pixels, 1)).astype(np.float32)


def names_in(rows: np.ndarray) -> np.ndarray:
    """The cells that rows of labels show."""
    return np.unique(rows[rows > 0])


class MapRows:
    """The maps of an image, enlarged to the size that is decoded, from tiles that come row by row. Rows are asked for
    downwards.

    Parameters
    ----------
    tiles : from row `first` of the network's maps on

    Attributes
    ----------
    shape : height and width of the decoded maps
    """

    def __init__(self, tiles: TileMaps, working_shape: tuple[int, int], first: int = 0):
        self._height, self._width = (-(-n // STRIDE) for n in working_shape)
        self.shape = self._height * ZOOM, self._width * ZOOM
        self._rows_of_tiles = (list(row) for _, row in groupby(tiles, key=lambda entry: entry[0].y))
        self._maps, self._first = np.zeros((3, 0, self._width), np.float32), first

    def rows(self, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
        """Cell probability (bottom - top, w) in [0, 1] and HV maps (2, bottom - top, w), float32. Later calls ask for
        nothing above.
        """
        first, last = rows_needed((top, bottom), self._height)
        parts = [self._maps[:, first - self._first :]]
        end = self._first + self._maps.shape[1]
        while end < last:
            row = self._next_row_of_tiles()
            parts.append(row[:, max(0, first - end) :])
            end += row.shape[1]
        self._maps, self._first = np.concatenate(parts, axis=1), first
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


def rows_needed(rows: tuple[int, int], height: int) -> tuple[int, int]:
    """The rows of the network's maps, `height` in all, that decoded rows [top, bottom) are made of: one more on each
    side for the interpolation.
    """
    return max(0, rows[0] // ZOOM - 1), min(height, -(-rows[1] // ZOOM) + 1)


def disagreement(labels: np.ndarray, logit: np.ndarray, hv: np.ndarray) -> tuple[np.ndarray, float]:
    """Cell probability (h, w), and the mean squared difference of the offsets from those of the cells found.

    Parameters
    ----------
    labels : (H, W) int32
    logit : (1, h, w) float32
    hv : (2, h, w) float32 in [-1, 1]
    """
    height, width = logit.shape[1:]
    cells = cv2.resize(labels, (width * ZOOM, height * ZOOM), interpolation=cv2.INTER_NEAREST_EXACT)
    difference = (hover_maps(cells) - np.stack([enlarge(plane) for plane in hv]))[:, cells > 0]
    return cell_probability(logit[0]), float(np.mean(difference**2)) if difference.size else 0.0


def cell_probability(logit: np.ndarray) -> np.ndarray:
    """The logistic function of the network's first map."""
    return 1 / (1 + np.exp(-logit))


def enlarge(plane: np.ndarray) -> np.ndarray:
    """One of the network's maps (h, w), interpolated to the size that is decoded, (h * ZOOM, w * ZOOM)."""
    return cv2.resize(plane, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_LINEAR)


@compiled
def hover_maps(labels):
    """Offsets of each cell pixel from its cell's centre of mass, divided by the cell's extent on that side (Graham et
    al. 2019).

    Parameters
    ----------
    labels : int32 array of shape (H, W)

    Returns
    -------
    float32 array of shape (2, H, W) in [-1, 1]: vertical (y) then horizontal (x), 0 in the background. The cell's first
    row is -1 and its last one +1.
    """
    height, width = labels.shape
    count = labels.max() + 1
    pixels = np.zeros(count, np.int64)
    centre = np.zeros((2, count), np.float64)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            pixels[label] += 1
            centre[0, label] += y
            centre[1, label] += x
    for label in range(1, count):
        if pixels[label] > 0:
            centre[:, label] /= pixels[label]
    extent = np.zeros((2, 2, count), np.float64)  # axis, negative or positive side
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            for axis in range(2):
                offset = (y if axis == 0 else x) - centre[axis, label]
                side = 1 if offset > 0 else 0
                extent[axis, side, label] = max(extent[axis, side, label], abs(offset))
    maps = np.zeros((2, height, width), np.float32)
    for y in range(height):
        for x in range(width):
            label = labels[y, x]
            if label == 0:
                continue
            for axis in range(2):
                offset = (y if axis == 0 else x) - centre[axis, label]
                reach = extent[axis, 1 if offset > 0 else 0, label]
                if reach > 0:
                    maps[axis, y, x] = offset / reach
    return maps


@compiled
def _block_means(labels, maps, stride):
    """Share of cell pixels of each block, and the mean of each map over the pixels of the cell that has most of the
    block.
    """
    rows, columns = labels.shape[0] // stride, labels.shape[1] // stride
    share = np.zeros((rows, columns), np.float32)
    means = np.zeros((len(maps), rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            block = labels[i * stride : (i + 1) * stride, j * stride : (j + 1) * stride]
            filled, winner, most = 0, 0, 0
            for label in block.flat:
                if label == 0:
                    continue
                filled += 1
                count = 0
                for other in block.flat:
                    count += other == label
                if count > most:
                    winner, most = label, count
            if most == 0:
                continue
            share[i, j] = filled / stride**2
            for y in range(stride):
                for x in range(stride):
                    if block[y, x] == winner:
                        for k in range(len(maps)):
                            means[k, i, j] += maps[k, i * stride + y, j * stride + x] / most
    return share, means
