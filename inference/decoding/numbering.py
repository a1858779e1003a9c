"""The numbers of cells: 1, 2, 3, ... in the order in which their pixels come, row by row. So they do not depend on how
an image was cut, or on how many machines it was segmented.
"""

import numpy as np

from inference.compiled import compiled
from inference.tiles import Tally


@compiled
def number_rows(labels, numbers, cells):
    """Give cells their numbers, in place.

    Parameters
    ----------
    labels : (h, w) int32, rows with names of cells
    numbers : (names,) int32, of each name the number, 0 for one that has none yet; filled in
    cells : how many have a number already

    Returns
    -------
    How many have one now.
    """
    height, width = labels.shape
    for y in range(height):
        for x in range(width):
            name = labels[y, x]
            if name == 0:
                continue
            if numbers[name] == 0:
                cells += 1
                numbers[name] = cells
            labels[y, x] = numbers[name]
    return cells


class Numbering:
    """Numbers the cells of an image whose rows come one after the other, and counts them in its tally. One that never
    appears (thinner than a pixel of the image, or beyond its border) gets no number.
    """

    def __init__(self, tally: Tally):
        self._tally = tally
        self._numbers = np.zeros(1, np.int32)
        self._probabilities = np.zeros(1, np.float32)

    def learn(self, probabilities: np.ndarray) -> None:
        """The probabilities of the next names, (n,) float32: of those from the last one's end on, 1 being the first."""
        self._probabilities = np.concatenate([self._probabilities, probabilities])
        self._numbers = np.pad(self._numbers, (0, len(probabilities)))

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """Rows of names, (h, w) int32, with their final numbers. All names must have been learnt."""
        before = self._tally.cells
        labels = np.ascontiguousarray(labels)
        old = self._numbers > 0
        self._tally.cells = number_rows(labels, self._numbers, before)
        new = np.flatnonzero((self._numbers > 0) & ~old)
        self._tally.probabilities.append(self._probabilities[new[np.argsort(self._numbers[new])]])
        return labels
