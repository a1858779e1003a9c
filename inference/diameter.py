"""How large the cells of an image are: the router's guess, corrected by what the segmenting network finds at several
sizes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from inference.kinds import KINDS
from inference.network import Segmenting
from inference.normalisation import NormalisedImage
from inference.pipeline import collect, decode, run_network
from inference.scaling import WorkingImage, working_scale
from inference.stopwatch import Stopwatch
from inference.tiles import WINDOW, Tally
from inference.views import liveliest_corner, square
from models.unet import DEEPEST_STRIDE


@dataclass(frozen=True)
class MeasureSettings:
    """Fitted to validation images of seen sources and to synthetic ones, as they are and in empty surroundings of three
    to six times their area, with guesses right, and 2, 3.7 and 7 times too large and too small."""

    probe_side: int = WINDOW - DEEPEST_STRIDE  # working pixels; of a larger image the liveliest part is looked at
    step: float = 1.93  # between the sizes that are tried
    fewest_looks: int = 3
    farthest_step: int = 4  # from the guess, as long as no size is convincing
    convincing: float = (
        2.3  # score from which on the best size is taken, if it is between two others that were tried...
    )
    fewest_cells: int = 4  # ...and shows as many cells
    typical_over_median: float = (
        1.05  # ratio of `typical_diameter` and the median diameter that the networks are trained with
    )
    furthest: float = 2.0  # factor between assumed and measured size up to which a measurement holds
    smallest: float = 2.0  # pixels of the image; no cell is assumed to be smaller...
    largest_share: float = 0.75  # ...or larger than this share of the image's longer side
    unsure: tuple[float, float] = (0.2, 0.8)  # probabilities that are neither cell nor background
    unsure_floor: float = 0.005  # share of unsure points that is as good as none
    disagreement_floor: float = 0.15  # disagreement that is as good as none
    disagreement_weight: float = 4.0  # of its logarithm in the score
    change_weight: float = 3.3  # of ln(measured / assumed size) in the score
    few_cells: float = (
        3.5  # number of cells that is half as convincing as very many: a piece of tissue is not one large cell
    )


@dataclass(frozen=True)
class Look:
    """What a network finds in an image if its cells are assumed to be of a certain size.

    assumed : diameter in pixels of the image
    measured : that of the cells found, held within `MeasureSettings.furthest` of the assumed one
    change : ln(measured / assumed diameter), before it was held
    sure : sum of the probabilities of all points in cells, over the number of all points
    unsure : share of the points that are neither cell nor background
    disagreement : of the shapes that the network predicted with the cells found, 0 or more
    cells : number found
    """

    assumed: float
    measured: float
    change: float
    sure: float
    unsure: float
    disagreement: float
    cells: int

    def score(self, settings: MeasureSettings = MeasureSettings()) -> float:
        """High where much is surely cell and little is unsure, where the cells explain the shapes that the network
        predicted, and where they are several and as large as was assumed."""
        evidence = math.log(max(self.sure, 1e-9) / (self.unsure + settings.unsure_floor))
        evidence -= settings.disagreement_weight * math.log(self.disagreement + settings.disagreement_floor)
        return (
            evidence
            - settings.change_weight * abs(self.change)
            + math.log(self.cells / (self.cells + settings.few_cells))
        )


def measure_diameter(
    image: NormalisedImage, network: Segmenting, guess: float, settings: MeasureSettings = MeasureSettings()
) -> float:
    """Typical cell diameter in pixels of the image.

    A network measures cells well that are up to twice as large or small as those it was trained on. So it looks at the
    liveliest part of the image at the size that the guess asks for, then at smaller and larger ones, until one of them
    is convincing and lies between two others. It is followed by a last look at the size that it has measured. Without
    cells the guess remains.

    Parameters
    ----------
    guess : the router's, in pixels of the image
    """
    largest = max(settings.smallest, settings.largest_share * max(image.shape))

    def within_image(diameter: float) -> float:
        return min(max(diameter, settings.smallest), largest)

    guess = within_image(guess)
    tried: dict[int, Look | None] = {}
    while (step := next_step(tried, guess, largest, settings)) is not None:
        tried[step] = look_at(image, network, guess * settings.step**step, settings)
    looks = [look for look in tried.values() if look]
    if not looks:
        return guess
    best = within_image(max(looks, key=lambda look: look.score(settings)).measured)
    last = look_at(image, network, best, settings)
    return within_image(math.sqrt(best * last.measured)) if last else best


def next_step(tried: Mapping[int, Look | None], guess: float, largest: float, settings: MeasureSettings) -> int | None:
    """Which size to look at next, in steps from the guess; None if it is enough.

    Sizes are tried from the guess outwards, and beyond the farthest one as long as the best one lies at the end.
    """
    looks = {step: look for step, look in tried.items() if look}
    scores = {step: look.score(settings) for step, look in looks.items()}
    best = max(scores, key=lambda step: scores[step], default=0)
    at_the_end = bool(scores) and best in (min(tried), max(tried))
    convincing = bool(scores) and scores[best] >= settings.convincing and looks[best].cells >= settings.fewest_cells
    if len(tried) >= settings.fewest_looks and convincing and not at_the_end:
        return None
    steps = sorted(range(-settings.farthest_step, settings.farthest_step + 1), key=lambda step: (abs(step), step))
    if at_the_end:
        steps += [best - 1, best + 1]
    return next(
        (step for step in steps if step not in tried and settings.smallest <= guess * settings.step**step <= largest),
        None,
    )


def look_at(image: NormalisedImage, network: Segmenting, assumed: float, settings: MeasureSettings) -> Look | None:
    """Segment the liveliest part of an image, with cells of `assumed` pixels in diameter brought to the network's size;
    None if no cells are found."""
    scale = working_scale(image.shape, network.config.diameter, assumed)
    side = max(1, round(settings.probe_side / scale))
    probe, reduction = square(image, liveliest_corner(image, side), side, 1 / scale)
    working = WorkingImage(NormalisedImage(probe), scale * reduction)
    tiles = list(run_network(working, network, Tally(), Stopwatch()))
    labels = collect(decode(tiles, network, working.sizes, Tally()), probe.shape[:2])
    measured = typical_diameter(labels) * reduction / settings.typical_over_median
    if math.isnan(measured):
        return None
    (_, maps), *_ = tiles  # a probe fits one window
    assert maps is not None, "cells were found in it"
    probability, disagreement = KINDS[network.kind].disagreement(labels, *maps)
    in_cell = cv2.resize(labels, probability.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    low, high = settings.unsure
    return Look(
        assumed,
        min(max(measured, assumed / settings.furthest), assumed * settings.furthest),
        math.log(measured / assumed),
        float(probability[in_cell].sum() / probability.size),
        float(np.mean((probability > low) & (probability < high))),
        disagreement,
        int(np.count_nonzero(np.bincount(labels.ravel())[1:])),
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
