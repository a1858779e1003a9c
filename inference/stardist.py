"""StarDist: cells as star-convex polygons, an object probability and distances along rays at each point of a 1/4 grid.

Labels are made row by row while the tiles still come in: exactly the cells that the maps of the whole image give at
once.

Grid point (i, j) stands for the position (4*i + 1.5, 4*j + 1.5) of the working image, the centre of its 4x4 block,
which is where bilinear up-sampling of the network's maps puts it.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import cv2
import numpy as np

from inference.compiled import compiled
from inference.decoding.edge_probability import edge_probability
from inference.decoding.numbering import Numbering
from inference.decoding.painting import paint_onto
from inference.decoding.polygons import Candidates, by_probability
from inference.decoding.sensitivity import shifted
from inference.decoding.suppression import SURVIVOR, UNDECIDED, decide
from inference.image.scaling import Sizes
from inference.limits import LIMITS, Limits
from inference.tiles import Maps, Tally, Tile, TileMaps, spans
from models.stardist import RAYS
from models.unet import STRIDE

if TYPE_CHECKING:
    from torch import Tensor

CHANNELS = 1, RAYS  # of the two maps
LONGEST_RAY = 256.0  # working pixels, half a window; longer ones are cut, so that candidates need not wait for ever


@dataclass(frozen=True)
class Settings:
    """Of the decoder. Paper, section 3.3."""

    prob_threshold: float = 0.5
    overlap_threshold: float = 0.4  # intersection over the smaller polygon's area, StarDist's measure

    def at(self, sensitivity: float) -> "Settings":
        """Those for another sensitivity, see `inference.decoding.sensitivity`."""
        return replace(self, prob_threshold=shifted(self.prob_threshold, sensitivity))

    @classmethod
    def grid(cls) -> list["Settings"]:
        """Those that are tried when they are fitted to images."""
        return [cls(p, o) for p, o in itertools.product((0.3, 0.4, 0.5, 0.6), (0.3, 0.4, 0.5))]


def activate(prob: "Tensor", dist: "Tensor") -> tuple["Tensor", "Tensor"]:
    """The network's heads (N, 1, h, w) and (N, R, h, w) -> maps float32: probability in [0, 1], distances in pixels,
    which may be below 0."""
    return prob.float().sigmoid(), dist.float()


def mean_with_turned(maps: tuple[np.ndarray, ...], turned: tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
    """As of `inference.kinds.Kind`. Distances count by the probability: where there is no cell, they mean nothing."""
    (upright, rays), (other, opposite) = maps, turned
    opposite = np.roll(opposite, opposite.shape[1] // 2, axis=1)
    probability = (upright + other) / 2
    weight = upright / np.maximum(2 * probability, np.finfo(np.float32).tiny)
    return probability, opposite + weight * (rays - opposite)


def targets(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels to the maps that a network learns to predict.

    Parameters
    ----------
    labels : int32 array of shape (H, W), H and W multiples of 4

    Returns
    -------
    probability (1, H/4, W/4) in [0, 1] and distances (R, H/4, W/4) in pixels, float32.
    """
    distances = star_distances(labels, stride=STRIDE).transpose(2, 0, 1).copy()
    return at_block_centres(edge_probability(labels))[None], distances


def at_block_centres(values: np.ndarray) -> np.ndarray:
    """(H, W) -> (H/4, W/4) float32: means of the four pixels around the centre of each 4x4 block."""
    first, second = slice(STRIDE // 2 - 1, None, STRIDE), slice(STRIDE // 2, None, STRIDE)
    return (values[first, first] + values[first, second] + values[second, first] + values[second, second]) / 4


def rows(
    tiles: TileMaps, settings: Settings, sizes: Sizes, tally: Tally, limits: Limits = LIMITS
) -> Iterator[np.ndarray]:
    """Maps to labels: label rows of an image from the maps of its tiles.

    Greedy suppression goes from the highest probability down, so a candidate is decided once those in its way are.
    Candidates come row of tiles by row of tiles; what may meet a later one waits. Polygons are painted in the order of
    their probability wherever they overlap, and rows are handed on when nothing more can be painted there.

    Parameters
    ----------
    tiles : tiles with their maps, row by row, from `inference.tiles.run_tiles` on the working image
    tally : counts the cells; complete after the last row

    Yields
    ------
    Bands of rows from top to bottom, int32 of shape (rows, W): 0 is background, cells are numbered 1, 2, 3, ... without
    gaps.
    """
    canvas, number, painted_cells = _Canvas(sizes), Numbering(tally), 0
    survivors, painted = Candidates.concatenate([], RAYS), np.zeros(0, bool)  # those that later candidates may meet
    undecided = survivors
    for span, row_of_tiles in groupby(tiles, key=lambda entry: entry[0].y):
        arrived = [candidates_of(tile, maps, settings) for tile, maps in row_of_tiles if maps is not None]
        last = span.high == sizes.working[0]
        frontier = math.inf if last else span.high - LONGEST_RAY  # no later polygon reaches above this working row
        pool = Candidates.concatenate([survivors, undecided, *arrived], RAYS)
        boxes, state = pool.boxes(), decide(pool, settings.overlap_threshold, frontier, len(survivors))
        # Everything is, above this working row.
        decided = float(min(frontier, boxes[state == UNDECIDED, 0].min(initial=math.inf)))

        fresh = np.nonzero((state == SURVIVOR) & ~np.pad(painted, (0, len(pool) - len(painted))))[0]
        fresh = fresh[by_probability(pool.prob[fresh], pool.points[fresh])]
        free = free_to_paint(boxes[fresh], -math.inf, decided)
        now, later = fresh[free], fresh[~free]
        shown = np.empty(len(now), np.bool_)
        painted_cells = canvas.paint(pool[now], boxes[now, 2].max(initial=-1), painted_cells, shown)
        number.learn(pool.prob[now[shown]])
        count_survivors(pool[now], boxes[now], sizes, tally)

        keep = np.union1d(np.nonzero((state == SURVIVOR) & (boxes[:, 2] >= decided))[0], later)
        survivors, painted, undecided = pool[keep], ~np.isin(keep, later), pool[state == UNDECIDED]
        yield from map(
            number, canvas.hand_on(math.inf if last else min(decided, boxes[later, 0].min(initial=math.inf)))
        )


def count_survivors(cells: Candidates, boxes: np.ndarray, sizes: Sizes, tally: Tally) -> None:
    """Add those across a seam, and those that are cut, to the tally."""
    seams = [span.high for span in spans(sizes.working[0])][:-1]
    above, below = (np.searchsorted(seams, boxes[:, edge], side="right") for edge in (0, 2))
    tally.seam_cells += int(np.count_nonzero(above != below))
    tally.cut_cells += int(np.count_nonzero(cells.dist.max(axis=1, initial=0) >= LONGEST_RAY))


class _Canvas:
    """The rows of the label image that are being painted: those above are handed on, those below not yet begun."""

    def __init__(self, sizes: Sizes):
        self.height, self.scale = sizes.image[0], sizes.scale
        self.first_row, self.rows = 0, np.zeros((0, sizes.image[1]), np.int32)

    def paint(self, cells: Candidates, lowest: float, before: int, shown: np.ndarray) -> int:
        """Paint polygons that reach down to working row `lowest`; see `inference.decoding.painting.paint_onto`."""
        self._extend(self._row_at(lowest) + 2)
        return paint_onto(self.rows, self.first_row, cells, self.scale, before, shown)

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


def candidates_of(tile: Tile, maps: Maps, settings: Settings) -> Candidates:
    """Those of a tile, with its maps, in pixels of the working image."""
    rows, columns = tile.owned_grid()
    prob, dist = maps
    return find_candidates(prob, np.minimum(dist, LONGEST_RAY), (rows.start, columns.start), settings.prob_threshold)


@compiled
def free_to_paint(boxes, above, decided):
    """Which survivors can be painted now. One that reaches down to `decided`, or up to `above`, where others are not,
    has to wait, and so has one whose box meets that of a more probable one that waits.

    boxes : (N, 4) float32, as of `Candidates.boxes`, highest probability first, no wider than two longest rays

    Those that wait are kept in columns as wide as a box may be, so that each one is compared with its neighbours alone.
    """
    n, side = len(boxes), 2 * LONGEST_RAY
    free = np.ones(n, np.bool_)
    if n == 0:
        return free
    left = boxes[:, 1].min()
    head = np.full(int((boxes[:, 3].max() - left) / side) + 1, -1, np.int64)  # linked lists, one a column
    follow, member = np.empty(3 * n, np.int64), np.empty(3 * n, np.int64)
    entries = 0
    for i in range(n):
        first, last = int((boxes[i, 1] - left) / side), int((boxes[i, 3] - left) / side)
        free[i] = boxes[i, 2] < decided and boxes[i, 0] > above
        for column in range(first, last + 1):
            entry = head[column]
            while free[i] and entry >= 0:
                j = member[entry]
                entry = follow[entry]
                free[i] = (
                    boxes[i, 0] > boxes[j, 2]
                    or boxes[j, 0] > boxes[i, 2]
                    or boxes[i, 1] > boxes[j, 3]
                    or boxes[j, 1] > boxes[i, 3]
                )
        if not free[i]:
            for column in range(first, last + 1):
                member[entries], follow[entries] = i, head[column]
                head[column] = entries
                entries += 1
    return free


def find_candidates(prob: np.ndarray, dist: np.ndarray, grid_origin: tuple[int, int], threshold: float) -> Candidates:
    """Grid points whose object probability is above the threshold.

    Parameters
    ----------
    prob : (1, h, w) float32, on the 1/4 grid
    dist : (R, h, w) float32, pixels
    grid_origin : position of prob[0, 0, 0] on the whole image's 1/4 grid, (y, x)

    Returns
    -------
    Candidates with points in pixels of the image: grid point g stands for pixel 4*g + 1.5.
    """
    y, x = np.nonzero(prob[0] > threshold)
    points = (np.stack((y, x), axis=1) + np.asarray(grid_origin)) * STRIDE + (STRIDE - 1) / 2
    # Fastest where a point's rays lie side by side.
    rays = np.ascontiguousarray(dist.transpose(1, 2, 0)[y, x], np.float32)
    return Candidates(prob[0, y, x].astype(np.float32), points.astype(np.float32), np.maximum(rays, 0, out=rays))


def disagreement(labels: np.ndarray, probability: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, float]:
    """Object probability (h, w), and how far the rays end from the outlines of the cells found, as a share of their
    length.

    Parameters
    ----------
    labels : (H, W) int32
    probability : (1, h, w) float32 in [0, 1]
    rays : (R, h, w) float32, working pixels
    """
    height, width = probability.shape[1:]
    on_grid = cv2.resize(labels, (width * STRIDE, height * STRIDE), interpolation=cv2.INTER_NEAREST_EXACT)
    found = star_distances(on_grid, len(rays), STRIDE).transpose(2, 0, 1)
    inside = found > 0
    return probability[0], float(np.abs(found - rays)[inside].sum() / max(found.sum(), 1e-9))


@compiled
def star_distances(labels, rays=RAYS, stride=1):
    """Distances from each grid point to the border of its cell along equally spaced rays.

    The ray advances a pixel at a time until the label changes and steps back to the border between the last two pixels,
    as in StarDist (Schmidt et al. 2018; the same numbers as ``stardist.geometry.star_dist`` for stride 1).

    Parameters
    ----------
    labels : int32 array of shape (H, W), 0 is background
    rays : int
    stride : int

    Returns
    -------
    float32 array of shape (H // stride, W // stride, rays), in pixels, 0 in the background. Ray k points to
    (sin, cos)(2*pi*k/rays) in (y, x).
    """
    height, width = labels.shape
    offset = (stride - 1) / 2
    angles = 2 * np.pi * np.arange(rays) / rays
    sines, cosines = np.sin(angles), np.cos(angles)
    distances = np.zeros((height // stride, width // stride, rays), np.float32)
    for i in range(height // stride):
        for j in range(width // stride):
            y0, x0 = i * stride + offset, j * stride + offset
            label = labels[int(y0 + 0.5), int(x0 + 0.5)]
            if label == 0:
                continue
            for k in range(rays):
                dy, dx = sines[k], cosines[k]
                steps = 1
                while True:
                    y, x = int(np.floor(y0 + steps * dy + 0.5)), int(np.floor(x0 + steps * dx + 0.5))
                    if y < 0 or y >= height or x < 0 or x >= width or labels[y, x] != label:
                        break
                    steps += 1
                overshoot = 1 - 0.5 / max(abs(dy), abs(dx))
                distances[i, j, k] = max(0.0, steps - overshoot)
    return distances
