"""How large the cells of an image are: the router's guess, corrected by what the segmenting network finds at several
sizes.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from inference.looks import Look, common, look_at, matched
from inference.network import Segmenting
from inference.normalisation import NormalisedImage
from inference.two_sizes import FREE, LARGEST


@dataclass(frozen=True)
class MeasureSettings:
    """Fitted to validation images of seen sources and to synthetic ones, as they are and in empty surroundings of three
    to six times their area, with guesses right, and 2, 3.7 and 7 times too large and too small."""

    step: float = 1.93  # between the sizes that are tried
    fewest_looks: int = 3
    farthest_step: int = 4  # from the guess, as long as no size is convincing
    # Score from which on the best size is taken, if it lies between two others that were tried...
    convincing: float = 2.3
    fewest_cells: int = 4  # ...and shows as many cells
    many_cells: int = 20  # a look that shows so many convincingly outranks all that show fewer than `fewest_cells`
    smallest: float = 2.0  # pixels of the image; no cell is assumed to be smaller...
    largest_share: float = 0.75  # ...or larger than this share of the image's longer side
    fewest_missing: int = 8  # missing cells that make a second size...
    second_share: float = 1.0  # ...if they are as many as those found
    other_size: float = 1.25  # factor from which on a size is another one


@dataclass(frozen=True)
class Measurement:
    """How large the cells of an image are.

    diameter : typical one in pixels of the image
    second : that of further cells, which are not found at that size: some much smaller ones among large ones; None
        where there are none
    agreement : F1 of the cells found at the next smaller or larger size that was tried, whichever agrees better, with
        those found at this one; None if there was none, or no cell
    """

    diameter: float
    second: float | None = None
    agreement: float | None = None


def measure_diameter(
    image: NormalisedImage, network: Segmenting, guess: float, settings: MeasureSettings = MeasureSettings()
) -> Measurement:
    """Look at an image at several sizes.

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
        tried[step] = look_at(image, network, guess * settings.step**step)
    looks = {step: look for step, look in tried.items() if look}
    if not looks:
        return Measurement(guess)
    best = within_image(looks[best_step(looks, settings)].measured)
    last = look_at(image, network, best)
    if last is None:
        return Measurement(best)
    diameter = within_image(math.sqrt(best * last.measured))
    # Small things that a Hover network finds beside large cells are as often debris.
    second = second_diameter(last, looks.values(), settings) if network.kind == "stardist" else None
    return Measurement(diameter, second, agreement(last, looks.values(), settings))


def best_step(looks: Mapping[int, Look], settings: MeasureSettings) -> int:
    """Of the look with the highest score; but where one shows many cells convincingly, these are not parts of a few."""
    if any(look.cells >= settings.many_cells and look.score() >= settings.convincing for look in looks.values()):
        looks = {step: look for step, look in looks.items() if look.cells >= settings.fewest_cells}
    return max(looks, key=lambda step: looks[step].score())


def second_diameter(found: Look, looks: Iterable[Look], settings: MeasureSettings) -> float | None:
    """Of the cells that are missing at the size found, and many at a smaller one; None if there are none."""
    if found.cells < settings.fewest_cells:
        return None
    missing = max((missing_cells(found, look) for look in looks if look.assumed < found.assumed), key=len, default=[])
    if len(missing) < max(settings.fewest_missing, settings.second_share * found.cells):
        return None
    return float(np.median(missing))


def missing_cells(found: Look, look: Look) -> Sequence[float]:
    """Diameters of the cells of a look that are much smaller than those found at another size, and lie beside them."""
    both = common(found, look)
    if both is None:
        return []
    pixels = np.bincount(both[1].ravel())
    free = np.bincount(both[1][both[0] == 0], minlength=len(pixels))
    diameters = 2 * np.sqrt(pixels / math.pi)
    wanted = (free > FREE * pixels) & (diameters < LARGEST * found.measured)
    return diameters[1:][wanted[1:]].tolist()


def agreement(found: Look, looks: Iterable[Look], settings: MeasureSettings) -> float | None:
    """As of `Measurement`."""
    pairs = []
    for look in looks:
        factor = max(look.assumed, found.assumed) / min(look.assumed, found.assumed)
        both = common(found, look)
        if both and both[0].any() and settings.other_size <= factor <= settings.step**2:
            pairs.append(both)
    return max((matched(*both) for both in pairs), default=None)


def next_step(tried: Mapping[int, Look | None], guess: float, largest: float, settings: MeasureSettings) -> int | None:
    """Which size to look at next, in steps from the guess; None if it is enough.

    Sizes are tried from the guess outwards, and beyond the farthest one as long as the best one lies at the end.
    """
    looks = {step: look for step, look in tried.items() if look}
    best, at_the_end, convincing = 0, False, False
    if looks:
        best = best_step(looks, settings)
        at_the_end = best in (min(tried), max(tried))
        convincing = looks[best].score() >= settings.convincing and looks[best].cells >= settings.fewest_cells
    if len(tried) >= settings.fewest_looks and convincing and not at_the_end:
        return None
    steps = sorted(range(-settings.farthest_step, settings.farthest_step + 1), key=lambda step: (abs(step), step))
    if at_the_end:
        steps += [best - 1, best + 1]
    return next(
        (step for step in steps if step not in tried and settings.smallest <= guess * settings.step**step <= largest),
        None,
    )
