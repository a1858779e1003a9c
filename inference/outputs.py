"""What a run leaves behind: label TIFFs, and on request outline pictures and a report. Files appear whole or not at all."""

import csv
import json
import os
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from inference.images import to_three_channels

LABEL_SUFFIX = "_label.tiff"
OVERLAY_SUFFIX = "_overlay.png"
ZLIB_LEVEL = 1  # of 9: level 6 makes label images a fifth smaller and takes several times as long
BIG_TIFF_BYTES = 2**32 - 2**25  # classic TIFF's limit, less room for its tables
OUTLINE = (255, 255, 0)  # RGB; yellow stands out on fluorescence, phase contrast and most stains


def label_names(paths: list[Path]) -> dict[Path, str]:
    """Name of each image's label file, without its suffix: the image's name up to its first dot, as the challenge wants it.

    Where two images would share a name, the later one keeps its full stem, or its whole name if that is taken too.
    """
    names: dict[Path, str] = {}
    taken = set()
    for path in paths:
        short = path.name.split(".")[0] or path.stem
        name = next(n for n in (short, path.stem, path.name) if n not in taken)
        taken.add(name)
        names[path] = name
    return names


@contextmanager
def whole_file(path: Path):
    """A temporary path beside `path` that takes its place on success and disappears on failure."""
    partial = path.with_name(f".{path.name}.part")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_labels(path: Path, labels: np.ndarray, cells: int, resolution: tuple[tuple[float, float], int] | None = None) -> None:
    """Write a label TIFF that ImageJ, Bio-Formats and tifffile open.

    Parameters
    ----------
    labels : (H, W) integer, 0 is background, cells are 1..cells
    resolution : pixels per unit in (y, x) and the TIFF code of the unit, as `Picture.resolution`

    Notes
    -----
    uint16 up to 65,535 cells, uint32 above; zlib; BigTIFF when needed.
    """
    import tifffile

    labels = labels.astype(np.uint16 if cells <= np.iinfo(np.uint16).max else np.uint32)
    options = {}
    if resolution is not None:
        (y, x), unit = resolution
        options = {"resolution": (x, y), "resolutionunit": unit}
    with whole_file(path) as partial:
        tifffile.imwrite(partial, labels, photometric="minisblack", compression="zlib", compressionargs={"level": ZLIB_LEVEL},
                         predictor=True, bigtiff=labels.nbytes > BIG_TIFF_BYTES, metadata=None, **options)


def draw_outlines(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A picture of the image with the border pixels of each cell coloured.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, 3), normalised
    labels : (H, W) integer

    Returns
    -------
    uint8 array of shape (H, W, 3), RGB.
    """
    picture = to_three_channels(image).copy()
    values = labels.astype(np.float32) if labels.max() < 2**24 else labels.astype(np.float64)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    picture[(labels > 0) & (cv2.erode(values, cross) != values) | (labels > 0) & (cv2.dilate(values, cross) != values)] = OUTLINE
    return picture


def write_overlay(path: Path, image: np.ndarray, labels: np.ndarray) -> None:
    """Write `draw_outlines` as a PNG file."""
    ok, data = cv2.imencode(".png", cv2.cvtColor(draw_outlines(image, labels), cv2.COLOR_RGB2BGR))
    assert ok, "OpenCV encodes any uint8 RGB picture"
    with whole_file(path) as partial:
        data.tofile(partial)


def write_report(path: Path, rows: list[dict]) -> None:
    """One entry an image: JSON for a name that ends in .json, else CSV with a column for each key."""
    with whole_file(path) as partial:
        with open(partial, "w", newline="", encoding="utf-8") as file:
            if path.suffix.lower() == ".json":
                json.dump(rows, file, indent=1)
            else:
                columns = list(dict.fromkeys(key for row in rows for key in row))
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(rows)
