"""What is asked of a run: its images, the cells that are kept, and what labels depend on."""

from dataclasses import fields
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.outputs.filters import EVERY_CELL, CellFilter
from inference.outputs.overlay import OverlayStyle
from inference.outputs.pixel_size import PixelSize
from inference.outputs.units import Area
from inference.running.request import Request


def request(*sources, **options):
    return Request(sources, Path("out"), Path("weights"), **options)


@pytest.fixture
def folder(tmp_path):
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 4), np.uint8))
    (tmp_path / "notes.txt").write_text("nothing")
    return tmp_path


def test_images_of_lists_and_folders_are_taken_once(folder):
    (folder / "list.txt").write_text("b.png\nlost.png\n")
    images, skipped = request(folder, folder / "a.png", listed=folder / "list.txt").find()
    assert sorted(found.path.name for found in images) == ["a.png", "b.png", "lost.png"]
    assert {entry.path.name for entry in skipped} == {"list.txt", "notes.txt"}


def test_a_list_alone(folder):
    (folder / "list.txt").write_text("b.png\n")
    images, skipped = request(listed=folder / "list.txt").find()
    assert [found.path for found in images] == [folder / "b.png"]
    assert skipped == []


def test_suffixes_of_results():
    assert request().suffixes == ["_label.tiff"]
    assert request(products=("png", "table")).suffixes == ["_label.tiff", "_label.png", "_cells.csv"]


def test_wanted_cells():
    size = PixelSize(0.5, 0.25)
    assert request().wanted(None) == EVERY_CELL
    assert request(min_size=Area(30), exclude_border=True).wanted(None) == CellFilter(30, np.inf, True)
    assert request(min_size=Area(1, True), max_size=Area(12, True)).wanted(size) == CellFilter(8, 96)
    with pytest.raises(ValueError, match="no pixel size"):
        request(max_size=Area(12, True)).wanted(None)


def test_what_labels_depend_on():
    """A field that is neither there nor named here is new, and it is to be thought about."""
    words = """
    sources folder weights device listed recursive names products page report brief resume dry quiet
    seconds_between_lines limits overwrite read_limits timeout verify_weights dask dask_files split_pixels part
    """
    not_the_labels = set(words.split())
    depends = request(class_=2, tiled=True).what_labels_depend_on
    assert (depends["class_"], depends["tiled"]) == (2, True)
    assert set(depends) | not_the_labels == {field.name for field in fields(Request)}
    assert not set(depends) & not_the_labels


def test_how_overlays_look_matters_where_there_are_some():
    def style(**options):
        return request(style=OverlayStyle(width=5), **options).what_labels_depend_on["style"]

    assert style() == style(products=("rois",)) == OverlayStyle() != style(products=("overlay",))
