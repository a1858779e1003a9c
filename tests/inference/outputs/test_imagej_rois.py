"""ROIs, drawn again by ImageJ."""

import zipfile

import numpy as np
import pytest

from inference.outputs.extents import Extents
from inference.outputs.imagej_rois import write_imagej_rois
from inference.outputs.label_rows import LabelRows
from inference.outputs.polygons import stored_polygons
from inference.outputs.refusal import OutputRefused

roifile = pytest.importorskip("roifile")


def written(labels, path, *stack):
    rows = LabelRows.of(labels)
    with stored_polygons(rows, Extents.measure(rows), path.parent) as polygons:
        write_imagej_rois(path, polygons, labels.shape, *stack)
    return path


@pytest.mark.parametrize("offset", [(0, 0), (3, 40_000)])
def test_imagej_paints_the_same_labels(hard_labels, tmp_path, imagej, print_pixels, offset):
    """Through the ROI manager; also where coordinates do not fit into 15 bits."""
    labels = np.pad(hard_labels, ((offset[0], 0), (offset[1], 0)))
    path = written(labels, tmp_path / "rois.zip")
    height, width = labels.shape
    printed = imagej(
        f'newImage("a", "16-bit black", {width}, {height}, 1); roiManager("open", "{path}");'
        "for (n = 0; n < roiManager('count'); n++) {"
        "roiManager('select', n); setColor(parseInt(Roi.getName)); fill(); }"
        + print_pixels(height=height, width=width, left=offset[1])
    )
    assert np.array_equal([line.split() for line in printed], labels[:, offset[1] :].astype(str))


def test_names_and_boxes(hard_labels, tmp_path):
    rois = roifile.roiread(written(hard_labels, tmp_path / "rois.zip"))
    assert [roi.name for roi in rois] == list("123456789")
    assert zipfile.ZipFile(tmp_path / "rois.zip").namelist()[0] == "1.roi"
    for roi, box in zip(rois, Extents.measure(LabelRows.of(hard_labels)).box[1:], strict=True):
        found = np.array([roi.top, roi.left, roi.bottom, roi.right])
        assert np.abs(found - box).max() <= 1  # roifile adds a pixel to the boxes of polygons


def test_numbers_go_on_from_the_planes_before(hard_labels, tmp_path):
    rois = roifile.roiread(written(hard_labels, tmp_path / "rois.zip", {"Z": 1}, 95))
    assert [roi.name for roi in rois] == ["096", "097", "098", "099", "100", "101", "102", "103", "104"]


@pytest.mark.parametrize(
    "dimensions, place, shown", [("1, 4, 1", {"Z": 2}, "3 1"), ("1, 3, 5", {"T": 4, "Z": 2}, "3 5")]
)
def test_imagej_shows_the_plane_of_a_roi(hard_labels, tmp_path, imagej, dimensions, place, shown):
    path = written(hard_labels, tmp_path / "rois.zip", place)
    printed = imagej(
        f'newImage("a", "16-bit grayscale-mode", 30, 24, {dimensions}); roiManager("open", "{path}");'
        "for (n = 0; n < roiManager('count'); n++) {"
        "roiManager('select', n); Stack.getPosition(c, z, t); print(z, t); }"
    )
    assert printed == [shown] * 9


def test_an_image_too_large_for_rois_is_refused(tmp_path):
    rows = LabelRows.of(np.ones((1, 3), np.int32))
    with stored_polygons(rows, Extents.measure(rows), tmp_path) as polygons:
        with pytest.raises(OutputRefused, match="60535 pixels.*70000x100.*GeoJSON"):
            write_imagej_rois(tmp_path / "rois.zip", polygons, (100, 70_000))
    assert list(tmp_path.iterdir()) == []


def test_no_cells(tmp_path):
    assert zipfile.ZipFile(written(np.zeros((4, 4), np.int32), tmp_path / "rois.zip")).namelist() == []
