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
    canvas = _Canvas(working_shape, shape)
    seams = [span.high for span in spans(working_shape[0])][:-1]
    survivors, painted = Candidates.concatenate([], RAYS), np.zeros(0, bool)  # those that later candidates may meet
    undecided = survivors
    for span, row in groupby(tiles, key=lambda entry: entry[0].y):
        arrived = [_candidates(tile, maps, settings) for tile, maps in row if maps is not None]
        last = span.high == working_shape[0]
        frontier = math.inf if last else span.high - LONGEST_RAY  # no later polygon reaches above this working row
        pool = Candidates.concatenate([survivors, undecided, *arrived], RAYS)
        boxes, state = pool.boxes(), decide(pool, settings.overlap_threshold, frontier, len(survivors))
        decided = float(min(frontier, boxes[state == UNDECIDED, 0].min(initial=math.inf)))  # everything is, above this working row

        fresh = np.nonzero((state == SURVIVOR) & ~np.pad(painted, (0, len(pool) - len(painted))))[0]
        fresh = fresh[by_probability(pool.prob[fresh], pool.points[fresh])]
        free = _free_to_paint(boxes[fresh], decided)
        now, later = fresh[free], fresh[~free]
        tally.cells = canvas.paint(pool[now], boxes[now, 2].max(initial=-1), tally.cells)
        above, below = (np.searchsorted(seams, boxes[now, edge], side="right") for edge in (0, 2))
        tally.seam_cells += int(np.count_nonzero(above != below))
        tally.cut_cells += int(np.count_nonzero(pool.dist[now].max(axis=1, initial=0) >= LONGEST_RAY))

        keep = np.union1d(np.nonzero((state == SURVIVOR) & (boxes[:, 2] >= decided))[0], later)
        survivors, painted, undecided = pool[keep], ~np.isin(keep, later), pool[state == UNDECIDED]
        yield from canvas.hand_on(math.inf if last else min(decided, boxes[later, 0].min(initial=math.inf)))


class _Canvas:
    """The rows of the label image that are being painted: those above are handed on, those below not yet begun."""

    def __init__(self, working_shape: tuple[int, int], shape: tuple[int, int]):
        self.height, self.scale = shape[0], tuple(w / n for w, n in zip(working_shape, shape))
        self.first_row, self.rows = 0, np.zeros((0, shape[1]), np.int32)

    def paint(self, cells: Candidates, lowest: float, before: int) -> int:
        """Paint polygons that reach down to working row `lowest`; see `inference.nms.paint_onto`."""
        self._extend(self._row_at(lowest) + 2)
        return paint_onto(self.rows, self.first_row, cells, self.scale, before)

    def hand_on(self, working_y: float) -> Iterator[np.ndarray]:
        """The rows above a working row, if there are any."""
        ready = self.height if math.isinf(working_y) else min(self.height, max(self.first_row, self._row_at(working_y)))
        self._extend(ready)
        done, self.rows = self.rows[: ready - self.first_row], self.rows[ready - self.first_row :].copy()
        self.first_row = ready
        if len(done):
            yield done

    def _row_at(self, working_y: float) -> int:
        """The last row whose pixel centres lie above a working row, or on it."""
        return math.floor((working_y + 0.5) / self.scale[0] - 0.5)

    def _extend(self, bottom: int) -> None:
        missing = min(self.height, bottom) - self.first_row - len(self.rows)
        if missing > 0:
            self.rows = np.concatenate([self.rows, np.zeros((missing, self.rows.shape[1]), np.int32)])


def _candidates(tile: Tile, maps: tuple[np.ndarray, np.ndarray], settings: StarDistSettings) -> Candidates:
    rows, columns = tile.owned_grid()
    prob, dist = maps
    return find_candidates(prob, np.minimum(dist, LONGEST_RAY), (rows.start, columns.start), settings.prob_threshold)


@compiled
def _free_to_paint(boxes, decided):
    """Which survivors can be painted now. One that reaches down to `decided`, where others are not, has to wait, and so has one
    whose box meets that of a more probable one that waits.

    boxes : (N, 4) float32, as of `Candidates.boxes`, highest probability first
    """
    free = np.ones(len(boxes), np.bool_)
    waiting = np.empty(len(boxes), np.int64)
    count = 0
    for i in range(len(boxes)):
        if boxes[i, 2] >= decided:
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
