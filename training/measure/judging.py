"""What became of each cell: found, or in which way it was not."""

from dataclasses import dataclass

import numpy as np

from training.measure.cases import Case
from training.measure.f1 import f1_score, overlaps

IOU = 0.5  # of a match
MOST = 0.5  # share of a cell's pixels that is "most" of it
MEETING = 0.1  # IoU from which on a cell was met, if badly
FATES = ("found", "split", "merged", "outline", "missed", "spurious")
FOUND, SPLIT, MERGED, OUTLINE, MISSED, SPURIOUS = range(len(FATES))
# Of the fates.
COLOURS = np.array([(0, 200, 0), (255, 140, 0), (255, 60, 220), (235, 235, 0), (255, 0, 0), (255, 0, 0)], np.uint8)


@dataclass(frozen=True)
class Judged:
    """An image whose cells have been judged.

    truth, prediction : (H, W), cells numbered from 1
    true_fates, predicted_fates : index of FATES for each cell; the first entry is the background's and means nothing
    """

    case: Case
    truth: np.ndarray
    prediction: np.ndarray
    true_fates: np.ndarray
    predicted_fates: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """Cells of each fate; of the predicted ones the spurious ones alone."""
        true = np.bincount(self.true_fates[1:], minlength=len(FATES))
        return dict(zip(FATES, (*true[:SPURIOUS].tolist(), int((self.predicted_fates[1:] == SPURIOUS).sum()))))

    @property
    def f1(self) -> float:
        tp = int((self.true_fates[1:] == FOUND).sum())
        return f1_score(tp, self.predicted_fates.size - 1 - tp, self.true_fates.size - 1 - tp)


def judge_cells(truth: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The two label images with their cells numbered from 1, and the fate of each true and each predicted cell.

    Parameters
    ----------
    truth, prediction : integer arrays of shape (H, W), 0 is background
    """
    table = overlaps(truth, prediction)
    i, j = table.i, table.j
    true_fates, predicted_fates = np.full(table.true_areas.size, MISSED), np.full(table.predicted_areas.size, SPURIOUS)
    inside = table.pixels > MOST * table.predicted_areas[j]  # the predicted cell lies in the true one
    covers = table.pixels > MOST * table.true_areas[i]  # the predicted cell covers the true one
    several_in = np.bincount(i[inside], minlength=true_fates.size) > 1
    several_under = np.bincount(j[covers], minlength=predicted_fates.size) > 1
    for kind, pairs in (
        (OUTLINE, table.iou >= MEETING),
        (MERGED, covers & several_under[j]),
        (SPLIT, inside & several_in[i]),
    ):
        pairs = np.flatnonzero(pairs)  # a later kind overrules an earlier one
        true_fates[i[pairs]] = kind
        predicted_fates[j[pairs]] = kind
    matched = table.matching(IOU)
    true_fates[i[matched]] = predicted_fates[j[matched]] = FOUND
    # A predicted cell has a part in a failure only if the true cell did fail: a second one in a found cell is spurious.
    failing = np.zeros(predicted_fates.size, bool)
    failing[j[true_fates[i] != FOUND]] = True
    predicted_fates[~failing & (predicted_fates != FOUND)] = SPURIOUS
    return table.truth, table.prediction, true_fates, predicted_fates
