"""A result: the cells that are wanted, and what is measured of them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inference.limits import Limits
from inference.outputs.filters import CellFilter
from inference.outputs.overlay import OverlayStyle, draw_overlay
from inference.outputs.result import Result
from inference.reading import Picture


def result_of(labels, folder, **options):
    probabilities = np.linspace(0.5, 0.9, labels.max(), dtype=np.float32)
    picture = Picture(np.full(labels.shape, 7, np.uint8), "YX (gray)", pixel_size=(0.5, 0.5))
    segmentation = SimpleNamespace(
        labels=labels,
        stored=None,
        rows=iter(np.array_split(labels, 3)),
        plan=SimpleNamespace(),
        summary=SimpleNamespace(probabilities=probabilities),
    )
    return Result(Path("a.tif"), picture, segmentation, folder, **options)


@pytest.mark.parametrize("in_memory", [10**6, 0])
def test_only_wanted_cells_are_left_and_keep_what_is_known_of_them(hard_labels, tmp_path, in_memory):
    pytest.importorskip("shapely")
    wanted = CellFilter(min_area=10, max_area=30, exclude_border=True)  # of the areas 20, 1, 40, 9, 18, 15, 34, 34, 31
    with result_of(hard_labels, tmp_path, limits=Limits(labels_in_memory=in_memory), wanted=wanted) as result:
        kept = [cell for cell in range(2, 10) if 10 <= np.count_nonzero(hard_labels == cell) <= 30]
        assert kept
        assert result.found == 9
        assert result.labels.cells == len(kept)
        assert [np.unique(hard_labels[result.labels.array() == n]).tolist() for n in range(1, 1 + len(kept))] == [
            [n] for n in kept
        ]
        assert result.table["area"].tolist() == [np.count_nonzero(hard_labels == cell) for cell in kept]
        np.testing.assert_allclose(result.table["probability"], [0.5 + 0.05 * (cell - 1) for cell in kept], rtol=1e-6)
        assert np.array_equal(result.table["area_um2"], result.table["area"] / 4)
        assert len(result.polygons) == len(kept)
        assert result.overlay.shape == (24, 30, 3)
    assert list(tmp_path.iterdir()) == []


def test_without_a_filter_all_cells_are_there(hard_labels, tmp_path):
    with result_of(hard_labels, tmp_path, limits=Limits(labels_in_memory=0)) as result:
        assert np.array_equal(result.labels.array(), hard_labels)
        assert len(result.table["label"]) == 9


def test_a_plane_of_a_stack_numbers_its_cells_on(hard_labels, tmp_path):
    """In the table and in the overlay's numbers."""
    numbers = OverlayStyle(numbers=True)
    with result_of(hard_labels, tmp_path, limits=Limits(), style=numbers, cells_before=20) as result:
        assert result.table["label"].tolist() == list(range(21, 30))
        drawn = draw_overlay(result.shown, np.where(hard_labels > 0, hard_labels + 20, 0), numbers)
        assert np.array_equal(result.overlay, drawn)
        assert not np.array_equal(result.overlay, draw_overlay(result.shown, hard_labels, numbers))


def test_rows_that_break_off_leave_no_file_open(hard_labels, tmp_path):
    def broken():
        yield hard_labels[:5]
        raise MemoryError

    segmentation = SimpleNamespace(stored=None, rows=broken(), plan=None)
    with pytest.raises(MemoryError):
        Result(Path("a.tif"), Picture(hard_labels, "YX"), segmentation, tmp_path, Limits(labels_in_memory=0))
    assert list(tmp_path.iterdir()) == []
