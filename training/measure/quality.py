"""How good labels are by the measures that other programs report. Pure functions on numpy arrays.

As in StarDist and Cellpose all cells count, those at the image border too; the challenge's F1 (training.measure.f1)
leaves these out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.measure.f1 import Counts, overlaps


@dataclass(frozen=True)
class Matches:
    """Of one image at one IoU threshold.

    iou : sum over the matched pairs
    """

    counts: Counts
    iou: float

    @property
    def average_precision(self) -> float:
        """tp / (tp + fp + fn), which StarDist calls accuracy and Cellpose average precision; 1 without any cell."""
        return average_precision([self])

    @property
    def panoptic_quality(self) -> float:
        """Mean IoU of the matches times F1 (Kirillov et al., CVPR 2019); 1 without any cell."""
        return panoptic_quality([self])


def matches(truth: np.ndarray, prediction: np.ndarray, thresholds: Sequence[float]) -> list[Matches]:
    """For each threshold, a largest one-to-one matching of the cells with at least that IoU.

    Parameters
    ----------
    truth, prediction : integer arrays of shape (H, W), 0 is background
    """
    table = overlaps(truth, prediction)
    matchings = [table.matching(threshold) for threshold in thresholds]
    return [Matches(table.counts(pairs), float(table.iou[pairs].sum())) for pairs in matchings]


def average_precision(images: Sequence[Matches]) -> float:
    """Of all cells of these images together, as StarDist's `matching_dataset` has it; Cellpose takes the mean over the
    images.
    """
    tp, others = (sum(values) for values in zip(*((m.counts.tp, m.counts.fp + m.counts.fn) for m in images)))
    return tp / (tp + others) if tp + others else 1.0


def panoptic_quality(images: Sequence[Matches]) -> float:
    """Of all cells of these images together."""
    tp, others = (sum(values) for values in zip(*((m.counts.tp, m.counts.fp + m.counts.fn) for m in images)))
    return sum(m.iou for m in images) / (tp + others / 2) if tp + others else 1.0
