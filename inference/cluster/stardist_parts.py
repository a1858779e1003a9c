"""StarDist's decoder on parts of an image that do not know each other: the cells of the whole image, exactly.

Each band of rows of tiles decides on its own candidates, but for those that others might reach, and those in conflict
with them. Two neighbours' undecided candidates are decided together. Polygons are painted band by band, with all that
may lie over them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.cluster.joining import Part
from inference.decoding.painting import paint_onto
from inference.decoding.polygons import Candidates, by_probability
from inference.decoding.suppression import SURVIVOR, UNDECIDED, decide
from inference.image.scaling import Sizes
from inference.stardist import LONGEST_RAY, Settings, candidates_of, free_to_paint
from inference.tiles import TileMaps
from models.stardist import RAYS

FEWEST_ROWS = 3 * int(LONGEST_RAY)  # working rows of a band, so that something is decided within it
FIRST_MARGIN = 2 * LONGEST_RAY  # working pixels around a band that are painted with it
KEY = 2**31  # more than an image has grid columns


class TooFew(ValueError):
    """What lies over the cells of a band reaches beyond its neighbours: more bands are needed to paint it."""


@dataclass(frozen=True)
class StarBand:
    """The candidates of a band of rows, as far as it can tell.

    survivors : cells, whatever the other bands hold
    upper, lower : candidates that depend on the band above, and on that below
    tied : whether some depend on both; `upper` holds them all then
    """

    survivors: Candidates
    upper: Candidates
    lower: Candidates
    tied: bool


def find_in_tiles(tiles: TileMaps, settings: Settings) -> Candidates:
    """All candidates of some tiles."""
    return Candidates.concatenate(
        [candidates_of(tile, maps, settings) for tile, maps in tiles if maps is not None], RAYS
    )


def decide_band(candidates: Candidates, settings: Settings, rows: tuple[int, int], height: int) -> StarBand:
    """Suppression within a band.

    Parameters
    ----------
    candidates : all whose points are in it
    rows : the band's first working row, and the one after its last
    height : of the working image
    """
    above = rows[0] + LONGEST_RAY if rows[0] > 0 else -math.inf  # no polygon of the band above reaches below
    frontier = rows[1] - LONGEST_RAY if rows[1] < height else math.inf
    state = decide(candidates, settings.overlap_threshold, frontier, above=above)
    undecided = candidates[state == UNDECIDED]
    upper, lower, tied = split(undecided, above, frontier)
    return StarBand(candidates[state == SURVIVOR], undecided[upper], undecided[lower], tied)


def split(undecided: Candidates, above: float, frontier: float) -> tuple[np.ndarray, np.ndarray, bool]:
    """Which candidates depend on the band above, which on that below: those above and below a line that no box crosses.

    Returns
    -------
    their numbers, and whether there is no such line; then all are in the first.
    """
    boxes = undecided.boxes()
    order = np.argsort(boxes[:, 0], kind="stable")
    tops, bottoms = boxes[order, 0], boxes[order, 2]
    reached = np.maximum.accumulate(bottoms) if len(bottoms) else bottoms
    first = int(np.searchsorted(tops, above, side="right"))  # those before depend on the band above
    down = np.flatnonzero(bottoms >= frontier)
    last = int(down[0]) if len(down) else len(order)
    for place in range(first, last + 1):
        if place in (0, len(order)) or reached[place - 1] < tops[place]:
            return order[:place], order[place:], False
    return order, order[:0], True


def seams(tied: Sequence[bool]) -> list[tuple[int, int]]:
    """Which bands are decided together, as first and last one: neighbours, and more where a band between is tied."""
    groups: list[tuple[int, int]] = []
    for border in range(len(tied) - 1):
        if groups and tied[border]:
            groups[-1] = groups[-1][0], border + 1
        else:
            groups.append((border, border + 1))
    return groups


def decide_seam(bands: Sequence[StarBand], settings: Settings) -> Candidates:
    """The cells among the candidates that depend on the borders between some bands."""
    first, *between, last = bands
    parts = [first.lower, *(band.upper for band in between), last.upper]
    pool = Candidates.concatenate(parts, RAYS)
    return pool[decide(pool, settings.overlap_threshold) == SURVIVOR]


def image_rows(bands: Sequence[tuple[int, int]], sizes: Sizes) -> list[tuple[int, int]]:
    """Of each band of working rows its rows of the image, without gaps; the last ones may be empty."""
    height = sizes.image[0]
    tops = [min(height, round(top / sizes.scale[0])) for top, _ in bands]
    return list(zip(tops, [*tops[1:], height]))


def paint_band(cells: Candidates, rows: tuple[int, int], sizes: Sizes, known: tuple[float, float]) -> Part:
    """The label rows of a band.

    Where polygons overlap, the more probable one has the pixels, and of one that is cut in two the largest piece
    counts. So a polygon is painted with all more probable ones that touch it, those that touch these, and so on.

    Parameters
    ----------
    cells : survivors, in any order: all that reach into the working rows `known`, and perhaps others
    rows : of the image, [top, bottom)

    Raises
    ------
    TooFew
        If polygons beyond `known` may lie over those of the band.
    """
    cells = cells[by_probability(cells.prob, cells.points)]
    boxes, scale = cells.boxes(), sizes.scale
    first, last = ((row + 0.5) * scale[0] - 0.5 for row in (rows[0], rows[1] - 1))  # working rows of the pixel centres
    margin = FIRST_MARGIN
    while True:
        low, high = max(known[0], first - margin), min(known[1], last + margin)
        near = np.flatnonzero((boxes[:, 2] >= low) & (boxes[:, 0] <= high))
        free = free_to_paint(boxes[near], low, high)
        shown = (boxes[near, 2] >= first) & (boxes[near, 0] <= last)
        if free[shown].all():
            break
        if (low, high) == known:
            raise TooFew(f"rows {rows[0]} to {rows[1]}")
        margin *= 2
    painted = near[free]
    top, bottom = _rows_around(boxes[painted], rows, sizes)
    canvas = np.zeros((bottom - top, sizes.image[1]), np.int32)
    became = np.empty(len(painted), np.bool_)
    paint_onto(canvas, top, cells[painted], scale, 0, became)
    painted = painted[became]  # in the order of their names in the canvas
    grid = np.rint((cells.points[painted] - 1.5) / 4).astype(np.int64)
    crossing = (boxes[painted, 0] <= first + scale[0]) | (boxes[painted, 2] >= last - scale[0])
    own = np.ascontiguousarray(canvas[rows[0] - top : rows[1] - top])
    return Part.of(own, grid[:, 0] * KEY + grid[:, 1], cells.prob[painted], crossing)


def _rows_around(boxes: np.ndarray, rows: tuple[int, int], sizes: Sizes) -> tuple[int, int]:
    """Rows of the image that hold some boxes whole, and `rows`."""
    low, high = rows
    if len(boxes):
        edges = boxes[:, 0].min(), boxes[:, 2].max()
        low, high = (math.floor((edge + 0.5) / sizes.scale[0] - 0.5) for edge in edges)
    return max(0, min(low - 1, rows[0])), min(sizes.image[0], max(high + 3, rows[1]))
