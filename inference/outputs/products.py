"""The kinds of files that are made of a segmented image on request, in one table. Each one's module is imported when it
is written.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # it imports numba, and this is for the command line too
    from inference.outputs.result import Result


@dataclass(frozen=True)
class Product:
    """One kind of file.

    option : of the command line, without the dashes
    suffix : of the file's name; the image's name comes before it
    help : what it is
    write : makes the file; raises OutputRefused where the format cannot hold the image
    needs : optional packages without which there is none
    """

    option: str
    suffix: str
    help: str
    write: Callable[[Path, "Result"], None]
    needs: tuple[str, ...] = ()


def _overlay(path: Path, result: "Result") -> None:
    from inference.outputs.overlay import write_png

    write_png(path, result.overlay)


def _table(path: Path, result: "Result") -> None:
    from inference.outputs.cell_table import write_cell_table

    write_cell_table(path, result.table)


def _rois(path: Path, result: "Result") -> None:
    from inference.outputs.imagej_rois import write_imagej_rois

    write_imagej_rois(path, result.polygons, result.labels.shape, result.place, result.cells_before)


def _geojson(path: Path, result: "Result") -> None:
    from inference.outputs.geojson import write_geojson

    write_geojson(path, result.polygons, result.table, result.place)


def _cellpose(path: Path, result: "Result") -> None:
    from inference.outputs.cellpose_seg import write_cellpose_seg

    write_cellpose_seg(path, result.labels, result.source.resolve(), result.plan.diameter)


def _outlines(path: Path, result: "Result") -> None:
    from inference.outputs.outlines_txt import write_outlines_txt

    write_outlines_txt(path, result.polygons)


def _png(path: Path, result: "Result") -> None:
    from inference.outputs.label_png import write_label_png

    write_label_png(path, result.labels, result.limits.png_pixels)


def check_packages(options: Iterable[str]) -> None:
    """Raise ValueError, which names what to install, if a package is missing without which there are none of these."""
    for option in options:
        missing = [name for name in PRODUCTS[option].needs if find_spec(name) is None]
        if missing:
            raise ValueError(f"--{option} needs {' and '.join(missing)}: pip install {' '.join(missing)}")


PRODUCTS = {
    product.option: product
    for product in (
        Product("overlay", "_overlay.png", "the image with the cells' outlines", _overlay),
        Product("table", "_cells.csv", "a line for each cell: size, form, place, brightness, probability", _table),
        Product("rois", "_rois.zip", "outlines for ImageJ's ROI manager", _rois, ("roifile", "shapely")),
        Product("geojson", ".geojson", "outlines and measurements for QuPath, as detections", _geojson, ("shapely",)),
        Product("cellpose", "_seg.npy", "for Cellpose's graphical interface", _cellpose),
        Product("outlines", "_cp_outlines.txt", "outlines as text, a line for each cell", _outlines, ("shapely",)),
        Product("png", "_label.png", "the labels as a 16-bit PNG", _png),
    )
}
