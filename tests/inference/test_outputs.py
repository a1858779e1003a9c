"""Label files: names, types, compression, whole or not at all."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from inference.outputs import draw_outlines, label_names, whole_file, write_labels, write_overlay, write_report


@pytest.mark.parametrize("names, expected", [
    (["a.png", "b.tif"], ["a", "b"]),
    (["a.b.png", "a.c.png"], ["a", "a.c"]),
    (["a.ome.tif", "a.tif"], ["a", "a.tif"]),
    (["a.png", "a.tif"], ["a", "a.tif"]),
    (["cell_00001.tiff"], ["cell_00001"]),
    (["no suffix"], ["no suffix"]),
])
def test_label_names(names, expected):
    found = label_names([Path(n) for n in names])
    assert list(found.values()) == expected and len(set(found.values())) == len(names)


@pytest.mark.parametrize("cells, dtype", [(0, np.uint16), (65_535, np.uint16), (65_536, np.uint32)])
def test_dtype_and_round_trip(tmp_path, cells, dtype):
    labels = np.zeros((300, 300), np.int32)
    labels.ravel()[:cells] = np.arange(1, cells + 1)
    write_labels(tmp_path / "a_label.tiff", labels, cells, ((2.0, 4.0), 3))
    with tifffile.TiffFile(tmp_path / "a_label.tiff") as tiff:
        page = tiff.pages[0]
        assert page.dtype == dtype and page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.tags["XResolution"].value == (4, 1) and page.tags["YResolution"].value == (2, 1) and len(tiff.pages) == 1
        assert np.array_equal(tiff.asarray(), labels)
    assert [p.name for p in tmp_path.iterdir()] == ["a_label.tiff"]


def test_other_programs_read_the_labels(tmp_path):
    labels = np.arange(12, dtype=np.int32).reshape(3, 4)
    write_labels(tmp_path / "a.tiff", labels, 11)
    assert np.array_equal(cv2.imread(str(tmp_path / "a.tiff"), cv2.IMREAD_UNCHANGED), labels)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), whole_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_outlines_lie_on_the_border_pixels_of_both_neighbours(tmp_path):
    labels = np.zeros((7, 9), np.int32)
    labels[1:6, 1:5], labels[1:6, 5:8] = 1, 2
    image = np.full((7, 9), 50, np.uint8)
    marked = (draw_outlines(image, labels) == (255, 255, 0)).all(axis=2)
    assert marked[1, 1:8].all() and marked[3, [1, 4, 5, 7]].all() and not marked[3, [2, 3, 6]].any() and not marked[labels == 0].any()
    write_overlay(tmp_path / "a.png", image, labels)
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], draw_outlines(image, labels))


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_report(tmp_path, suffix):
    rows = [{"image": "a.png", "cells": 3}, {"image": "b.png", "status": "failed: x"}]
    path = tmp_path / f"r.{suffix}"
    write_report(path, rows)
    read = json.loads(path.read_text()) if suffix == "json" else list(csv.DictReader(path.open()))
    assert read[0]["image"] == "a.png" and int(read[0]["cells"]) == 3 and read[1]["status"] == "failed: x"
