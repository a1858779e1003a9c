"""The table of cells as CSV."""

import csv

import numpy as np
import pytest
from skimage.measure import regionprops_table

from inference.outputs.cell_table import measure_cells, write_cell_table
from inference.outputs.extents import Extents
from inference.outputs.label_rows import LabelRows
from inference.outputs.pixel_size import PixelSize


def measured(labels, *arguments):
    rows = LabelRows.of(labels)
    return measure_cells(rows, Extents.measure(rows), np.ones(labels.shape, np.uint8), *arguments)


def test_the_file_holds_what_regionprops_finds(hard_labels, tmp_path):
    write_cell_table(tmp_path / "a.csv", measured(hard_labels, (), None, np.linspace(0.5, 1, 9)))
    with open(tmp_path / "a.csv", newline="") as file:
        names, *lines = csv.reader(file)
    columns = dict(zip(names, zip(*lines)))
    assert columns["label"] == tuple("123456789")
    assert columns["probability"][-1] == "1"
    wanted = regionprops_table(
        hard_labels, hard_labels * 0 + 1, properties=("label", "area", "bbox", "perimeter", "intensity_mean")
    )
    for name, values in wanted.items():
        np.testing.assert_allclose([float(text) for text in columns[name]], values, rtol=1e-5, err_msg=name)
    assert columns["touches_border"] == tuple("100000000")
    assert "." not in "".join(columns["area"])


def test_micrometres():
    table = measured(np.pad(np.ones((4, 6), np.int32), 2), (), PixelSize(0.5, 0.5))
    assert table["area_um2"].tolist() == [6]
    assert table["centroid_um-0"] == 1.75
    assert table["centroid_um-1"] == 2.25
    for name in ("perimeter", "axis_major_length", "axis_minor_length", "equivalent_diameter_area"):
        assert table[f"{name}_um"] == table[name] / 2


def test_pixels_that_are_not_square_have_areas_but_no_lengths():
    table = measured(np.pad(np.ones((4, 6), np.int32), 2), (), PixelSize(1.0, 0.5))
    assert table["area_um2"].tolist() == [12]
    assert table["centroid_um-0"] == 3.5
    assert "perimeter_um" not in table


def test_no_micrometres_without_a_pixel_size():
    assert not any("um" in name for name in measured(np.ones((2, 2), np.int32)))


def test_channel_names_are_no_formulas(tmp_path):
    rows = LabelRows.of(np.ones((2, 2), np.int32))
    table = measure_cells(rows, Extents.measure(rows), np.ones((2, 2), np.uint8), ("DAPI",))
    write_cell_table(tmp_path / "a.csv", {"=1+1": table["area"], "intensity_mean-DAPI": table["intensity_mean-DAPI"]})
    assert (tmp_path / "a.csv").read_text().splitlines() == ["'=1+1,intensity_mean-DAPI", "4,1"]


def test_no_cells(tmp_path):
    write_cell_table(tmp_path / "a.csv", measured(np.zeros((3, 3), np.int32)))
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    "value, text", [(1 / 3, "0.333333"), (123456789.0, "123456789"), (-0.5, "-0.5"), (float("nan"), "nan")]
)
def test_numbers(tmp_path, value, text):
    write_cell_table(tmp_path / "a.csv", {"x": np.array([value])})
    assert (tmp_path / "a.csv").read_text() == f"x\n{text}\n"


def test_names_that_are_no_text(tmp_path):
    """As a file's metadata may call a channel."""
    write_cell_table(tmp_path / "a.csv", {"=1\ud800\x1b\n": np.ones(2)})
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines() == ["'=1\\ud800\\x1b\\n", "1", "1"]
