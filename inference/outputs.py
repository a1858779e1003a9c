"""What a run leaves behind: label TIFFs, and on request outline pictures and a report. Files appear whole or not at all."""

import csv
import json
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from inference.normalisation import to_three_channels

LABEL_SUFFIX = "_label.tiff"
OVERLAY_SUFFIX = "_overlay.png"
ZLIB_LEVEL = 1  # of 9: level 6 makes label images a fifth smaller and takes several times as long
BIG_TIFF_BYTES = 2**32 - 2**25  # classic TIFF's limit, less room for its tables
TILE = 512  # pixels, of label files that are written in tiles
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
    _write_tiff(path, labels.astype(_label_type(cells), copy=False), labels.shape, _label_type(cells), resolution)


def write_label_rows(path: Path, rows: Iterable[np.ndarray], shape: tuple[int, int],
                     resolution: tuple[tuple[float, float], int] | None = None) -> None:
    """As `write_labels`, for labels that are too large to be held in memory: in tiles, which programs that view large images want.

    The rows are kept compressed in an unnamed file beside `path` until the last one tells how many cells there are.

    Parameters
    ----------
    rows : bands of label rows from top to bottom, int32 of shape (n, W): 0 is background, cells are 1, 2, 3, ...
    shape : height and width
    """
    with tempfile.TemporaryFile(dir=path.parent) as store:
        sizes, cells = [], 0
        for band in rows:
            packed = zlib.compress(np.ascontiguousarray(band), ZLIB_LEVEL)
            store.write(packed)
            sizes.append((len(packed), band.shape))
            cells = max(cells, int(band.max(initial=0)))
        store.seek(0)
        bands = (np.frombuffer(zlib.decompress(store.read(size)), np.int32).reshape(band) for size, band in sizes)
        _write_tiff(path, cut_tiles(bands, _label_type(cells)), shape, _label_type(cells), resolution, tile=(TILE, TILE))


def thin(rows: Iterable[np.ndarray], every: int, kept: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Hand on bands of rows; every n-th row and column is also put into `kept`."""
    first = 0  # row of the next band that is kept
    for band in rows:
        kept.append(band[first::every, ::every].copy())
        first = (first - len(band)) % every if len(band) > first else first - len(band)
        yield band


def _label_type(cells: int) -> type:
    return np.uint16 if cells <= np.iinfo(np.uint16).max else np.uint32


def cut_tiles(bands: Iterable[np.ndarray], dtype: type) -> Iterator[np.ndarray]:
    """Tiles of TILE x TILE pixels for `tifffile.imwrite`, row by row, those at the right and lower border smaller.

    Parameters
    ----------
    bands : rows of an image from top to bottom, (n, W) or (n, W, C) with any n
    """
    waiting = np.empty(0, dtype)
    for band in bands:
        waiting = np.concatenate([waiting.reshape(-1, *band.shape[1:]), band.astype(dtype)])
        whole = len(waiting) // TILE * TILE
        yield from _cut(waiting[:whole])
        waiting = waiting[whole:]
    yield from _cut(waiting)


def _cut(rows: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, rows.shape[0], TILE):
        for left in range(0, rows.shape[1], TILE):
            yield np.ascontiguousarray(rows[top : top + TILE, left : left + TILE])


def _write_tiff(path: Path, data: np.ndarray | Iterator[np.ndarray], shape: tuple[int, int], dtype: type,
                resolution: tuple[tuple[float, float], int] | None, **options) -> None:
    import tifffile

    if resolution is not None:
        (y, x), unit = resolution
        options |= {"resolution": (x, y), "resolutionunit": unit}
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    with whole_file(path) as partial:
        tifffile.imwrite(partial, data, shape=shape, dtype=dtype, photometric="minisblack", compression="zlib",
                         compressionargs={"level": ZLIB_LEVEL}, predictor=shape[1] > 1,  # tifffile garbles a single column with one
                         bigtiff=size > BIG_TIFF_BYTES, metadata=None, **options)


def holds_labels(path: Path, shape: tuple[int, int]) -> bool:
    """Whether a file is a whole label TIFF of these height and width, as far as its tables tell."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[0]
            end = max((offset + count for offset, count in zip(page.dataoffsets, page.databytecounts)), default=0)
            return page.shape == shape and page.dtype in (np.uint16, np.uint32) and end <= path.stat().st_size
    except Exception:  # tifffile raises many kinds for broken files
        return False


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
    """Write `draw_outlines` as a PNG file; labels of a few rows or columns more than the image are cut off."""
    height, width = image.shape[:2]
    ok, data = cv2.imencode(".png", cv2.cvtColor(draw_outlines(image, labels[:height, :width]), cv2.COLOR_RGB2BGR))
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
