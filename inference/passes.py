"""An image that is segmented several times, and the cells put beside each other: they are of two sizes, or those of a
picture that lies in empty surroundings.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from inference.image.forms import NormalisedForm
from inference.image.scaling import WorkingImage
from inference.limits import LIMITS, Limits
from inference.network import Segmenting
from inference.pipeline import collect, label_rows
from inference.stopwatch import Stopwatch
from inference.tiles import Tally, tile_image

# By which `inference.measuring.diameter` looks for a second size, too.
FREE = 0.8  # share of a cell that must lie beside those that are there already
LARGEST = 0.5  # of the larger cells' typical size: diameter up to which a cell is a smaller one

CLOSED = -1  # in place of background, where no further cell may be


@dataclass(frozen=True)
class Size:
    """A size at which an image is segmented.

    scale : working size over image size
    largest : diameter in pixels of the image, of the disk as large, up to which a cell found at it is taken
    """

    scale: float
    largest: float = math.inf


def rows_of_passes(
    image: NormalisedForm,
    sizes: Sequence[Size],
    network: Segmenting,
    tally: Tally,
    clock: Stopwatch,
    on_tile: Callable[[int], None] = lambda total: None,
    limits: Limits = LIMITS,
    sensitivity: float = 0.0,
) -> Iterator[np.ndarray]:
    """As `inference.pipeline.label_rows`, all rows in one band, of an image that is small enough to be held twice.

    A picture that is embedded in empty surroundings gets the labels that it would get alone; then what lies around it
    is segmented as a part of the whole. Of the seam cells and cut cells of each pass at most as many count as cells of
    it are taken: which ones those are is not known.

    Parameters
    ----------
    sizes : in the order in which cells found at them are taken
    """
    forms = [image.content, image] if image.embedded else [image]
    passes = [(form, size, WorkingImage(form, size.scale)) for form in forms for size in sizes]
    total = sum(len(tile_image(*working.shape)) for _, _, working in passes)
    labels = np.zeros(image.shape, np.int32)
    for form, size, working in passes:
        own, place = Tally(), labels[form.box]
        rows = label_rows(working, network, own, clock, lambda _: on_tile(total), limits, sensitivity)
        added = put_beside(place, collect(rows, form.shape), size.largest, tally.cells + 1)
        seam_cells, cut_cells = (min(found, len(added)) for found in (own.seam_cells, own.cut_cells))
        probabilities = [own.all_probabilities[added - 1]]
        tally.add(Tally(own.tiles, own.empty_tiles, len(added), seam_cells, cut_cells, probabilities))
        if form is not image and size is sizes[-1]:
            place[place == 0] = CLOSED
    labels[labels == CLOSED] = 0
    yield labels


def put_beside(labels: np.ndarray, found: np.ndarray, largest: float, first: int) -> np.ndarray:
    """Add the cells of another label image that lie where there are none yet, without the pixels that are taken.

    Parameters
    ----------
    labels : (H, W) int32, 0 where a cell may be; changed in place
    found : (H, W) int32, labels 1 to n
    largest : diameter in pixels, of the disk as large, up to which a cell is taken
    first : label of the first cell that is added

    Returns
    -------
    The labels (added,) that the added cells have in `found`.
    """
    pixels = np.bincount(found.ravel())
    free = np.bincount(found[labels == 0], minlength=len(pixels))
    taken = (free >= FREE * pixels) & (free > 0) & (pixels <= np.pi / 4 * largest**2)
    taken[0] = False
    added = np.flatnonzero(taken)
    numbers = np.zeros(len(pixels), np.int32)
    numbers[added] = first + np.arange(len(added), dtype=np.int32)
    np.copyto(labels, numbers[found], where=labels == 0)
    return added
