"""All that outputs are made of: an image, its labels, and what is measured of them when it is first asked for."""

from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inference.limits import Limits
from inference.outputs.cell_table import CellTable, measure_cells
from inference.outputs.extents import Extents
from inference.outputs.filters import EVERY_CELL, CellFilter, new_numbers
from inference.outputs.label_rows import LabelRows, LabelStore
from inference.outputs.overlay import PLAIN, OverlayStyle, draw_overlay, own_picture, reduction
from inference.outputs.pixel_size import PixelSize
from inference.reading import Picture

if TYPE_CHECKING:  # they import torch, and shapely, which not every output needs
    from inference.outputs.polygons import PolygonStore
    from inference.segmentation import Plan, Segmentation, Summary


class Result:
    """A segmented image, with the cells that are wanted. A context: files without names are there while it lasts.

    Parameters
    ----------
    source : the image's file
    picture : as it was read
    segmentation : its rows are read here, all of them
    folder : for files without names
    limits : what is held in memory, and shown in full
    wanted : which cells are kept
    style : how the overlay is drawn
    place : in the file, along the axes of a stack of labels and those of which a plane was chosen, see
        `inference.reading.Image.place`
    cells_before : in the planes before this one; cells are numbered on from these wherever they are named
    """

    def __init__(
        self,
        source: Path,
        picture: Picture,
        segmentation: "Segmentation",
        folder: Path,
        limits: Limits,
        wanted: CellFilter = EVERY_CELL,
        style: OverlayStyle = PLAIN,
        place: Mapping[str, int] | None = None,
        cells_before: int = 0,
    ):
        self.source, self.picture, self.style, self.limits, self._folder = source, picture, style, limits, folder
        self.place, self.cells_before = place or {}, cells_before
        self.plan: Plan = segmentation.plan
        self._open = ExitStack()
        height, width = picture.shape
        try:
            if segmentation.stored is not None:
                labels = segmentation.stored
                list(segmentation.rows)
            elif height * width <= limits.labels_in_memory:
                labels = LabelRows.of(segmentation.labels)
            else:
                labels = self._open.enter_context(LabelStore(folder)).add(segmentation.rows, picture.shape)
            self.summary: Summary = segmentation.summary
            self.found = labels.cells
            self.probabilities = self.summary.probabilities
            if wanted:
                extents = Extents.measure(labels)
                kept = wanted.keeps(extents)
                labels, self.extents = labels.renumbered(new_numbers(kept)), extents.chosen(kept)
                self.probabilities = self.probabilities[kept[1:]]
            self.labels = labels
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> "Result":
        return self

    def __exit__(self, *error) -> None:
        self._open.close()

    @property
    def pixel_size(self) -> PixelSize | None:
        """Where the file has one."""
        return PixelSize.of(self.picture)

    @cached_property
    def extents(self) -> Extents:
        return Extents.measure(self.labels)

    @cached_property
    def table(self) -> CellTable:
        """See `inference.outputs.cell_table.measure_cells`."""
        table = measure_cells(
            self.labels, self.extents, self.picture.pixels, self.picture.channels, self.pixel_size, self.probabilities
        )
        return table | {"label": table["label"] + self.cells_before}

    @cached_property
    def polygons(self) -> "PolygonStore":
        from inference.outputs.polygons import stored_polygons  # late: it needs shapely

        return self._open.enter_context(stored_polygons(self.labels, self.extents, self._folder))

    @cached_property
    def shown(self) -> np.ndarray:
        """The image as people know it, see `inference.outputs.overlay.own_picture`."""
        return own_picture(self.picture.pixels, "RGB" in self.picture.axes, self.limits)

    @cached_property
    def overlay(self) -> np.ndarray:
        """The picture with the cells' outlines, (h, w, 3) uint8."""
        labels = self.labels.thinned(reduction(self.labels.shape, self.limits))
        if self.cells_before:
            labels = np.where(labels > 0, labels + self.cells_before, 0)
        return draw_overlay(self.shown, labels, self.style)
