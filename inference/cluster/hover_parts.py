"""Hover's decoder on parts of an image: the bands of `inference.hover`, each one by itself, and rows put together from
them: the cells of the whole image, exactly.
"""

from collections.abc import Sequence

import numpy as np

from inference.cluster.joining import Part
from inference.decoding.resizing import resize_rows
from inference.hover import (
    HOVER_STRIDE,
    KEPT,
    ZOOM,
    Band,
    MapRows,
    Settings,
    complete_up_to,
    cut_bands,
    decode_band,
    names_in,
    reach_of,
    rows_needed,
    rows_ready,
)
from inference.image.scaling import Sizes
from inference.limits import Limits
from inference.tiles import TileMaps, spans
from models.unet import STRIDE

KEY = 2**32  # more than a band has cells


class HoverPlan:
    """Which rows the bands of an image need, and give.

    Parameters
    ----------
    sizes : of the image and its working image

    Attributes
    ----------
    bands : of decoded rows, [top, bottom)
    """

    def __init__(self, sizes: Sizes, limits: Limits):
        self.sizes, self.limits = sizes, limits
        self._grid_height, grid_width = (-(-n // STRIDE) for n in sizes.working)
        self.shape = self._grid_height * ZOOM, grid_width * ZOOM
        self.bands = cut_bands(self.shape, limits)
        self._grid_rows = [span.owned_grid(0) for span in spans(sizes.working[0])]

    def tile_rows(self, number: int) -> range:
        """The rows of tiles that a band is decoded from."""
        first, _, limit = reach_of(self.shape, *self.bands[number], self.limits.most_decoded_pixels)
        top, bottom = rows_needed((first, limit), self._grid_height)
        wanted = [i for i, rows in enumerate(self._grid_rows) if rows.start < bottom and rows.stop > top]
        return range(wanted[0], wanted[-1] + 1)

    def decode(self, number: int, tiles: TileMaps, settings: Settings) -> Band:
        """A band, from the tiles of its rows of tiles with their maps."""
        first = self._grid_rows[self.tile_rows(number)[0]].start
        return decode_band(MapRows(iter(tiles), self.sizes.working, first), settings, *self.bands[number], self.limits)

    def complete(self, number: int) -> int:
        """The decoded row, without it, up to which a band and those above know all cells; 0 for number -1."""
        return max(0, complete_up_to(self.bands[number][1], self.shape[0])) if number >= 0 else 0

    def bands_of(self, number: int) -> range:
        """The bands whose cells may lie in a band's rows of the image."""
        top = max(0, self.complete(number - 1) - KEPT)
        reach = (reach_of(self.shape, *band, self.limits.most_decoded_pixels)[2] for band in self.bands[:number])
        return range(next((i for i, limit in enumerate(reach) if limit > top), number), number + 1)

    def image_rows(self, number: int) -> tuple[int, int]:
        """A band's rows of the image, [top, bottom)."""
        top, bottom = (rows_ready(self.complete(band), self.shape[0], self.sizes) for band in (number - 1, number))
        return top, bottom

    def part(self, number: int, bands: Sequence[Band]) -> Part:
        """A band's rows of the image, from the bands of `bands_of`."""
        top, bottom = max(0, self.complete(number - 1) - KEPT), self.complete(number)
        labels = np.zeros((bottom - top, self.shape[1]), np.int32)
        keys, crossing, count = [np.zeros(0, np.int64)], [np.zeros(0, bool)], 0
        for place, band in zip(self.bands_of(number), bands):
            cells = len(band.probabilities)
            own = band.labels[max(0, top - band.first_row) : max(0, bottom - band.first_row)]
            there = labels[max(0, band.first_row - top) :][: len(own)]
            free = (there == 0) & (own > 0)
            there[free] = own[free] + count
            outside = np.zeros(cells + 1, bool)
            for edge in (
                slice(max(0, top + 2 * KEPT - band.first_row)),
                slice(max(0, bottom - KEPT - band.first_row), None),
            ):
                outside[names_in(band.labels[edge])] = True
            keys.append(place * KEY + np.arange(1, cells + 1))
            crossing.append(outside[1:])
            count += cells
        scale = self.sizes.scale[0] / HOVER_STRIDE, self.sizes.scale[1] / HOVER_STRIDE
        rows = resize_rows(labels, top, self.shape[0], self.image_rows(number), self.sizes.image[1], scale)
        probabilities = np.concatenate([band.probabilities for band in bands])
        return Part.of(rows, np.concatenate(keys), probabilities, np.concatenate(crossing))
