"""F1 of a label image against the truth, by the rules of the NeurIPS 2022 CellSeg challenge. Pure functions on numpy
arrays.

    counts = score_image(truth, prediction)[0]  # at IoU 0.5
    f1_score(*counts)

Cells that touch a 2-pixel image border are removed from both sides, the rest is matched one to one. Images of 25 Mpx
and more are padded with zeros to a multiple of 2000, scored in tiles of 2000x2000 with border removal in each, and the
counts summed.

Modes
-----
corrected : the rules as they are meant.
official : what the organiser's program (`compute_metric.py` of github.com/JunMa11/NeurIPS-CellSeg, commit 6c5c0da)
    computes:
    - an image without a prediction file is left out of the mean (here: the caller's part, see training.measure.score);
    - in images of 25 Mpx and more predictions are cast to the truth's dtype: with a uint8 truth label 300 becomes 44;
    - an image or tile without predicted cells counts no missed cells either;
    - precision, recall and F1 are 0 wherever no cell is matched, so also where there was none to find.
    Two details are not imitated: F1 rounded to four decimals before the mean, and, in an image of at most 4 pixels in
    height or width that is all cells, a border cell that stays.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

MODES = ("corrected", "official")


# The challenge's, from the organiser's program, in pixels
BORDER = 2
TILED_FROM = 25_000_000
TILE = 2000


class Counts(NamedTuple):
    """Matched, spurious and missed cells."""

    tp: int
    fp: int
    fn: int


def score_image(
    truth: np.ndarray, prediction: np.ndarray, thresholds: Sequence[float] = (0.5,), mode: str = "corrected"
) -> list[Counts]:
    """Counts of one image by the challenge's rules, one for each IoU threshold.

    Parameters
    ----------
    truth, prediction : integer label images of the same shape (H, W), 0 is background; labels may have gaps
    thresholds : each in (0, 1]; a pair of cells may match if its IoU is at least the threshold
    mode : one of MODES

    Raises
    ------
    ValueError
        If an array is not a label image, the shapes differ, or a threshold or the mode is unknown.
    """
    _check_mode(mode)
    _check(truth, prediction, thresholds)
    if truth.size < TILED_FROM:
        tiles = [(truth, prediction)]
    else:
        tiles = _tiles(truth, prediction if mode == "corrected" else prediction.astype(truth.dtype))
    total = np.zeros((len(thresholds), 3), np.int64)
    for expected, found in tiles:
        expected, found = remove_border(expected), remove_border(found)
        if mode == "corrected" or found.any():
            total += match_counts(expected, found, thresholds)
    return [Counts(*row) for row in total.tolist()]


def _tiles(truth: np.ndarray, prediction: np.ndarray):
    """Pairs of (TILE, TILE) tiles, those at the bottom and the right padded with zeros."""
    for y in range(0, truth.shape[0], TILE):
        for x in range(0, truth.shape[1], TILE):
            parts = (labels[y : y + TILE, x : x + TILE] for labels in (truth, prediction))
            yield tuple(np.pad(part, [(0, TILE - n) for n in part.shape]) for part in parts)


def remove_border(labels: np.ndarray, width: int = BORDER) -> np.ndarray:
    """Copy of a label image without the cells that have a pixel among the outer `width` rows and columns.

    Parameters
    ----------
    labels : integer array of shape (H, W)

    Returns
    -------
    Array of the same shape and dtype; the other cells keep their labels.

    Examples
    --------
    >>> remove_border(np.array([[0, 0, 0, 0], [0, 1, 0, 2], [0, 0, 0, 0]]), width=1)
    array([[0, 0, 0, 0],
           [0, 1, 0, 0],
           [0, 0, 0, 0]])
    """
    edges = [
        side.ravel()
        for turned in (labels, labels.T)
        for side in (turned[:width], turned[max(0, len(turned) - width) :])
    ]
    return np.where(np.isin(labels, np.concatenate(edges)), 0, labels)


def match_counts(truth: np.ndarray, prediction: np.ndarray, thresholds: Sequence[float] = (0.5,)) -> list[Counts]:
    """Counts of two label images as they are: no border removal, no tiles. Parameters and errors as of `score_image`.

    The matching is optimal: as many one-to-one pairs with an IoU of at least the threshold as there can be.

    Notes
    -----
    Above 0.5 a cell has at most one partner, and counting pairs is enough. Otherwise tp is the size of a maximum
    matching of the sparse graph of possible pairs (Hopcroft and Karp). The organiser's dense assignment gives the same
    tp: its cost puts the number of matched pairs first, and the sum of their IoU only decides between matchings of
    equal size.
    """
    _check(truth, prediction, thresholds)
    meeting = overlaps(truth, prediction)
    return [meeting.counts(meeting.matching(threshold)) for threshold in thresholds]


class Overlaps(NamedTuple):
    """All pairs of a true and a predicted cell that share pixels. Cells are numbered from 1 in the order of their
    labels.

    truth, prediction : the label images (H, W) with these numbers
    true_areas, predicted_areas : pixels of each cell; the first entry is the background's
    i, j, pixels : of each pair the true cell, the predicted one and what they share
    """

    truth: np.ndarray
    prediction: np.ndarray
    true_areas: np.ndarray
    predicted_areas: np.ndarray
    i: np.ndarray
    j: np.ndarray
    pixels: np.ndarray

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each pair."""
        return self.pixels / (self.true_areas[self.i] + self.predicted_areas[self.j] - self.pixels)

    def matching(self, threshold: float) -> np.ndarray:
        """Indices of the pairs of a largest one-to-one matching with an IoU of at least the threshold."""
        possible = np.flatnonzero(self.iou >= threshold)
        return possible[_largest_matching(self.i[possible], self.j[possible])]

    def counts(self, matched: np.ndarray) -> Counts:
        """Where these pairs are matched."""
        tp = matched.size
        return Counts(tp, self.predicted_areas.size - 1 - tp, self.true_areas.size - 1 - tp)


def overlaps(truth: np.ndarray, prediction: np.ndarray) -> Overlaps:
    """Overlaps of two label images of the same shape, as they are."""
    truth, true_areas = _compact(truth)
    prediction, predicted_areas = _compact(prediction)
    both = (truth > 0) & (prediction > 0)
    pixels = coo_array(
        (np.ones(np.count_nonzero(both), np.int64), (truth[both], prediction[both])),
        shape=(true_areas.size, predicted_areas.size),
    )
    table = pixels.tocsr().tocoo()  # conversion adds up the entries of each pair of cells
    return Overlaps(truth, prediction, true_areas, predicted_areas, table.row, table.col, table.data)


def _compact(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels renumbered 1 to n without gaps, and the n + 1 areas in pixels, the background's first."""
    if labels.max() <= labels.size:
        used = np.bincount(labels.ravel()) > 0
        used[0] = False
        compact = np.where(used, np.cumsum(used, dtype=np.int32), 0)[labels]
    else:  # a table up to the largest label could exceed the memory
        values, compact = np.unique(labels, return_inverse=True)
        compact = compact + (values[0] != 0)
    return compact, np.bincount(compact.ravel())


def _largest_matching(i: np.ndarray, j: np.ndarray) -> np.ndarray:
    """Indices of as many pairs (i[k], j[k]) as there can be that share no member."""
    if np.unique(i).size == i.size and np.unique(j).size == j.size:
        return np.arange(i.size)
    graph = csr_array((np.ones(i.size, np.int8), (i, j)))
    partner = maximum_bipartite_matching(graph, perm_type="column")  # of each i; -1 without one
    return np.flatnonzero(partner[i] == j)


def precision(tp: int, fp: int, fn: int, mode: str = "corrected") -> float:
    """Share of the predicted cells that are true. Without predicted cells: 1 if there was none to find, else 0;
    official 0.
    """
    return _ratio(tp, fp, fn, mode)


def recall(tp: int, fp: int, fn: int, mode: str = "corrected") -> float:
    """Share of the true cells that were found. Without true cells: 1 if none was predicted, else 0; official 0."""
    return _ratio(tp, fn, fp, mode)


def f1_score(tp: int, fp: int, fn: int, mode: str = "corrected") -> float:
    """Harmonic mean of precision and recall, 2 tp / (2 tp + fp + fn). Without any cell, true or predicted: 1; official
    0.
    """
    return _ratio(2 * tp, fp + fn, 0, mode)


def _ratio(hits: int, others: int, errors: int, mode: str) -> float:
    """hits / (hits + others); where that is 0/0, 1 in corrected mode if there are no `errors` either."""
    _check_mode(mode)
    if hits + others:
        return hits / (hits + others)
    return float(mode == "corrected" and errors == 0)


def _check_mode(mode: str) -> None:
    if mode not in MODES:
        raise ValueError(f"the mode must be one of {', '.join(MODES)}, got {mode!r}")


def _check(truth: np.ndarray, prediction: np.ndarray, thresholds: Sequence[float]) -> None:
    for name, labels in (("truth", truth), ("prediction", prediction)):
        if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "ui":
            raise ValueError(
                f"the {name} must be a label image of shape (H, W) and integer dtype, got {labels.dtype} of shape "
                f"{labels.shape}"
            )
        if labels.min() < 0:
            raise ValueError(
                f"the {name} has negative labels, down to {labels.min()}; 0 is background, cells are positive"
            )
    if truth.shape != prediction.shape:
        raise ValueError(f"prediction of shape {prediction.shape} does not fit the truth of shape {truth.shape}")
    for threshold in thresholds:
        if not 0 < threshold <= 1:
            raise ValueError(f"IoU thresholds must be above 0 and at most 1, got {threshold}")
