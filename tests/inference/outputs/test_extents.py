"""Boxes and areas of cells."""

import numpy as np
import pytest
from skimage.measure import regionprops_table

from inference.outputs.extents import Extents
from inference.outputs.label_rows import LabelRows


@pytest.mark.parametrize("height", [1, 3, 100])
def test_boxes_and_areas_are_those_of_regionprops(blobs, height):
    labels = blobs(1)
    cells = np.unique(labels)[1:]
    rows = LabelRows(
        labels.shape, int(labels.max()), lambda: (labels[top : top + height] for top in range(0, len(labels), height))
    )
    extents = Extents.measure(rows)
    wanted = regionprops_table(labels, properties=("area", "bbox"))
    assert np.array_equal(extents.area[cells], wanted["area"])
    assert np.array_equal(extents.box[cells].T, [wanted[f"bbox-{n}"] for n in range(4)])


def test_cells_at_the_border():
    labels = np.array([[0, 1, 0, 0], [2, 0, 3, 0], [0, 0, 0, 4], [0, 0, 0, 0], [0, 5, 0, 0]], np.int32)
    assert Extents.measure(LabelRows.of(labels)).touches_border()[1:].tolist() == [True, True, False, True, True]


def test_no_cells():
    extents = Extents.measure(LabelRows.of(np.zeros((3, 4), np.int32)))
    assert extents.area.tolist() == [0]
    assert extents.box.shape == (1, 4)
