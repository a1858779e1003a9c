"""Labels that are stored as outlines, one file an image: GeoJSON (QuPath), ImageJ's ROIs, labelme.

Outlines count as in these programs: the corner of the first pixel is (0, 0), and a pixel is a cell's if its centre
lies within the outline.
"""

import base64
import io
import json
import logging
import math
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from training.readers.label_images import RawLabels
from training.readers.listing import draw

log = logging.getLogger(__name__)

T = TypeVar("T")
Ring = Sequence[Sequence[float]]  # corners (x, y)
Shape = tuple[int, int]
CIRCLE_CORNERS = 64
PATH_OBJECT = re.compile("Path(Annotation|Detection|Cell|Tile)Object")  # ids in its older files
CELLS = ("detection", "cell")  # QuPath's kinds of objects that are cells wherever there are some...
DRAWN = "annotation"  # drawn by hand
REGIONS = (DRAWN, "tile", "tmaCore", "root")  # ...and those that then may be regions
LARGEST_REPLACED = 2.0  # times as large as the detection below it, an annotation may be the same cell
LARGEST_DRAWN = 4.0  # times as large as a detection typically is, an annotation may be a cell
NO_CELLS = "*"  # at the end of a class of QuPath's that is no kind of cell: Region*, Ignore*
GEOJSON_LINES = ("Point", "MultiPoint", "LineString", "MultiLineString")
LABELME_LINES = ("point", "points", "line", "linestrip")


def pixels_inside(rings: Iterable[Ring], shape: Shape) -> np.ndarray:
    """Row-major indices of the pixels within an odd number of rings, so that a ring in a ring is a hole."""
    from skimage.draw import polygon

    inside: np.ndarray = np.zeros(0, np.int64)
    for ring in rings:
        corners = np.asarray(ring, float).reshape(-1, np.shape(ring)[-1] if len(ring) else 2)[:, :2] - 0.5
        if len(corners) > 2:
            # A little less, so that a centre on an edge that two cells share counts for one of them.
            rows, columns = polygon(corners[:, 1] - 1e-6, corners[:, 0] - 1e-6, shape)
            inside = np.setxor1d(inside, rows * shape[1] + columns)
    return inside


def read_shapes(items: Iterable, read: Callable[..., T | None], path: Path) -> list[T]:
    """What `read` makes of each item of a file; None is no cell.

    Raises ValueError naming the file and the item that `read` cannot make sense of.
    """
    found = []
    for number, item in enumerate(items, start=1):
        try:
            found.append(read(item))
        except (AttributeError, KeyError, IndexError, OSError, RuntimeError, TypeError, ValueError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:200]
            raise ValueError(f"{path}: shape {number} cannot be read ({reason}); export the labels again") from None
    return [cell for cell in found if cell is not None]


def draw_cells(cells: Sequence[np.ndarray], shape: Shape, path: Path) -> RawLabels:
    """Labels of cells that were read from a file; raises ValueError naming it if there are cells, but none is seen."""
    drawing = draw(cells, shape)
    if len(cells) and not drawing.labels.any():
        raise ValueError(
            f"{path}: its {len(cells)} outlines lie outside the image of {shape[0]}x{shape[1]}; export them in pixels "
            "of this image"
        )
    return RawLabels(drawing.labels, overlap=drawing.overlap, hidden=drawing.hidden)


def read_json(path: Path) -> dict | list:
    """Content of a JSON file; raises ValueError naming it."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a JSON file ({error}); export the labels again") from None


def read_geojson(path: Path, shape: Shape) -> RawLabels:
    """QuPath's export: a FeatureCollection, a list of features or one feature; each polygon or multi-polygon is a cell.

    Where there are detections or cells, tiles are regions, not cells, and so are annotations around several of them or
    far larger ones; an annotation of the size of a cell is one that somebody has drawn, and a detection below it is
    replaced by it. Objects of Region*, Ignore* and other classes with such an end are regions, too.

    Raises ValueError if the file is none, or all that it outlines lies outside the image.
    """
    content = read_json(path)
    if not is_geojson(content):
        raise ValueError(f"{path}: not GeoJSON, a feature has no geometry; export the objects again")
    features = content.get("features", [content]) if isinstance(content, dict) else content
    regions = [_class_of(f).endswith(NO_CELLS) for f in features]
    if any(regions):
        log.info("%s: %d objects of classes such as Region* and Ignore* are no cells", path, sum(regions))
        features = [f for f, region in zip(features, regions) if not region]
    kinds = [_kind_of(f) for f in features]
    if any(kind in CELLS for kind in kinds):
        cells = _without_regions(features, kinds)
        if len(cells) < len(features):
            log.info(
                "%s: %d objects are no cells: regions beside detections, or detections below what was drawn",
                path,
                len(features) - len(cells),
            )
        features = cells
    return draw_cells(read_shapes(features, lambda f: _geojson_pixels(f["geometry"], shape), path), shape, path)


def _without_regions(features: Sequence[dict], kinds: Sequence[str | None]) -> list[dict]:
    """The cells of objects of QuPath's, among which there are detections: those that were drawn come last."""
    found = [f for f, kind in zip(features, kinds) if kind not in REGIONS]
    rings = [_outer_ring(f) for f in found]
    centres = {n: tuple(ring.mean(axis=0).tolist()) for n, ring in enumerate(rings) if ring is not None}
    typical = float(np.median([cv2.contourArea(ring) for ring in rings if ring is not None] or [0.0]))
    drawn, replaced = [], set()
    for annotation in (f for f, kind in zip(features, kinds) if kind == DRAWN):
        ring = _outer_ring(annotation)
        if ring is None or cv2.contourArea(ring) > LARGEST_DRAWN * typical:
            continue
        below = [n for n, centre in centres.items() if cv2.pointPolygonTest(ring, centre, False) >= 0]
        around = any(cv2.contourArea(ring) > LARGEST_REPLACED * cv2.contourArea(rings[n]) for n in below)
        if len(below) <= 1 and not around:
            drawn.append(annotation)
            replaced |= set(below)
    return [f for n, f in enumerate(found) if n not in replaced] + drawn


def _outer_ring(feature: dict) -> np.ndarray | None:
    """Corners (n, 2) float32 of an object's largest outline; None if it has none that can be understood."""
    try:
        geometry = feature["geometry"]
        polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        rings = [np.asarray(polygon[0], np.float32)[:, :2] for polygon in polygons]
        return max(rings, key=cv2.contourArea)
    except (TypeError, KeyError, IndexError, ValueError, cv2.error):
        return None


def _properties(feature: dict) -> dict:
    properties = feature.get("properties")
    return properties if isinstance(properties, dict) else {}


def _kind_of(feature: dict) -> str | None:
    """Such as "annotation" or "detection"; older versions call it otherwise, or have it in the object's id alone."""
    properties = _properties(feature)
    named = PATH_OBJECT.fullmatch(str(feature.get("id")))
    return properties.get("objectType") or properties.get("object_type") or (named and named[1].lower())


def _class_of(feature: dict) -> str:
    """Name of an object's class, "" without one; older versions call it otherwise."""
    class_ = _properties(feature).get("classification")
    name = class_.get("name") or (class_.get("names") or [""])[-1] if isinstance(class_, dict) else class_
    return name if isinstance(name, str) else ""


def is_geojson(content) -> bool:
    """Whether the content of a JSON file is that of GeoJSON with features."""
    features = content.get("features", [content]) if isinstance(content, dict) else content
    return isinstance(features, list) and all(isinstance(f, dict) and "geometry" in f for f in features)


def _geojson_pixels(geometry: dict | None, shape: Shape) -> np.ndarray | None:
    if geometry is None or geometry["type"] in GEOJSON_LINES:
        return None
    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"{geometry['type']} is no polygon")
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return pixels_inside([ring for polygon in polygons for ring in polygon], shape)


def read_imagej(path: Path, shape: Shape) -> RawLabels:
    """ROIs of ImageJ or Fiji: one `.roi`, or a zip of them as the ROI manager saves it. Points and lines are no cells.

    Raises ValueError if roifile cannot read it, it holds no area, or they are of several planes of a stack.
    """
    try:
        import roifile
    except ImportError:
        raise ValueError(f"{path}: ImageJ's ROIs need the package roifile; pip install roifile") from None
    areas = [getattr(roifile.ROI_TYPE, name) for name in ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")]
    try:
        rois = [roifile.ImagejRoi.frombytes(data) for data in _roi_data(path)]
    except Exception as error:  # its errors are of many kinds
        raise ValueError(f"{path}: not a file of ImageJ's ROIs ({error}); save them again in the ROI manager") from None
    rois = [roi for roi in rois if roi.roitype in areas]
    if not rois:
        raise ValueError(
            f"{path}: no ROI in it is an area; save them again in the ROI manager, or an empty label image if there is "
            "no cell"
        )
    planes = {_plane(roi) for roi in rois} - {(0, 0)}
    if len(planes) > 1:
        raise ValueError(
            f"{path}: ROIs of {len(planes)} planes of a stack; save those of this image alone, or first take their "
            "planes away in the ROI manager (More, Remove Positions) if all are of this image"
        )
    return draw_cells(
        read_shapes(rois, lambda roi: pixels_inside(roi.coordinates(multi=True), shape), path), shape, path
    )


def _plane(roi) -> tuple[int, int]:
    """Slice and frame that a ROI is of, whatever the channel; (0, 0) if it is of none. A stack without channels or
    frames has a number alone.
    """
    several = roi.c_position or roi.z_position or roi.t_position
    return (roi.z_position, roi.t_position) if several else (roi.position, 0)


def _roi_data(path: Path) -> list[bytes]:
    """Of each ROI of a file; a Mac's zip has copies of another kind in __MACOSX."""
    if path.suffix.lower() != ".zip":
        return [path.read_bytes()]
    with zipfile.ZipFile(path) as file:
        names = [n for n in file.namelist() if n.lower().endswith(".roi") and not n.startswith("__MACOSX/")]
        return [file.read(name) for name in names]


def read_labelme(path: Path, shape: Shape) -> RawLabels:
    """labelme's JSON file of one image: polygons, rectangles, circles and masks; shapes of one group_id are one cell.

    Raises ValueError if the file is none, has shapes of another kind, or was made for an image of another size.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise ValueError(f"{path}: not a file of labelme's or COCO's; export the labels again")
    size = content.get("imageHeight"), content.get("imageWidth")
    if None not in size and size != shape:
        raise ValueError(f"{path}: made for an image of {size[0]}x{size[1]}, not {shape[0]}x{shape[1]}")
    cells: dict = {}
    for group, pixels in read_shapes(content["shapes"], lambda item: _labelme_cell(item, shape), path):
        key = len(cells) if group is None else ("group", group)
        cells[key] = np.union1d(cells[key], pixels) if key in cells else pixels
    return draw_cells(list(cells.values()), shape, path)


def _labelme_cell(item: dict, shape: Shape) -> tuple[int | None, np.ndarray] | None:
    """Group and pixels."""
    kind = item.get("shape_type", "polygon")
    return None if kind in LABELME_LINES else (item.get("group_id"), _labelme_pixels(item, kind, shape))


def _labelme_pixels(item: dict, kind: str, shape: Shape) -> np.ndarray:
    points = np.asarray(item["points"], float).reshape(-1, 2)
    if kind == "polygon":
        return pixels_inside([points], shape)
    if kind == "rectangle":
        (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return pixels_inside([[(left, top), (right, top), (right, bottom), (left, bottom)]], shape)
    if kind == "circle":
        angles = np.linspace(0, 2 * math.pi, CIRCLE_CORNERS, endpoint=False)
        radius = math.dist(points[0], points[1])
        return pixels_inside([points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)], shape)
    if kind == "mask":
        from PIL import Image

        with Image.open(io.BytesIO(base64.b64decode(item["mask"]))) as image:
            mask = np.asarray(image).astype(bool)
        left, top = np.rint(points[0]).astype(int)
        rows, columns = np.nonzero(mask)
        rows, columns = rows + top, columns + left
        kept = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
        return np.unique(rows[kept] * shape[1] + columns[kept])
    raise ValueError(f"a shape_type of {kind} is not known; draw it as a polygon")
