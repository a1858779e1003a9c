"""training.readers.label_outlines: files as QuPath, ImageJ, COCO and labelme have them, and those of predict.py."""

import base64
import io
import json

import numpy as np
import pytest
import roifile
from PIL import Image

from inference.outputs.extents import Extents
from inference.outputs.geojson import write_geojson
from inference.outputs.imagej_rois import write_imagej_rois
from inference.outputs.label_rows import LabelRows
from inference.outputs.polygons import stored_polygons
from training.readers.label_outlines import (
    Coco,
    decode_counts,
    pixels_inside,
    read_geojson,
    read_imagej,
    read_labelme,
)

SHAPE = 6, 8
SQUARE = [[1, 2], [4, 2], [4, 5], [1, 5]]  # (x, y): rows 2 to 4, columns 1 to 3


def filled(*boxes):
    """Labels with boxes (top, bottom, left, right), numbered from 1."""
    labels = np.zeros(SHAPE, int)
    for number, (top, bottom, left, right) in enumerate(boxes, start=1):
        labels[top:bottom, left:right] = number
    return labels.tolist()


def save(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_pixel_is_inside_if_its_centre_is():
    assert pixels_inside([SQUARE], SHAPE).tolist() == [8 * y + x for y in (2, 3, 4) for x in (1, 2, 3)]
    assert pixels_inside([[[0.6, 0.6], [1.4, 0.6], [1.4, 1.4], [0.6, 1.4]]], SHAPE).size == 0


def test_a_ring_in_a_ring_is_a_hole():
    assert 8 * 3 + 2 not in pixels_inside([SQUARE, [[2, 3], [3, 3], [3, 4], [2, 4]]], SHAPE)


def test_outlines_beyond_the_image_are_cut():
    assert pixels_inside([[[-3, -3], [2, -3], [2, 1], [-3, 1]]], SHAPE).tolist() == [0, 1]


def test_qupath_as_its_documentation_shows_it(tmp_path):
    """Objects of an export: detections, a multi-polygon annotation, a point, which is no cell."""
    features = [
        {
            "type": "Feature",
            "id": "b2d4c1e0-0000-4000-8000-000000000001",
            "geometry": {"type": "Polygon", "coordinates": [[*SQUARE, SQUARE[0]]]},
            "properties": {"objectType": "detection", "classification": {"name": "Tumor", "color": [200, 0, 0]}},
        },
        {
            "type": "Feature",
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [
                    [[[5, 0], [6, 0], [6, 1], [5, 1], [5, 0]]],
                    [[[7, 0], [8, 0], [8, 1], [7, 1], [7, 0]]],
                ],
            },
            "properties": {"objectType": "annotation"},
        },
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [2, 2]}, "properties": {}},
    ]
    expected = np.array(filled((2, 5, 1, 4)))
    expected[0, [5, 7]] = 2
    for content in ({"type": "FeatureCollection", "features": features}, features):
        assert read_geojson(save(tmp_path / "a.geojson", content), SHAPE).labels.tolist() == expected.tolist()


@pytest.mark.parametrize("content", [{"shapes": []}, [3]])
def test_a_json_file_of_another_kind_is_named(tmp_path, content):
    with pytest.raises(ValueError, match=r"a\.geojson: not GeoJSON"):
        read_geojson(save(tmp_path / "a.geojson", content), SHAPE)


def test_a_damaged_json_file_is_named(tmp_path):
    (tmp_path / "a.geojson").write_text("{")
    with pytest.raises(ValueError, match=r"a\.geojson: not a JSON file"):
        read_geojson(tmp_path / "a.geojson", SHAPE)


def test_imagejs_zip_of_the_roi_manager(tmp_path):
    """A polygon, a rectangle, an oval, and a line, which is no cell."""
    polygon = roifile.ImagejRoi.frompoints(np.array(SQUARE), name="1")
    box = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.RECT, left=5, top=0, right=7, bottom=2, name="2")
    oval = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.OVAL, left=4, top=2, right=8, bottom=6, name="3")
    line = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.LINE, x1=0, y1=0, x2=7, y2=5, name="4")
    roifile.roiwrite(tmp_path / "a.zip", [polygon, box, oval, line])
    labels = read_imagej(tmp_path / "a.zip", SHAPE).labels
    assert (labels == 1).tolist() == (np.array(filled((2, 5, 1, 4))) == 1).tolist()
    assert (labels == 2).tolist() == (np.array(filled((0, 2, 5, 7))) == 1).tolist()
    assert 8 <= (labels == 3).sum() <= 14  # pi * 2**2 = 12.6
    assert labels.max() == 3


def test_one_roi_alone(tmp_path):
    roifile.ImagejRoi.frompoints(np.array(SQUARE)).tofile(tmp_path / "a.roi")
    assert read_imagej(tmp_path / "a.roi", SHAPE).labels.tolist() == filled((2, 5, 1, 4))


def test_a_zip_of_something_else_is_named(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match=r"a\.zip: not a file of ImageJ's ROIs"):
        read_imagej(tmp_path / "a.zip", SHAPE)


def test_the_outlines_of_predict_come_back(tmp_path, blobs):
    labels = blobs(3)
    numbers = np.unique(labels)
    labels = np.searchsorted(numbers, labels).astype(np.int32)
    rows = LabelRows.of(labels)
    with stored_polygons(rows, Extents.measure(rows), tmp_path) as polygons:
        write_geojson(tmp_path / "a.geojson", polygons, {"area": np.ones(labels.max())})
        write_imagej_rois(tmp_path / "a.zip", polygons, labels.shape)
    assert (read_geojson(tmp_path / "a.geojson", labels.shape).labels == labels).all()
    assert (read_imagej(tmp_path / "a.zip", labels.shape).labels == labels).all()


def labelme(shapes, **more):
    return {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "a.tif", "imageData": None, **more}


def test_labelmes_shapes(tmp_path):
    mask = io.BytesIO()
    Image.fromarray(np.array([[0, 255], [255, 255]], np.uint8)).save(mask, "PNG")
    shapes = [
        {"label": "cell", "points": SQUARE, "group_id": None, "shape_type": "polygon", "flags": {}, "mask": None},
        {"label": "cell", "points": [[7, 2], [5, 0]], "group_id": None, "shape_type": "rectangle"},
        {
            "label": "cell",
            "points": [[5, 3], [6, 4]],
            "shape_type": "mask",
            "mask": base64.b64encode(mask.getvalue()).decode(),
        },
        {"label": "cell", "points": [[0, 0]], "shape_type": "point"},
        {"label": "cell", "points": [[6, 5], [6, 5.9]], "shape_type": "circle"},
    ]
    expected = np.array(filled((2, 5, 1, 4), (0, 2, 5, 7)))
    expected[3, 6] = expected[4, 5] = expected[4, 6] = 3
    expected[5, 5:7] = 4
    path = save(tmp_path / "a.json", labelme(shapes, imageHeight=6, imageWidth=8))
    assert read_labelme(path, SHAPE).labels.tolist() == expected.tolist()


def test_labelmes_shapes_of_one_group_are_one_cell(tmp_path):
    shapes = [
        {"points": [[x, 0], [x + 1, 0], [x + 1, 1], [x, 1]], "group_id": group, "shape_type": "polygon"}
        for x, group in ((0, 1), (2, 1), (4, 2))
    ]
    labels = read_labelme(save(tmp_path / "a.json", labelme(shapes)), SHAPE).labels
    assert labels[0].tolist() == [1, 0, 1, 0, 2, 0, 0, 0]


def test_labelme_of_another_image_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"a\.json: made for an image of 9x8, not 6x8"):
        read_labelme(save(tmp_path / "a.json", labelme([], imageHeight=9, imageWidth=8)), SHAPE)


def coco(tmp_path, *segmentations, **image):
    content = {
        "images": [{"id": 5, "file_name": "raw/a.tif", "width": 8, "height": 6, **image}, {"id": 6, "file_name": "b"}],
        "annotations": [
            {"id": n, "image_id": 5, "category_id": 1, "segmentation": s, "iscrowd": 0}
            for n, s in enumerate(segmentations)
        ],
        "categories": [{"id": 1, "name": "cell"}],
    }
    return Coco(save(tmp_path / "annotations.json", content))


def test_cocos_polygons_and_runs(tmp_path):
    """Runs go down the columns: 6 off, 2 on is the top of the second column."""
    file = coco(
        tmp_path,
        [[1, 2, 4, 2, 4, 5, 1, 5]],
        {"size": [6, 8], "counts": [6, 2, 40]},
        {"size": [6, 8], "counts": "T12:"},
    )
    expected = np.array(filled((2, 5, 1, 4)))
    expected[:2, 1] = 2
    expected[0:2, 6] = 3
    assert file.read(tmp_path / "a.tif", SHAPE).labels.tolist() == expected.tolist()


def test_compressed_runs_count_from_the_last_but_one():
    """36 takes two characters; the fourth number of the second text is 6 - 3."""
    assert decode_counts("T12:").tolist() == [36, 2, 10]
    assert decode_counts("567M").tolist() == [5, 6, 7, 3]


def test_runs_of_another_size_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"annotations\.json: a mask's counts do not add up"):
        coco(tmp_path, {"size": [6, 8], "counts": [6, 2]}).read(tmp_path / "a.tif", SHAPE)


def test_coco_knows_images_by_their_file_names(tmp_path):
    file = coco(tmp_path)
    assert tmp_path / "a.tif" in file
    assert tmp_path / "c.tif" not in file
    assert not file.read(tmp_path / "a.tif", SHAPE).labels.any()


def test_coco_of_another_image_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"annotations\.json: has a\.tif with 7x8 pixels, not 6x8"):
        coco(tmp_path, height=7).read(tmp_path / "a.tif", SHAPE)
