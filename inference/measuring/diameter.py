"""How large the cells of an image are: the router's guess, corrected by what the segmenting network finds at several
sizes.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from inference.image.forms import Mirrored, NormalisedForm
from inference.image.scaling import smallest_shown
from inference.measuring.looks import Look, common, look_at, matched
from inference.network import Segmenting
from inference.passes import FREE, LARGEST

# F1 between the cells found at neighbouring sizes, below which they depend on the size that was assumed.
LEAST_AGREEMENT = 0.75

# Fitted to validation images of seen sources and to synthetic ones, as they are and in empty surroundings of three to
# six times their area, with guesses right, and 2, 3.7 and 7 times too large and too small.
STEP = 1.93  # between the sizes that are tried
FEWEST_LOOKS = 3
FARTHEST_STEP = 4  # from the guess, as long as no size is convincing
# Score from which on the best size is taken, if it lies between two others that were tried...
CONVINCING = 2.7
FEWEST_CELLS = 4  # ...and shows as many cells
MANY_CELLS = 20  # a look that shows so many convincingly outranks all that show fewer than FEWEST_CELLS...
SEVERAL_CELLS = 12  # ...and so does one that shows so many,
NEARLY = 1.0  # if its score is no more than this below the highest
SMALLEST = 2.0  # pixels of the image; no cell is assumed to be smaller...
LARGEST_SHARE = 0.75  # ...or larger than this share of the image's longer side
GUESS_WEIGHT = 0.7  # of |ln(size / guess)|, which is taken from the score
NEAR = 0.1  # ln(measured / assumed size) up to which the best look is the last one
FEWEST_MISSING = 8  # missing cells that make a second size...
SECOND_SHARE = 1.0  # ...if they are as many as those found
OTHER_SIZE = 1.25  # factor from which on a size is another one


@dataclass(frozen=True)
class Measurement:
    """How large the cells of an image are.

    diameter : typical one in pixels of the image
    second : that of further cells, which are not found at that size: some much smaller ones among large ones; None
        where there are none
    agreement : F1 of the cells found at the next smaller or larger size that was tried, whichever agrees better, with
        those found at this one; None if there was none, or no cell
    cells : found at that size where was looked
    """

    diameter: float
    second: float | None = None
    agreement: float | None = None
    cells: int = 0


def size_unsure(agreement: float | None) -> bool:
    """Whether an agreement says that the cells found depend much on the size that was assumed for them."""
    return agreement is not None and agreement < LEAST_AGREEMENT


def measure_diameter(image: NormalisedForm, network: Segmenting, guess: float) -> Measurement:
    """Look at an image at several sizes.

    A network measures cells well that are up to twice as large or small as those it was trained on. So it looks at the
    liveliest part of the image at the size that the guess asks for, then at smaller and larger ones, until one of them
    is convincing and lies between two others. Where the cells were of another size than assumed, it is followed by a
    last look at the size that it has measured. Where the cells of neighbouring sizes do not agree, and not because
    there are cells of two sizes, all others are looked at before one is taken. Without cells the guess remains.

    Parameters
    ----------
    guess : the router's, in pixels of the image
    """
    largest = max(SMALLEST, LARGEST_SHARE * max(image.shape))

    def within_image(diameter: float) -> float:
        return min(max(diameter, SMALLEST), largest)

    guess = within_image(guess)
    sizes = sizes_to_try(guess, smallest_shown(network.config.diameter), largest)
    look = cache(lambda size: look_at(image, network, size))
    tried: dict[int, Look | None] = {}
    for all_sizes in (False, True):
        while (step := next_step(tried, sizes, all_sizes)) is not None:
            tried[step] = look(sizes[step])
        looks = {step: found for step, found in tried.items() if found}
        if not looks:
            return Measurement(guess)
        best = looks[best_step(looks, sizes)]
        diameter = within_image(best.measured)
        if abs(best.change) > NEAR:
            last = look(diameter)
            if last is None:
                return Measurement(diameter)
            diameter, best = within_image(math.sqrt(diameter * last.measured)), last
        # Small things that a Hover network finds beside large cells are as often debris.
        second = second_diameter(best, looks.values()) if network.kind == "stardist" else None
        agreeing = agreement(best, looks.values())
        if second or not size_unsure(agreeing):
            break
    return Measurement(diameter, second, agreeing, best.cells)


def checked_in_mirrors(first: Measurement, image: NormalisedForm, network: Segmenting, guess: float) -> Measurement:
    """Measure the image turned by half a circle as well, where a measurement is unsure; where that finds another size,
    or a measurement rests on a few cells, both mirror images too.

    A network finds slightly other cells in these, and what is nearly a coin's flip falls on either side. So the middle
    of the two or four diameters counts; where it would lie between two sizes that have nothing to do with each other,
    the one at which the cells agree better with those of neighbouring sizes.

    Parameters
    ----------
    first : of the image itself, as `measure_diameter` of the other arguments
    """
    few = 0 < first.cells < FEWEST_CELLS
    if not (few or size_unsure(first.agreement)):
        return first
    found, turned, mirrored = [first], [(True, True)], [(True, False), (False, True)]
    for ways in [turned + mirrored] if few else [turned, mirrored]:
        found += [measure_diameter(Mirrored(image, *way), network, guess) for way in ways]
        found.sort(key=lambda measurement: measurement.diameter)
        low, high = found[len(found) // 2 - 1 : len(found) // 2 + 1]
        better = max(low, high, key=lambda measurement: measurement.agreement or 0)
        if high.diameter <= OTHER_SIZE * low.diameter:
            return replace(better, diameter=math.sqrt(low.diameter * high.diameter))
    return better


def sizes_to_try(guess: float, smallest: float, largest: float) -> dict[int, float]:
    """Diameters in pixels of the image, by their number of steps from the guess: as far as the image's size allows.

    Parameters
    ----------
    smallest : that can be brought to the network's size; smaller ones would all look alike
    """
    sizes = {0: max(guess, smallest)}
    while (size := sizes[min(sizes)]) > smallest * OTHER_SIZE:
        sizes[min(sizes) - 1] = max(size / STEP, smallest)
    while (size := sizes[max(sizes)] * STEP) <= largest:
        sizes[max(sizes) + 1] = size
    return sizes


def best_step(looks: Mapping[int, Look], sizes: Mapping[int, float]) -> int:
    """Of the look with the highest score, and not too far from the guess; but where one shows many cells convincingly,
    these are not parts of a few."""
    highest = max(look.score() for look in looks.values())

    def shows_many(look: Look) -> bool:
        few = SEVERAL_CELLS if look.score() >= highest - NEARLY else MANY_CELLS
        return look.cells >= few and look.score() >= CONVINCING

    if any(map(shows_many, looks.values())):
        looks = {step: look for step, look in looks.items() if look.cells >= FEWEST_CELLS}

    def rank(step: int) -> float:
        return looks[step].score() - GUESS_WEIGHT * abs(math.log(sizes[step] / sizes[0]))

    return max(looks, key=rank)


def second_diameter(found: Look, looks: Iterable[Look]) -> float | None:
    """Of the cells that are missing at the size found, and many at a smaller one; None if there are none."""
    if found.cells < FEWEST_CELLS:
        return None
    missing = max((missing_cells(found, look) for look in looks if look.assumed < found.assumed), key=len, default=[])
    if len(missing) < max(FEWEST_MISSING, SECOND_SHARE * found.cells):
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


def agreement(found: Look, looks: Iterable[Look]) -> float | None:
    """As of `Measurement`."""
    pairs = []
    for look in looks:
        factor = max(look.assumed, found.assumed) / min(look.assumed, found.assumed)
        both = common(found, look)
        if both and both[0].any() and OTHER_SIZE <= factor <= STEP**2:
            pairs.append(both)
    return max((matched(*both) for both in pairs), default=None)


def next_step(tried: Mapping[int, Look | None], sizes: Mapping[int, float], all_sizes: bool = False) -> int | None:
    """Which size to look at next, in steps from the guess; None if it is enough.

    Sizes are tried from the guess outwards, and beyond the farthest one as long as the best one lies at the end; once
    one is convincing, only its neighbours are, unless `all_sizes` are wanted.
    """
    looks = {step: look for step, look in tried.items() if look}
    further = {step for step in sizes if abs(step) <= FARTHEST_STEP}
    if looks:
        best = best_step(looks, sizes)
        neighbours = {best - 1, best + 1} & sizes.keys() - tried.keys()
        if looks[best].score() >= CONVINCING and looks[best].cells >= FEWEST_CELLS:
            if not (neighbours or all_sizes) and len(tried) >= min(FEWEST_LOOKS, len(sizes)):
                return None
            further = neighbours or further
        further |= neighbours
    return min(further - tried.keys(), key=lambda step: (abs(step), step), default=None)
