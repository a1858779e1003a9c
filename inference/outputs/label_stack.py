"""Label TIFFs of several pages: the labels of each plane of a stack, whose cells are numbered on from plane to
plane."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inference.outputs.label_tiff import LABEL_SUFFIX, LabelTiles, Resolution
from inference.reading import Picture

if TYPE_CHECKING:
    from inference.segmenter import Segmentation, Summary


class LabelStack:
    """NAME_label.tiff of a stack: an output for each of its planes, which all go to one file.

    Parameters
    ----------
    shape : numbers of planes along the axes of the stack, height and width
    axes : letters of the stack's axes
    """

    suffix = LABEL_SUFFIX

    def __init__(self, path: Path, shape: tuple[int, ...], resolution: Resolution, axes: str):
        self._tiles, self._cells = LabelTiles(path, shape, resolution, axes), 0

    def begin(self, path: Path, picture: Picture, segmentation: "Segmentation") -> "LabelStack":
        return self

    def add(self, rows: np.ndarray) -> None:
        self._tiles.add(np.where(rows > 0, rows + np.int32(self._cells), 0))

    def finish(self, summary: "Summary") -> None:
        """The plane is complete."""
        self._cells += summary.cells

    def close(self) -> None:
        """Write the file, after the last plane."""
        self._tiles.write(self._cells)
