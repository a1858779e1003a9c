"""How large the cells of an image are: the router's guess, corrected by what the segmenting network finds at several sizes."""

import math
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
    """Fitted to the validation images with the router's guesses, and with guesses 2 and 3.5 times too large and too small."""

    probe_side: int = WINDOW - DEEPEST_STRIDE  # working pixels; of a larger image the liveliest part is looked at
    ladder: tuple[float, ...] = (1 / 3.5, 1 / 1.87, 1.0, 1.87, 3.5)  # cell sizes to try first, in units of the router's guess
    typical_over_median: float = 1.05  # ratio of `typical_diameter` and the median diameter that the networks are trained with
    furthest: float = 2.0  # factor between assumed and measured size up to which a measurement holds
    largest_share: float = 0.75  # of the image's longer side; no cell is assumed to be larger
    unsure: tuple[float, float] = (0.2, 0.8)  # probabilities that are neither cell nor background
    unsure_floor: float = 0.01  # share of unsure points that is as good as none
    sure_weight: float = 0.5  # of ln(sure / unsure) in the score
    disagreement_floor: float = 0.03  # disagreement that is as good as none
    disagreement_weight: float = 3.0  # of its logarithm in the score
    change_weight: float = 1.0  # of ln(measured / assumed size) in the score
    guess_weight: float = 0.3  # of the distance from the router's guess in the score; its logarithm, so that a guess may be all wrong
    guess_spread: float = 0.7  # of ln(measured size / guess)


@dataclass(frozen=True)
class Look:
    """What a network finds in an image if its cells are assumed to be of a certain size.

    assumed : diameter in pixels of the image
    measured : that of the cells found, held within `MeasureSettings.furthest` of the assumed one
    change : ln(measured / assumed diameter), before it was held
    sure : sum of the probabilities of all points in cells, over the number of all points
    unsure : share of the points that are neither cell nor background
    disagreement : of the shapes that the network predicted with the cells found, 0 or more
    """

    assumed: float
    measured: float
    change: float
    sure: float
    unsure: float
    disagreement: float

    def score(self, guess: float, settings: MeasureSettings) -> float:
        """High where much is surely cell and little is unsure, where the cells explain the shapes that the network predicted, and
        where they are as large as was assumed and nearly as guessed."""
        evidence = settings.sure_weight * math.log(max(self.sure, 1e-9) / (self.unsure + settings.unsure_floor))
        evidence -= settings.disagreement_weight * math.log(self.disagreement + settings.disagreement_floor)
        off = math.log(self.measured / guess) / settings.guess_spread
        return evidence - settings.change_weight * abs(self.change) - settings.guess_weight * math.log1p(off**2)


def measure_diameter(image: NormalisedImage, network: Segmenting, guess: float, settings: MeasureSettings = MeasureSettings()) -> float:
    """Typical cell diameter in pixels of the image.

    A network measures cells well that are up to twice as large or small as those it was trained on. So it looks at the liveliest
    part of the image at the size that the guess asks for, and at much smaller and larger ones in case the guess is wrong. The
    most convincing look is followed by a last one at the size that it has measured. Without cells the guess remains.

    Parameters
    ----------
    guess : the router's, in pixels of the image
    """
    def within_image(diameter: float) -> float:
        return min(max(diameter, 1.0), settings.largest_share * max(image.shape))

    guess = within_image(guess)
    assumed = dict.fromkeys(within_image(factor * guess) for factor in settings.ladder)
    looks = [look for diameter in assumed if (look := look_at(image, network, diameter, settings))]
    if not looks:
        return guess
    best = within_image(max(looks, key=lambda look: look.score(guess, settings)).measured)
    last = look_at(image, network, best, settings)
    return within_image(math.sqrt(best * last.measured)) if last else best


def look_at(image: NormalisedImage, network: Segmenting, assumed: float, settings: MeasureSettings) -> Look | None:
    """Segment the liveliest part of an image, with cells of `assumed` pixels in diameter brought to the network's size; None if
    no cells are found."""
    scale = working_scale(image.shape, network.config["diameter"], assumed)
    side = max(1, round(settings.probe_side / scale))
    probe, reduction = square(image, liveliest_corner(image, side), side, 1 / scale)
    working = WorkingImage(NormalisedImage(probe), scale * reduction)
    tiles = list(run_network(working, network, Tally(), Stopwatch()))
    labels = collect(decode(tiles, network, working.sizes, Tally()), probe.shape[:2])
    measured = typical_diameter(labels) * reduction / settings.typical_over_median
    if math.isnan(measured):
        return None
    (_, maps), *_ = tiles  # a probe fits one window
    probability, disagreement = KINDS[network.kind].disagreement(labels, *maps)
    in_cell = cv2.resize(labels, probability.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    low, high = settings.unsure
    return Look(assumed, min(max(measured, assumed / settings.furthest), assumed * settings.furthest), math.log(measured / assumed),
                float(probability[in_cell].sum() / probability.size), float(np.mean((probability > low) & (probability < high))),
                disagreement)


def typical_diameter(labels: np.ndarray) -> float:
    """Diameter in pixels of the disk as large as the cell that the middle one of all cell pixels belongs to; nan without cells.

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
