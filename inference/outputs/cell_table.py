"""A line for each cell: CSV with the columns of `skimage.measure.regionprops_table`, in pixels and in micrometres."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from inference.outputs.extents import Extents
from inference.outputs.label_rows import LabelRows
from inference.outputs.pixel_size import PixelSize
from inference.outputs.shapes import measure_intensities, measure_shapes
from inference.outputs.spreadsheet import spreadsheet_safe
from inference.outputs.whole_file import whole_file
from inference.streams import escaped

CellTable = Mapping[str, np.ndarray]  # column -> (cells,)
LENGTHS = ("perimeter", "axis_major_length", "axis_minor_length", "equivalent_diameter_area")
ROWS = 4096  # written in one go


def measure_cells(
    labels: LabelRows,
    extents: Extents,
    pixels,
    channels: Sequence[str] = (),
    pixel_size: PixelSize | None = None,
    probability: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """All columns of the table, each of shape (cells,), for the cells 1, 2, 3, ...

    Parameters
    ----------
    pixels, channels : as of `inference.outputs.shapes.measure_intensities`; the stored values, not normalised
    pixel_size : adds area_um2, centroid_um-0 and -1, and for square pixels the lengths with the ending _um
    probability : (cells,) of being a cell, in [0, 1]
    """
    columns: dict[str, np.ndarray] = {"label": np.arange(1, labels.cells + 1)} | measure_shapes(labels, extents)
    if pixel_size is not None:
        columns["area_um2"] = columns["area"] * pixel_size.area
        columns["centroid_um-0"] = columns["centroid-0"] * pixel_size.y
        columns["centroid_um-1"] = columns["centroid-1"] * pixel_size.x
        if pixel_size.side is not None:
            columns |= {f"{name}_um": columns[name] * pixel_size.side for name in LENGTHS}
    columns |= measure_intensities(labels, extents, pixels, channels)
    if probability is not None:
        columns["probability"] = probability
    return columns


def write_cell_table(path: Path, table: CellTable) -> None:
    """Write the columns as CSV; numbers with six significant digits, whole numbers whole."""
    with whole_file(path) as partial, open(partial, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(spreadsheet_safe(escaped(name)) for name in table)
        cells = len(next(iter(table.values())))
        for first in range(0, cells, ROWS):
            writer.writerows(zip(*(_texts(column[first : first + ROWS]) for column in table.values())))


def _texts(column: np.ndarray) -> list[str]:
    if column.dtype.kind in "iu":
        return column.astype(str).tolist()
    return [f"{value:.10g}" if value.is_integer() else f"{value:.6g}" for value in column.tolist()]
