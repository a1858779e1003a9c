"""training.readers.label_outlines: files as QuPath, ImageJ and labelme have them, and those of predict.py."""

import base64
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
from label_files import SHAPE, filled, save
from PIL import Image

from inference.outputs.extents import Extents
from inference.outputs.geojson import write_geojson
from inference.outputs.imagej_rois import write_imagej_rois
from inference.outputs.label_rows import LabelRows
from inference.outputs.polygons import stored_polygons
from training.readers.label_outlines import (
    pixels_inside,
    read_geojson,
    read_imagej,
    read_labelme,
    read_shapes,
)

SQUARE = [[1, 2], [4, 2], [4, 5], [1, 5]]  # (x, y): rows 2 to 4, columns 1 to 3


def test_a_pixel_is_inside_if_its_centre_is():
    assert pixels_inside([SQUARE], SHAPE).tolist() == [8 * y + x for y in (2, 3, 4) for x in (1, 2, 3)]
    assert pixels_inside([[[0.6, 0.6], [1.4, 0.6], [1.4, 1.4], [0.6, 1.4]]], SHAPE).size == 0


def test_a_ring_in_a_ring_is_a_hole():
    assert 8 * 3 + 2 not in pixels_inside([SQUARE, [[2, 3], [3, 3], [3, 4], [2, 4]]], SHAPE)


def test_outlines_beyond_the_image_are_cut():
    assert pixels_inside([[[-3, -3], [2, -3], [2, 1], [-3, 1]]], SHAPE).tolist() == [0, 1]


def test_qupath_as_its_documentation_shows_it(tmp_path):
    """Objects of an export: annotations, one of several polygons, and a point, which is no cell."""
    features = [
        {
            "type": "Feature",
            "id": "b2d4c1e0-0000-4000-8000-000000000001",
            "geometry": {"type": "Polygon", "coordinates": [[*SQUARE, SQUARE[0]]]},
            "properties": {"objectType": "annotation", "classification": {"name": "Tumor", "color": [200, 0, 0]}},
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


def test_a_shape_that_its_library_cannot_read_is_named():
    """As roifile says of curves in a composite."""

    def read(item):
        raise NotImplementedError("PathIterator command 3 not supported")

    with pytest.raises(ValueError, match=r"a\.zip: shape 1 cannot be read \(PathIterator"):
        read_shapes([1], read, Path("a.zip"))


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
        table = {"label": np.arange(1, labels.max() + 1), "area": np.ones(labels.max())}
        write_geojson(tmp_path / "a.geojson", polygons, table)
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


FAR = [[[5000, 5000], [5050, 5000], [5050, 5050]]]


def feature(corners, kind="detection"):
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": corners},
        "properties": {"objectType": kind},
    }


def test_outlines_that_all_lie_outside_are_named(tmp_path):
    path = save(tmp_path / "a.geojson", [feature(FAR), feature(FAR)])
    with pytest.raises(ValueError, match=r"a\.geojson: its 2 outlines lie outside the image of 6x8"):
        read_geojson(path, SHAPE)


def test_one_outline_outside_is_counted(tmp_path):
    raw = read_geojson(save(tmp_path / "a.geojson", [feature(FAR), feature([SQUARE])]), SHAPE)
    assert (raw.labels.max(), raw.hidden) == (1, 1)


def test_an_export_without_objects_is_an_image_without_cells(tmp_path):
    assert not read_geojson(save(tmp_path / "a.geojson", []), SHAPE).labels.any()


def test_a_region_around_detections_is_no_cell(tmp_path):
    region = feature([[[0, 0], [8, 0], [8, 6], [0, 6]]], "annotation")
    core = region | {"properties": {"objectType": "tmaCore"}}
    for others in ([feature([SQUARE])], [feature([SQUARE], "cell"), core]):
        labels = read_geojson(save(tmp_path / "a.geojson", [region, *others]), SHAPE).labels
        assert labels.tolist() == filled((2, 5, 1, 4))
    assert read_geojson(save(tmp_path / "a.geojson", [region]), SHAPE).labels.all()


@pytest.mark.parametrize(
    "old",
    [
        lambda feature, kind: feature | {"properties": {"object_type": kind}},
        lambda feature, kind: feature | {"properties": {}, "id": f"Path{kind.title()}Object"},
    ],
)
def test_a_region_of_an_older_qupath_is_no_cell(tmp_path, old):
    region = old(feature([[[0, 0], [8, 0], [8, 6], [0, 6]]]), "annotation")
    labels = read_geojson(save(tmp_path / "a.geojson", [old(feature([SQUARE]), "detection"), region]), SHAPE).labels
    assert labels.tolist() == filled((2, 5, 1, 4))


def test_cells_that_were_drawn_beside_detections_are_cells(tmp_path):
    """In place of the detection below one; the region around several is none."""

    def box(top, bottom, left, right, kind):
        return feature([[[left, top], [right, top], [right, bottom], [left, bottom]]], kind)

    detections = [box(0, 3, 0, 3, "detection"), box(3, 6, 0, 3, "detection")]
    drawn = [box(0, 3, 5, 8, "annotation"), box(3, 6, 1, 4, "annotation")]
    regions = [box(0, 6, 0, 4, "annotation"), box(0, 3, 0, 3, "tile"), box(0, 5, 0, 4, "annotation")]
    labels = read_geojson(save(tmp_path / "a.geojson", [*regions, *detections, *drawn]), SHAPE).labels
    assert labels.tolist() == filled((0, 3, 0, 3), (0, 3, 5, 8), (3, 6, 1, 4))


@pytest.mark.parametrize("class_", [{"name": "Ignore*"}, {"names": ["Other", "Region*"]}, "Ignore*"])
@pytest.mark.parametrize("kind", ["annotation", "detection"])
def test_an_object_of_a_class_that_qupath_ignores_is_no_cell(tmp_path, caplog, class_, kind):
    caplog.set_level("INFO")
    region = feature([[[0, 0], [8, 0], [8, 6], [0, 6]]], kind)
    region["properties"]["classification"] = class_
    cell = feature([SQUARE], kind)
    cell["properties"]["classification"] = {"name": "Tumor"}
    assert read_geojson(save(tmp_path / "a.geojson", [region, cell]), SHAPE).labels.tolist() == filled((2, 5, 1, 4))
    assert "a.geojson: 1 objects of classes such as Region* and Ignore* are no cells" in caplog.text


def test_an_object_without_geometry_is_no_cell(tmp_path):
    nothing = {"type": "Feature", "geometry": None, "properties": None}
    labels = read_geojson(save(tmp_path / "a.geojson", [nothing, feature([SQUARE])]), SHAPE).labels
    assert labels.tolist() == filled((2, 5, 1, 4))


def test_a_shape_that_cannot_be_read_is_named_by_its_number(tmp_path):
    for corners in ("x", [["a"]], None, [3]):
        with pytest.raises(ValueError, match=r"a\.geojson: shape 2 cannot be read \(.+\); export the labels again"):
            read_geojson(save(tmp_path / "a.geojson", [feature([SQUARE]), feature(corners)]), SHAPE)


@pytest.mark.parametrize(
    "shape",
    [
        {"shape_type": "mask", "points": [[1, 1]], "mask": None},
        {"shape_type": "polygon"},
        {"shape_type": "circle", "points": [[1, 1]]},
        {"shape_type": "rotation", "points": SQUARE},
        "polygon",
    ],
)
def test_a_shape_of_labelme_that_cannot_be_read(tmp_path, shape):
    with pytest.raises(ValueError, match=r"a\.json: shape 1 cannot be read"):
        read_labelme(save(tmp_path / "a.json", labelme([shape])), SHAPE)


def test_labelmes_points_and_lines_are_no_cells(tmp_path):
    shapes = [{"shape_type": kind, "points": [[1, 1]]} for kind in ("point", "points", "line", "linestrip")]
    assert not read_labelme(save(tmp_path / "a.json", labelme(shapes)), SHAPE).labels.any()


def test_a_zip_that_a_mac_made(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("RoiSet/", b"")
        file.writestr("RoiSet/1.roi", roifile.ImagejRoi.frompoints(np.array(SQUARE)).tobytes())
        file.writestr("__MACOSX/RoiSet/._1.roi", b"nothing")
    assert read_imagej(tmp_path / "a.zip", SHAPE).labels.tolist() == filled((2, 5, 1, 4))


def square(**position):
    roi = roifile.ImagejRoi.frompoints(np.array(SQUARE))
    for name, value in position.items():
        setattr(roi, name, value)
    return roi


@pytest.mark.parametrize("name", ["position", "z_position", "t_position"])
def test_rois_of_several_planes_of_a_stack_are_named(tmp_path, name):
    roifile.roiwrite(tmp_path / "a.zip", [square(name="1", **{name: 1}), square(name="2", **{name: 2})])
    with pytest.raises(ValueError, match=r"a\.zip: ROIs of 2 planes of a stack; .*Remove Positions"):
        read_imagej(tmp_path / "a.zip", SHAPE)


def test_rois_of_one_plane_and_drawn_on_several_channels(tmp_path):
    rois = [square(name=str(n), position=n, c_position=n, z_position=3, t_position=1) for n in (1, 2)] + [
        square(name="3")
    ]
    roifile.roiwrite(tmp_path / "a.zip", rois)
    assert read_imagej(tmp_path / "a.zip", SHAPE).hidden == 2


def test_a_zip_without_an_area_is_named(tmp_path):
    zipfile.ZipFile(tmp_path / "a.zip", "w").close()
    with pytest.raises(ValueError, match=r"a\.zip: no ROI in it is an area"):
        read_imagej(tmp_path / "a.zip", SHAPE)
