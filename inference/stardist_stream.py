"""StarDist maps to label rows while the tiles still come in: exactly the cells that the maps of the whole image give at once.

Greedy suppression goes from the highest probability down, so a candidate is decided once those in its way are. Candidates come
row of tiles by row of tiles; what may meet a later one waits. Polygons are painted in the order of their probability wherever
they overlap, and rows are handed on when nothing more can be painted there.
"""

import math
from collections.abc import Iterator
from itertools import groupby

import numpy as np

from inference.compiled import compiled
from inference.nms import SURVIVOR, UNDECIDED, Candidates, StarDistSettings, by_probability, decide, find_candidates, paint_onto
from inference.tiles import Tally, Tile, TileMaps, spans
from models.stardist import RAYS

LONGEST_RAY = 256.0  # working pixels, half a window; longer ones are cut, so that candidates need not wait for ever


def stardist_rows(tiles: TileMaps, settings: StarDistSettings, working_shape: tuple[int, int], shape: tuple[int, int],
                  tally: Tally) -> Iterator[np.ndarray]:
    """Label rows of an image from the maps of its tiles.

    Parameters
    ----------
    tiles : tiles with their maps, row by row, from `inference.tiles.run_tiles` on an image of `working_shape`
    shape : height and width of the labels
    tally : counts the cells; complete after the last row

    Yields
    ------
    Bands of rows from top to bottom, int32 of shape (rows, W): 0 is background, cells are numbered 1, 2, 3, ... without gaps.
    """
    height, width = shape
    scale = tuple(w / n for w, n in zip(working_shape, shape))
    seams = [span.high for span in spans(working_shape[0])][:-1]
    canvas, first_row = np.zeros((0, width), np.int32), 0
    survivors, painted = Candidates.concatenate([], RAYS), np.zeros(0, bool)  # those that may still meet others
    undecided = survivors
    for span, row in groupby(tiles, key=lambda entry: entry[0].y):
        arrived = [_candidates(tile, maps, settings) for tile, maps in row if maps is not None]
        last = span.high == working_shape[0]
        frontier = math.inf if last else span.high - LONGEST_RAY  # no later polygon reaches above it
        pool = Candidates.concatenate([survivors, undecided, *arrived], RAYS)
        boxes, state = pool.boxes(), decide(pool, settings.overlap_threshold, frontier, len(survivors))
        done = float(min(frontier, boxes[state == UNDECIDED, 0].min(initial=math.inf)))

        fresh = np.nonzero((state == SURVIVOR) & ~np.pad(painted, (0, len(pool) - len(painted))))[0]
        fresh = fresh[by_probability(pool.prob[fresh], pool.points[fresh])]
        free = _free_to_paint(boxes[fresh], done)
        paint_now, held = fresh[free], fresh[~free]
        canvas = _extend(canvas, min(height, _row_above(boxes[paint_now, 2].max(initial=-1), scale[0]) + 2) - first_row)
        tally.cells = paint_onto(canvas, first_row, pool[paint_now], scale, tally.cells)
        tally.note(pool.prob[paint_now])
        above, below = (np.searchsorted(seams, boxes[paint_now, k], side="right") for k in (0, 2))
        tally.seam_cells += int(np.count_nonzero(above != below))
        tally.cut_cells += int(np.count_nonzero(pool.dist[paint_now].max(axis=1, initial=0) >= LONGEST_RAY))

        keep = np.nonzero((state == SURVIVOR) & (boxes[:, 2] >= done))[0]
        keep = np.union1d(keep, held)
        survivors, painted = pool[keep], ~np.isin(keep, held)
        undecided = pool[state == UNDECIDED]
        done = min(done, boxes[held, 0].min(initial=math.inf))
        ready = height if last else min(height, max(first_row, _row_above(done, scale[0])))
        canvas = _extend(canvas, ready - first_row)
        if ready > first_row:
            yield canvas[: ready - first_row]
        canvas, first_row = canvas[ready - first_row :].copy(), ready


def _candidates(tile: Tile, maps: tuple[np.ndarray, np.ndarray], settings: StarDistSettings) -> Candidates:
    rows, columns = tile.owned_grid()
    prob, dist = maps
    return find_candidates(prob, np.minimum(dist, LONGEST_RAY), (rows.start, columns.start), settings.prob_threshold)


def _row_above(working_y: float, scale: float) -> int:
    """The last row of the label image whose pixel centres lie above a working y, or on it."""
    return math.floor((working_y + 0.5) / scale - 0.5)


def _extend(canvas: np.ndarray, rows: int) -> np.ndarray:
    """The canvas with at least so many rows; new ones are 0."""
    return canvas if len(canvas) >= rows else np.concatenate([canvas, np.zeros((rows - len(canvas), canvas.shape[1]), np.int32)])


@compiled
def _free_to_paint(boxes, done):
    """Which survivors can be painted now. One that reaches down to `done`, where others are undecided, has to wait, and so has one
    whose box meets that of a more probable one that waits.

    boxes : (N, 4) float32, as of `Candidates.boxes`, highest probability first
    """
    free = np.ones(len(boxes), np.bool_)
    waiting = np.empty(len(boxes), np.int64)
    count = 0
    for i in range(len(boxes)):
        if boxes[i, 2] >= done:
            free[i] = False
        for n in range(count):
            if not free[i]:
                break
            j = waiting[n]
            free[i] = (boxes[i, 0] > boxes[j, 2] or boxes[j, 0] > boxes[i, 2] or boxes[i, 1] > boxes[j, 3] or boxes[j, 1] > boxes[i, 3])
        if not free[i]:
            waiting[count] = i
            count += 1
    return free
