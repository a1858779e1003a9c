"""Which cells are kept: by size, and away from the image's border."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # it imports numba
    from inference.outputs.extents import Extents


@dataclass(frozen=True)
class CellFilter:
    """What a cell has to be like.

    min_area, max_area : pixels, both included
    exclude_border : cells with pixels in the first or last row or column of the image are taken out
    """

    min_area: float = 0
    max_area: float = np.inf
    exclude_border: bool = False

    def __bool__(self) -> bool:
        return self != CellFilter()

    def keeps(self, extents: "Extents") -> np.ndarray:
        """(cells + 1,) bool; the background is not kept."""
        kept = (extents.area >= max(1, self.min_area)) & (extents.area <= self.max_area)
        if self.exclude_border:
            kept &= ~extents.touches_border()
        kept[0] = False
        return kept


EVERY_CELL = CellFilter()


def new_numbers(kept: np.ndarray) -> np.ndarray:
    """Numbers 1, 2, 3, ... for the cells that are kept, in their order, and 0 for the others: (cells + 1,) int32."""
    return np.cumsum(kept, dtype=np.int32) * kept
