"""Cells that are kept."""

import numpy as np
import pytest

from inference.outputs.extents import Extents
from inference.outputs.filters import CellFilter, new_numbers
from inference.outputs.label_rows import LabelRows

# Areas 3, 2, 4, 1; the first one at the border.
LABELS = np.array(
    [
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 0, 2, 0],
        [0, 3, 3, 0, 2, 0],
        [0, 3, 3, 0, 0, 0],
        [0, 0, 0, 4, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ],
    np.int32,
)


@pytest.mark.parametrize(
    "settings, kept",
    [
        (CellFilter(), [1, 2, 3, 4]),
        (CellFilter(min_area=2), [1, 2, 3]),
        (CellFilter(max_area=3), [1, 2, 4]),
        (CellFilter(min_area=2, max_area=3), [1, 2]),
        (CellFilter(exclude_border=True), [2, 3, 4]),
        (CellFilter(min_area=5), []),
    ],
)
def test_kept_cells_are_numbered_in_their_order(settings, kept):
    rows = LabelRows.of(LABELS)
    numbers = new_numbers(settings.keeps(Extents.measure(rows)))
    filtered = rows.renumbered(numbers).array()
    assert [np.unique(LABELS[filtered == n]).tolist() for n in range(1, len(kept) + 1)] == [[n] for n in kept]
    assert filtered.max() == len(kept)


def test_extents_of_those_that_are_kept():
    rows = LabelRows.of(LABELS)
    extents = Extents.measure(rows)
    kept = CellFilter(min_area=3).keeps(extents)
    again = Extents.measure(rows.renumbered(new_numbers(kept)))
    chosen = extents.chosen(kept)
    assert np.array_equal(chosen.area[1:], again.area[1:])
    assert np.array_equal(chosen.box[1:], again.box[1:])


def test_a_number_without_pixels_is_not_kept():
    rows = LabelRows.of(np.array([[1, 3]], np.int32))
    assert new_numbers(CellFilter().keeps(Extents.measure(rows))).tolist() == [0, 1, 0, 2]


def test_whether_there_is_anything_to_filter():
    assert not CellFilter()
    assert CellFilter(min_area=1)
    assert CellFilter(exclude_border=True)
