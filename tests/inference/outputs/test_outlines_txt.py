"""Outlines as text, drawn again by ImageJ."""

import numpy as np
import pytest

from inference.outputs.extents import Extents
from inference.outputs.label_rows import LabelRows
from inference.outputs.outlines_txt import write_outlines_txt
from inference.outputs.polygons import stored_polygons

pytest.importorskip("shapely")


def written(labels, path):
    rows = LabelRows.of(labels)
    with stored_polygons(rows, Extents.measure(rows), path.parent) as polygons:
        write_outlines_txt(path, polygons)
    return path


def test_a_line_is_the_outline_of_a_cell(tmp_path):
    labels = np.zeros((6, 9), np.int32)
    labels[1:3, 2:5], labels[4, 7] = 1, 2
    assert written(labels, tmp_path / "a.txt").read_text() == "2,1,5,1,5,3,2,3\n7,4,8,4,8,5,7,5\n"


def test_imagej_paints_the_same_labels(blobs, tmp_path, imagej, print_pixels):
    """A polygon of the numbers of each line, as in Cellpose's own macro; these cells have no holes."""
    labels = np.unique(blobs(2, cells=6), return_inverse=True)[1].reshape(96, 128).astype(np.int32)
    path = written(labels, tmp_path / "a.txt")
    printed = imagej(
        f'newImage("a", "16-bit black", 128, 96, 1); lines = split(File.openAsString("{path}"), "\\n");'
        "for (n = 0; n < lines.length; n++) {"
        "v = split(lines[n], ','); x = newArray(v.length / 2); y = newArray(v.length / 2);"
        "for (i = 0; i < x.length; i++) { x[i] = parseInt(v[2 * i]); y[i] = parseInt(v[2 * i + 1]); }"
        "makeSelection('polygon', x, y); setColor(n + 1); fill(); }" + print_pixels(height=96, width=128, left=0)
    )
    assert np.array_equal([line.split() for line in printed], labels.astype(str))


def test_no_cells(tmp_path):
    assert written(np.zeros((4, 4), np.int32), tmp_path / "a.txt").read_text() == ""
