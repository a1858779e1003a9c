"""Label TIFFs: the number of its cell at each pixel, 0 for the background. ImageJ, Bio-Formats and tifffile open them."""

import math
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inference.limits import LIMITS, Limits
from inference.outputs.output import Writer
from inference.outputs.whole_file import whole_file
from inference.reading import Picture

if TYPE_CHECKING:
    from inference.segmenter import Segmentation, Summary

LABEL_SUFFIX = "_label.tiff"
ZLIB_LEVEL = 1  # of 9: level 6 makes label images a fifth smaller and takes several times as long
BIG_TIFF_BYTES = 2**32 - 2**25  # classic TIFF's limit, less room for its tables
TILE = 512  # pixels, of label files that are written in tiles

Resolution = tuple[tuple[float, float], int] | None  # as `Picture.resolution`


class LabelTiff:
    """NAME_label.tiff, the output that is always written."""

    suffix = LABEL_SUFFIX

    def __init__(self, limits: Limits = LIMITS):
        self.limits = limits

    def begin(self, path: Path, picture: Picture, segmentation: "Segmentation") -> Writer:
        small = picture.shape[0] * picture.shape[1] <= self.limits.labels_in_memory
        return (WholeLabels if small else LabelTiles)(path, picture.shape, picture.resolution)


class WholeLabels:
    """Labels that are held in memory until the last row; see `write_labels`."""

    def __init__(self, path: Path, shape: tuple[int, int], resolution: Resolution):
        self._path, self._resolution = path, resolution
        self._labels, self._rows = np.empty(shape, np.int32), 0

    def add(self, rows: np.ndarray) -> None:
        self._labels[self._rows : self._rows + len(rows)] = rows
        self._rows += len(rows)

    def finish(self, summary: "Summary") -> None:
        write_labels(self._path, self._labels, summary.cells, self._resolution)


class LabelTiles:
    """Labels that are too large to be held in memory: a file in tiles, which programs that view large images want.

    The rows are kept compressed in an unnamed file beside `path` until the last one tells how many cells there are.
    """

    def __init__(self, path: Path, shape: tuple[int, ...], resolution: Resolution, stack_axes: str = ""):
        self._path, self._shape, self._resolution, self._axes = path, shape, resolution, stack_axes
        self._store = tempfile.TemporaryFile(dir=path.parent)
        self._bands: list[tuple[int, tuple[int, ...]]] = []  # bytes and shape of each

    def add(self, rows: np.ndarray) -> None:
        packed = zlib.compress(np.ascontiguousarray(rows), ZLIB_LEVEL)
        self._store.write(packed)
        self._bands.append((len(packed), rows.shape))

    def finish(self, summary: "Summary") -> None:
        self.write(summary.cells)

    def write(self, cells: int) -> None:
        """Write the file; the rows hold the cells 1..cells."""
        dtype = _label_type(cells)
        options = {"metadata": {"axes": self._axes + "YX"}, "ome": True} if self._axes else {}
        with self._store:
            self._store.seek(0)
            bands = (np.frombuffer(zlib.decompress(self._store.read(size)), np.int32).reshape(shape) for size, shape in self._bands)
            tiles = (tile for page in _pages(bands, self._shape[-2]) for tile in cut_tiles(page, dtype))
            _write_tiff(self._path, tiles, self._shape, dtype, self._resolution, tile=(TILE, TILE), **options)


def _pages(bands: Iterator[np.ndarray], height: int) -> Iterator[Iterator[np.ndarray]]:
    """The bands of each page in turn; none goes from one page to the next."""
    def page(band: np.ndarray) -> Iterator[np.ndarray]:
        rows = len(band)
        yield band
        while rows < height:
            band = next(bands)
            rows += len(band)
            yield band

    for band in bands:
        yield page(band)


def write_labels(path: Path, labels: np.ndarray, cells: int, resolution: Resolution = None) -> None:
    """Write a label TIFF.

    Parameters
    ----------
    labels : (H, W) integer, 0 is background, cells are 1..cells
    resolution : pixels per unit in (y, x) and the TIFF code of the unit, as `Picture.resolution`

    Notes
    -----
    uint16 up to 65,535 cells, uint32 above; zlib; BigTIFF when needed.
    """
    _write_tiff(path, labels.astype(_label_type(cells), copy=False), labels.shape, _label_type(cells), resolution)


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


def _write_tiff(path: Path, data: np.ndarray | Iterator[np.ndarray], shape: tuple[int, ...], dtype: type,
                resolution: Resolution, **options) -> None:
    import tifffile

    options = {"metadata": None} | options
    if resolution is not None:
        (y, x), unit = resolution
        options |= {"resolution": (x, y), "resolutionunit": unit}
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with whole_file(path) as partial:
        tifffile.imwrite(partial, data, shape=shape, dtype=dtype, photometric="minisblack", compression="zlib",
                         compressionargs={"level": ZLIB_LEVEL}, predictor=shape[-1] > 1,  # tifffile garbles a single column with one
                         bigtiff=size > BIG_TIFF_BYTES, **options)


def holds_labels(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a file is a whole label TIFF of these numbers of planes, height and width, as far as its tables tell."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[-1]  # of a file that is written in one go, the last one to be written
            end = max((offset + count for offset, count in zip(page.dataoffsets, page.databytecounts)), default=0)
            fits = (len(tiff.pages), *page.shape) == (math.prod(shape[:-2]), *shape[-2:])
            return fits and page.dtype in (np.uint16, np.uint32) and end <= path.stat().st_size
    except Exception:  # tifffile raises many kinds for broken files
        return False
