"""Outlines for ImageJ's ROI manager: a zip with a ROI for each cell."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from inference.outputs.polygons import PolygonStore, rings_of
from inference.outputs.refusal import OutputRefused
from inference.outputs.whole_file import whole_file

LARGEST = 60_535  # pixels; ImageJ's ROIs count no farther
MOVE, LINE, CLOSE = 0.0, 1.0, 4.0  # steps of a path, as java.awt.geom.PathIterator


def write_imagej_rois(
    path: Path,
    polygons: PolygonStore,
    shape: tuple[int, int],
    place: Mapping[str, int] | None = None,
    cells_before: int = 0,
) -> None:
    """Write one ROI a cell, named by its number: a traced outline, or a composite where a cell has holes or pieces.

    Parameters
    ----------
    place : in a stack, see `inference.reading.Image.place`
    cells_before : in the planes before, from which the cells are numbered on

    Raises
    ------
    OutputRefused
        If the image is larger than `LARGEST` pixels.
    """
    import roifile  # late: optional

    def rois() -> Iterator:
        for numbers, batch in polygons:
            for number, polygon in zip((numbers + cells_before).tolist(), batch):
                roi = _roi(f"{number:0{digits}}", rings_of(polygon))
                for name, value in position.items():
                    setattr(roi, name, value)
                yield roi

    if max(shape) > LARGEST:
        raise OutputRefused(
            f"ImageJ's ROIs end at {LARGEST} pixels, and this image has {shape[1]}x{shape[0]}; use the GeoJSON"
        )
    digits = len(str(cells_before + len(polygons)))
    position = {f"{axis.lower()}_position": entry + 1 for axis, entry in (place or {}).items()}
    if len(position) == 1:  # ImageJ has a single number for it, whatever the axis is
        position = {"position": next(iter(position.values()))}
    with whole_file(path) as partial:
        roifile.roiwrite(partial, rois(), mode="w")


def _roi(name: str, rings: list[np.ndarray]):
    from roifile import ROI_TYPE, ImagejRoi

    if len(rings) == 1:
        roi = ImagejRoi.frompoints(rings[0], name=name)
        roi.roitype = ROI_TYPE.TRACED
        return roi
    steps: list[float] = []
    for ring in rings:
        for n, (x, y) in enumerate(ring.tolist()):
            steps += [LINE if n else MOVE, x, y]
        steps.append(CLOSE)
    corners = np.concatenate(rings)
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    roi = ImagejRoi(roitype=ROI_TYPE.RECT, name=name, left=left, top=top, right=right, bottom=bottom)
    roi.multi_coordinates = np.array(steps, np.float32)
    roi.shape_roi_size = len(steps)
    return roi
