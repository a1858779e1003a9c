"""An image whose cells are of two sizes: segmented at both, the smaller ones are put beside the larger ones."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from inference.image.scaling import WorkingImage
from inference.limits import LIMITS, Limits
from inference.network import Segmenting
from inference.pipeline import collect, label_rows
from inference.stopwatch import Stopwatch
from inference.tiles import Tally, tile_image

# By which `inference.measuring.diameter` looks for a second size, too.
FREE = 0.8  # share of a smaller cell that must lie beside the larger ones
LARGEST = 0.5  # of the larger cells' typical size: diameter up to which a cell is a smaller one


def rows_of_two_sizes(
    coarse: WorkingImage,
    fine: WorkingImage,
    diameter: float,
    network: Segmenting,
    tally: Tally,
    clock: Stopwatch,
    on_tile: Callable[[int], None] = lambda total: None,
    limits: Limits = LIMITS,
    sensitivity: float = 0.0,
) -> Iterator[np.ndarray]:
    """As `inference.pipeline.label_rows`, all rows in one band, of an image that is small enough to be held twice.

    Parameters
    ----------
    coarse, fine : the image at the working sizes for its larger and for its smaller cells
    diameter : typical one of the larger cells, in pixels of the image
    """
    total = sum(len(tile_image(*working.shape)) for working in (coarse, fine))
    tallies = Tally(), Tally()
    large, small = (
        collect(label_rows(working, network, own, clock, lambda _: on_tile(total), limits, sensitivity), image)
        for working, own, image in zip((coarse, fine), tallies, (coarse.image.shape, fine.image.shape))
    )
    labels, added = put_beside(large, small, LARGEST * diameter)
    first, second = tallies
    tally.add(first)
    tally.add(replace(second, cells=len(added), probabilities=[second.all_probabilities[added - 1]]))
    yield labels


def put_beside(large: np.ndarray, small: np.ndarray, largest: float) -> tuple[np.ndarray, np.ndarray]:
    """Cells of one label image, and small ones of another that lie beside them.

    Parameters
    ----------
    large, small : (H, W) int32, labels 1 to n
    largest : diameter in pixels, of the disk as large, up to which a cell of the second one is taken

    Returns
    -------
    labels (H, W) int32, the added cells behind those of the first image, without the pixels that these have; and the
    labels (added,) that these had in the second one.
    """
    pixels = np.bincount(small.ravel())
    free = np.bincount(small[large == 0], minlength=len(pixels))
    taken = (free >= FREE * pixels) & (free > 0) & (pixels <= np.pi / 4 * largest**2)
    taken[0] = False
    added = np.flatnonzero(taken)
    numbers = np.zeros(len(pixels), np.int32)
    numbers[added] = large.max(initial=0) + 1 + np.arange(len(added), dtype=np.int32)
    return np.where(large == 0, numbers[small], large), added
