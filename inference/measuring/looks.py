"""A look at an image: what a network finds in a part of it if its cells are assumed to be of a certain size."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from inference.image.forms import NormalisedForm, NormalisedImage
from inference.image.gaps import gaps, ground
from inference.image.scaling import WorkingImage, smallest_shown, working_scale
from inference.image.views import liveliest_corner, square
from inference.kinds import KINDS
from inference.network import Segmenting
from inference.pipeline import collect, decode, run_network
from inference.stopwatch import Stopwatch
from inference.tiles import WINDOW, Tally
from models.unet import DEEPEST_STRIDE

# Fitted together with the numbers of `inference.measuring.diameter`.
PROBE_SIDE = WINDOW - DEEPEST_STRIDE  # working pixels; of a larger image the liveliest part is looked at
# Ratio of `typical_diameter` and the median diameter that the networks are trained with.
TYPICAL_OVER_MEDIAN = 1.05
FURTHEST = 2.0  # factor between assumed and measured size up to which a measurement holds
UNSURE = (0.2, 0.8)  # probabilities that are neither cell nor background
UNSURE_FLOOR = 0.005  # share of unsure points that is as good as none
DISAGREEMENT_FLOOR = 0.15  # disagreement that is as good as none
DISAGREEMENT_WEIGHT = 4.0  # of its logarithm in the score
CHANGE_WEIGHT = 3.3  # of ln(measured / assumed size) in the score
# Number of cells that is half as convincing as very many: a piece of tissue is not one large cell.
FEW_CELLS = 3.5


@dataclass(frozen=True)
class Look:
    """What a network finds in an image if its cells are assumed to be of a certain size.

    assumed : diameter in pixels of the image that was brought to the network's size
    measured : that of the cells found, held within `FURTHEST` of the assumed one
    change : ln(measured / assumed diameter), before it was held; 0 for smaller cells where the image may not be
        enlarged any more
    sure : sum of the probabilities of all points in cells, over the number of all points
    unsure : share of the points that are neither cell nor background
    disagreement : of the shapes that the network predicted with the cells found, 0 or more
    cells : number found
    labels : the cells, int32 of shape (h, w)
    corner : (y, x) of the labels in the image
    reduction : pixels of the image per pixel of the labels, along each axis
    """

    assumed: float
    measured: float
    change: float
    sure: float
    unsure: float
    disagreement: float
    cells: int
    labels: np.ndarray
    corner: tuple[int, int]
    reduction: int

    def score(self) -> float:
        """High where much is surely cell and little is unsure, where the cells explain the shapes that the network
        predicted, and where they are several and as large as was assumed."""
        evidence = math.log(max(self.sure, 1e-9) / (self.unsure + UNSURE_FLOOR))
        evidence -= DISAGREEMENT_WEIGHT * math.log(self.disagreement + DISAGREEMENT_FLOOR)
        return evidence - CHANGE_WEIGHT * abs(self.change) + math.log(self.cells / (self.cells + FEW_CELLS))


def look_at(image: NormalisedForm, network: Segmenting, assumed: float) -> Look | None:
    """Segment the liveliest part of an image, with cells of `assumed` pixels in diameter brought to the network's size,
    or as near to it as the image may be enlarged; None if no cells are found."""
    scale = working_scale(network.config.diameter, assumed)
    smallest = smallest_shown(network.config.diameter)
    assumed = max(assumed, smallest)
    side = max(1, round(PROBE_SIDE / scale))
    corner = liveliest_corner(image, side)
    probe, reduction = square(image, corner, side, 1 / scale)
    working = WorkingImage(NormalisedImage(probe), scale * reduction)
    tiles = list(run_network(working, network, Tally(), Stopwatch()))
    labels = collect(decode(tiles, network, working.sizes, Tally()), probe.shape[:2])
    if (middle := ground(probe)) is not None:
        labels[np.isin(labels, gaps(labels, probe, middle))] = 0
    measured = typical_diameter(labels) * reduction / TYPICAL_OVER_MEDIAN
    if math.isnan(measured):
        return None
    (_, maps), *_ = tiles  # a probe fits one window
    assert maps is not None, "cells were found in it"
    probability, disagreement = KINDS[network.kind].disagreement(labels, *maps)
    in_cell = cv2.resize(labels, probability.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT) > 0
    low, high = UNSURE
    change, held = math.log(measured / assumed), max(measured, assumed / FURTHEST)
    if assumed == smallest and measured < assumed:  # no look shows smaller ones any better
        change, held = 0.0, measured
    return Look(
        assumed,
        min(held, assumed * FURTHEST),
        change,
        float(probability[in_cell].sum() / probability.size),
        float(np.mean((probability > low) & (probability < high))),
        disagreement,
        int(np.count_nonzero(np.bincount(labels.ravel())[1:])),
        labels,
        corner,
        reduction,
    )


def typical_diameter(labels: np.ndarray) -> float:
    """Diameter in pixels of the disk as large as the cell that the middle one of all cell pixels belongs to; nan
    without cells.

    Specks and splinters, of which a poor segmentation has many, move the median over the cells, but have few pixels.

    Parameters
    ----------
    labels : non-negative integer array of shape (H, W), 0 is background
    """
    areas = np.sort(np.bincount(labels.ravel())[1:])
    pixels = np.cumsum(areas)
    if not pixels.size:
        return math.nan
    return 2 * math.sqrt(areas[np.searchsorted(pixels, pixels[-1] / 2)] / math.pi)


def common(one: Look, other: Look) -> tuple[np.ndarray, np.ndarray] | None:
    """The labels of two looks where both have looked; None if they have not, or not at the image's own pixels."""
    if one.reduction > 1 or other.reduction > 1:
        return None
    tops, lefts = zip(one.corner, other.corner)
    bottoms, rights = zip(*(np.add(look.corner, look.labels.shape) for look in (one, other)))
    top, bottom, left, right = max(tops), min(bottoms), max(lefts), min(rights)
    if bottom <= top or right <= left:
        return None

    def cut(look: Look) -> np.ndarray:
        y, x = look.corner
        return look.labels[top - y : bottom - y, left - x : right - x]

    return cut(one), cut(other)


def matched(one: np.ndarray, other: np.ndarray) -> float:
    """F1 of two label images (H, W) against each other at an IoU above 0.5, where a cell has one partner at most."""
    areas = [np.bincount(labels.ravel()) for labels in (one, other)]
    numbers = one.ravel().astype(np.int64) * len(areas[1]) + other.ravel()  # one for each pair: far faster than columns
    pairs, together = np.unique(numbers, return_counts=True)
    a, b = np.divmod(pairs, len(areas[1]))
    union = areas[0][a] + areas[1][b] - together
    same = (a > 0) & (b > 0) & (2 * together > union)
    cells = sum(int(np.count_nonzero(area[1:])) for area in areas)
    return 2 * int(np.count_nonzero(same)) / cells
