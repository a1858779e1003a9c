"""Cellpose's file, read as Cellpose reads it."""

from pathlib import Path

import numpy as np
import pytest
from skimage.segmentation import find_boundaries

from inference.outputs.cellpose_seg import write_cellpose_seg
from inference.outputs.label_rows import LabelRows
from inference.outputs.refusal import OutputRefused


def read(path):
    return np.load(path, allow_pickle=True).item()


def test_masks_and_outlines(hard_labels, tmp_path):
    write_cellpose_seg(tmp_path / "a_seg.npy", LabelRows.of(hard_labels), Path("images/a.tif"), 7.5)
    found = read(tmp_path / "a_seg.npy")
    assert np.array_equal(found["masks"], hard_labels)
    assert found["masks"].dtype == np.uint16
    border = find_boundaries(np.pad(hard_labels, 1), connectivity=1, mode="inner")[1:-1, 1:-1]
    assert np.array_equal(found["outlines"], hard_labels * border)
    assert found["filename"] == "images/a.tif"
    assert found["diameter"] == 7.5
    assert found["ismanual"].shape == (9,)


def test_outlines_across_bands(blobs, tmp_path):
    labels = blobs(1)
    write_cellpose_seg(tmp_path / "whole.npy", LabelRows.of(labels), Path("a"), 1.0)
    write_cellpose_seg(tmp_path / "bands.npy", LabelRows.of(labels), Path("a"), 1.0, band_rows=7)
    assert np.array_equal(read(tmp_path / "whole.npy")["outlines"], read(tmp_path / "bands.npy")["outlines"])


def test_many_cells_need_32_bits(many_cells, tmp_path):
    write_cellpose_seg(tmp_path / "a.npy", LabelRows.of(many_cells[0]), Path("a"), 3.0)
    assert read(tmp_path / "a.npy")["masks"].dtype == np.uint32
    assert np.array_equal(read(tmp_path / "a.npy")["masks"], many_cells[0])


def test_a_slide_is_refused(tmp_path):
    with pytest.raises(OutputRefused, match="40000x30000 pixels.*label TIFF"):
        write_cellpose_seg(tmp_path / "a.npy", LabelRows((30_000, 40_000), 0, lambda: iter([])), Path("a"), 1.0)
    assert list(tmp_path.iterdir()) == []
