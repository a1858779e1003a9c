"""Polygons: valid, with the area of the pixels, and the same in whatever bands the rows come."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
from skimage.measure import label as connected_parts

from inference.outputs.extents import Extents
from inference.outputs.label_rows import LabelRows
from inference.outputs.polygons import largest_ring, rings_of, stored_polygons


def traced(labels, folder, height=1000):
    rows = replace(LabelRows.of(labels), band_pixels=4 * height * labels.shape[1])
    with stored_polygons(rows, Extents.measure(rows), folder) as store:
        assert len(store) == rows.cells
        return np.concatenate([batch for _, batch in store])


def painted(outlines, shape):
    """Numbers of the cells whose polygons the centres of the pixels lie in."""
    y, x = np.indices(shape) + 0.5
    labels = np.zeros(shape, np.int32)
    for cell, polygon in enumerate(outlines, 1):
        labels[shapely.contains_xy(polygon, x, y)] = cell
    return labels


@pytest.mark.parametrize("height", [1000, 1, 3])
def test_hard_cells(hard_labels, tmp_path, height):
    found = traced(hard_labels, tmp_path, height)
    assert shapely.is_valid(found).all()
    assert np.array_equal(shapely.area(found), np.bincount(hard_labels.ravel())[1:])
    assert np.array_equal(painted(found, hard_labels.shape), hard_labels)
    assert [shapely.get_num_geometries(cell) for cell in found] == [1, 1, 1, 1, 2, 2, 1, 1, 2]
    assert [len(rings_of(cell)) for cell in found] == [1, 1, 2, 1, 2, 2, 3, 2, 2]


@pytest.mark.parametrize("seed", range(6))
def test_noise(seed, tmp_path):
    labels = np.random.default_rng(seed).integers(0, 2 + seed % 3, (25, 31)).astype(np.int32)
    whole = traced(labels, tmp_path)
    assert shapely.is_valid(whole).all()
    assert np.array_equal(shapely.area(whole), np.bincount(labels.ravel())[1:])
    assert np.array_equal(painted(whole, labels.shape), labels)
    for cell, polygon in enumerate(whole, 1):
        assert shapely.get_num_geometries(polygon) == connected_parts(labels == cell, connectivity=1).max()
    for height in (1, 4):
        assert shapely.equals_identical(whole, traced(labels, tmp_path, height)).all()


def test_corners_alone_are_kept(tmp_path):
    labels = np.zeros((5, 6), np.int32)
    labels[1:4, 2:6] = 1
    (cell,) = traced(labels, tmp_path, 1)
    assert rings_of(cell)[0].tolist() == [[2, 1], [6, 1], [6, 4], [2, 4]]


def test_more_cells_than_a_batch(many_cells, tmp_path):
    labels, _ = many_cells
    found = traced(labels, tmp_path)
    assert len(found) == 90_000
    assert (shapely.area(found) == 9).all()
    assert rings_of(found[301])[0].tolist() == [[4, 4], [7, 4], [7, 7], [4, 7]]


def test_the_largest_ring(hard_labels, tmp_path):
    labels = hard_labels.copy()
    labels[20, 26:29] = 0  # of cell 6 the lower piece
    assert largest_ring(traced(labels, tmp_path)[5]).tolist() == [[26, 1], [29, 1], [29, 3], [26, 3]]


def test_no_cells(tmp_path):
    rows = LabelRows.of(np.zeros((4, 5), np.int32))
    with stored_polygons(rows, Extents.measure(rows), tmp_path) as store:
        assert len(store) == 0
        assert list(store) == []
