"""GeoJSON, read by shapely and by GDAL."""

import json

import numpy as np
import pytest
import tifffile

from inference.outputs.cell_table import measure_cells
from inference.outputs.extents import Extents
from inference.outputs.geojson import write_geojson
from inference.outputs.label_rows import LabelRows
from inference.outputs.polygons import stored_polygons

shapely = pytest.importorskip("shapely")


@pytest.fixture
def written(hard_labels, tmp_path):
    return write(hard_labels, tmp_path / "a.geojson")


def write(labels, path, place=None):
    rows = LabelRows.of(labels)
    extents = Extents.measure(rows)
    table = measure_cells(rows, extents, np.ones(labels.shape, np.uint8), (), None, np.full(rows.cells, 0.75))
    with stored_polygons(rows, extents, path.parent) as polygons:
        write_geojson(path, polygons, table, place)
    return path


def test_features_are_detections_with_measurements(written, hard_labels):
    """As QuPath reads them: objectType, name, and measurements as a list of names and values."""
    collection = json.loads(written.read_text())
    assert collection["type"] == "FeatureCollection"
    assert len(collection["features"]) == 9
    for cell, feature in enumerate(collection["features"], 1):
        properties = feature["properties"]
        assert feature["type"] == "Feature"
        assert properties["objectType"] == "detection"
        assert properties["name"] == str(cell)
        measured = {entry["name"]: entry["value"] for entry in properties["measurements"]}
        assert measured["area"] == np.count_nonzero(hard_labels == cell)
        assert measured["probability"] == 0.75
        assert "label" not in measured
        assert "bbox-0" not in measured


def test_a_plane_of_a_stack_is_in_the_geometry(hard_labels, tmp_path):
    """As QuPath's own files have it; shapely takes no notice of it."""
    features = json.loads(write(hard_labels, tmp_path / "a.geojson", {"T": 4, "Z": 2}).read_text())["features"]
    assert all(feature["geometry"]["plane"] == {"c": -1, "z": 2, "t": 4} for feature in features)
    assert shapely.is_valid(shapely.from_geojson([json.dumps(feature["geometry"]) for feature in features])).all()


def test_an_image_of_one_plane_has_none_in_the_geometry(written):
    assert all("plane" not in feature["geometry"] for feature in json.loads(written.read_text())["features"])


def test_shapely_reads_valid_polygons_of_the_same_area(written, hard_labels):
    features = json.loads(written.read_text())["features"]
    read = shapely.from_geojson([json.dumps(feature["geometry"]) for feature in features])
    assert shapely.is_valid(read).all()
    assert np.array_equal(shapely.area(read), np.bincount(hard_labels.ravel())[1:])


def test_gdal_paints_the_same_labels(written, hard_labels, tmp_path, program):
    height, width = hard_labels.shape
    program(
        "gdal_rasterize",
        "-q",
        "-a",
        "name",
        "-ot",
        "UInt16",
        "-tr",
        1,
        1,
        "-te",
        0,
        0,
        width,
        height,
        written,
        tmp_path / "a.tif",
    )
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif")[::-1], hard_labels)  # GDAL's y runs upwards


def test_no_cells(tmp_path):
    assert json.loads(write(np.zeros((4, 4), np.int32), tmp_path / "a.geojson").read_text())["features"] == []
