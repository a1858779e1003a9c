"""Where each cell lies and how large it is: for filters, and for everything that works cell by cell."""

from dataclasses import dataclass

import numpy as np

from inference.compiled import compiled
from inference.outputs.label_rows import LabelRows

TOP, LEFT, BOTTOM, RIGHT = range(4)


@dataclass(frozen=True)
class Extents:
    """Of each number from 0 to the number of cells; the entry of the background means nothing.

    area : (cells + 1,) int64, pixels
    box : (cells + 1, 4) int64, top, left, bottom, right in pixels; bottom and right are the first ones behind the cell
    shape : height and width of the image
    """

    area: np.ndarray
    box: np.ndarray
    shape: tuple[int, int]

    @classmethod
    def measure(cls, labels: LabelRows) -> "Extents":
        """One pass over the labels."""
        area = np.zeros(labels.cells + 1, np.int64)
        box = np.tile(np.array([*labels.shape, 0, 0], np.int64), (labels.cells + 1, 1))
        top = 0
        for band in labels:
            _extend(band, top, area, box)
            top += len(band)
        return cls(area, box, labels.shape)

    def touches_border(self) -> np.ndarray:
        """(cells + 1,) bool: the cell has pixels in the first or last row or column of the image."""
        height, width = self.shape
        top, left, bottom, right = self.box.T
        return (top == 0) | (left == 0) | (bottom == height) | (right == width)

    def chosen(self, kept: np.ndarray) -> "Extents":
        """Those of some cells, (cells + 1,) bool, which are renumbered in their order."""
        kept = kept.copy()
        kept[0] = True
        return Extents(self.area[kept], self.box[kept], self.shape)


@compiled
def _extend(band, first_row, area, box):
    for y in range(band.shape[0]):
        row = first_row + y
        for x in range(band.shape[1]):
            cell = band[y, x]
            if cell == 0:
                continue
            area[cell] += 1
            own = box[cell]
            own[0] = min(own[0], row)
            own[1] = min(own[1], x)
            own[2] = max(own[2], row + 1)
            own[3] = max(own[3], x + 1)
