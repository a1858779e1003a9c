"""Labels that are stored as outlines: GeoJSON (QuPath), ImageJ's ROIs, COCO, labelme.

Outlines count as in these programs: the corner of the first pixel is (0, 0), and a pixel is a cell's if its centre
lies within the outline.
"""

import base64
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from training.readers.label_images import RawLabels
from training.readers.listing import draw

Ring = Sequence[Sequence[float]]  # corners (x, y)
Shape = tuple[int, int]
CIRCLE_CORNERS = 64


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


def _drawn(cells: Iterable[np.ndarray], shape: Shape) -> RawLabels:
    drawing = draw(cells, shape)
    return RawLabels(drawing.labels, overlap=drawing.overlap)


def read_json(path: Path) -> dict | list:
    """Content of a JSON file; raises ValueError naming it."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a JSON file ({error}); export the labels again") from None


def read_geojson(path: Path, shape: Shape) -> RawLabels:
    """QuPath's export: a FeatureCollection, a list of features or one feature; each polygon or multi-polygon is a cell.

    Raises
    ------
    ValueError
        If the file is none.
    """
    content = read_json(path)
    features = content.get("features", [content]) if isinstance(content, dict) else content
    cells = []
    for feature in features:
        try:
            kind, coordinates = feature["geometry"]["type"], feature["geometry"]["coordinates"]
        except (KeyError, TypeError):
            raise ValueError(f"{path}: not GeoJSON, a feature has no geometry; export the objects again") from None
        if kind in ("Polygon", "MultiPolygon"):
            polygons = [coordinates] if kind == "Polygon" else coordinates
            cells.append(pixels_inside([ring for polygon in polygons for ring in polygon], shape))
    return _drawn(cells, shape)


def read_imagej(path: Path, shape: Shape) -> RawLabels:
    """ROIs of ImageJ or Fiji: one `.roi`, or a zip of them as the ROI manager saves it. Points and lines are no cells.

    Raises
    ------
    ValueError
        If roifile cannot read it.
    """
    try:
        import roifile
    except ImportError:
        raise ValueError(f"{path}: ImageJ's ROIs need the package roifile; pip install roifile") from None
    areas = [getattr(roifile.ROI_TYPE, name) for name in ("POLYGON", "RECT", "OVAL", "FREEHAND", "TRACED")]
    try:
        found = roifile.roiread(path)
    except Exception as error:  # its errors are of many kinds
        raise ValueError(f"{path}: not a file of ImageJ's ROIs ({error}); save them again in the ROI manager") from None
    rois = found if isinstance(found, list) else [found]
    return _drawn((pixels_inside(r.coordinates(multi=True), shape) for r in rois if r.roitype in areas), shape)


def read_labelme(path: Path, shape: Shape) -> RawLabels:
    """labelme's JSON file of one image: polygons, rectangles, circles and masks; shapes of one group_id are one cell.

    Raises
    ------
    ValueError
        If the file is none, or was made for an image of another size.
    """
    content = read_json(path)
    if not isinstance(content, dict) or "shapes" not in content:
        raise ValueError(f"{path}: not a file of labelme's or COCO's; export the labels again")
    size = content.get("imageHeight"), content.get("imageWidth")
    if None not in size and size != shape:
        raise ValueError(f"{path}: made for an image of {size[0]}x{size[1]}, not {shape[0]}x{shape[1]}")
    cells: dict = {}
    for number, item in enumerate(content["shapes"]):
        pixels = _labelme_pixels(item, shape, path)
        if pixels is not None:
            key = number if item.get("group_id") is None else ("group", item["group_id"])
            cells[key] = np.union1d(cells[key], pixels) if key in cells else pixels
    return _drawn(cells.values(), shape)


def _labelme_pixels(item: dict, shape: Shape, path: Path) -> np.ndarray | None:
    kind, points = item.get("shape_type", "polygon"), np.asarray(item["points"], float).reshape(-1, 2)
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
    return None  # points and lines


class Coco:
    """A COCO file: the labels of all of its images.

    Raises
    ------
    ValueError
        If the file is none.
    """

    def __init__(self, path: Path):
        content = read_json(path)
        if not is_coco(content):
            raise ValueError(f"{path}: not a COCO file, which has images and annotations; export the labels again")
        self.path = path
        self._cells = defaultdict(list)
        for annotation in content["annotations"]:
            if annotation.get("segmentation"):
                self._cells[annotation["image_id"]].append(annotation["segmentation"])
        self._images = {Path(image["file_name"]).name: image for image in content["images"]}

    def __contains__(self, image: Path) -> bool:
        return image.name in self._images

    def read(self, image: Path, shape: Shape) -> RawLabels:
        """Labels of an image; raises ValueError if the file has it with another size."""
        entry = self._images[image.name]
        size = entry.get("height", shape[0]), entry.get("width", shape[1])
        if size != shape:
            raise ValueError(
                f"{self.path}: has {image.name} with {size[0]}x{size[1]} pixels, not {shape[0]}x{shape[1]}"
            )
        return _drawn((_coco_pixels(s, shape, self.path) for s in self._cells[entry["id"]]), shape)


def is_coco(content) -> bool:
    """Whether the content of a JSON file is that of COCO."""
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def _coco_pixels(segmentation, shape: Shape, path: Path) -> np.ndarray:
    if isinstance(segmentation, list):
        parts = [pixels_inside([np.reshape(ring, (-1, 2))], shape) for ring in segmentation]
        return np.unique(np.concatenate(parts))
    height, width = segmentation["size"]
    if (height, width) != shape:
        raise ValueError(f"{path}: a mask of {height}x{width} pixels for an image of {shape[0]}x{shape[1]}")
    counts = segmentation["counts"]
    runs = decode_counts(counts) if isinstance(counts, str) else np.asarray(counts, np.int64)
    if runs.min(initial=0) < 0 or runs.sum() != height * width:
        raise ValueError(f"{path}: a mask's counts do not add up to its {height}x{width} pixels; export it again")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    rows, columns = np.nonzero(inside.reshape(width, height).T)
    return rows * width + columns


def decode_counts(text: str) -> np.ndarray:
    """Run lengths of COCO's compressed text: 5 bits a character from the lowest on, a sixth says that more follow; from
    the fourth number on each is the difference to the last but one.

    Examples
    --------
    >>> decode_counts("62")
    array([6, 2])
    """
    numbers: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
            value = shift = 0
    return np.array(numbers, np.int64)
