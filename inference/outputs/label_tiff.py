"""Label TIFFs that every program opens: strips, deflate without a predictor, pixel size in two ways."""

import colorsys
import math
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from inference.outputs.label_rows import ZLIB_LEVEL, LabelRows
from inference.outputs.pixel_size import PixelSize
from inference.outputs.whole_file import whole_file
from inference.streams import escaped

LABEL_SUFFIX = "_label.tiff"
BIG_TIFF_BYTES = 2**32 - 2**25  # classic TIFF's limit, less room for its tables
STRIP_BYTES = 2**18  # uncompressed
TILE = 512  # pixels
COLOURS = 256  # of ImageJ's colour tables
COLOUR_MAP = 320  # tag; with 3 x 256 values ImageJ takes it for gray images too, and other programs pass it over


def label_type(cells: int) -> type:
    """uint16 up to 65,535 cells, uint32 above."""
    return np.uint16 if cells <= np.iinfo(np.uint16).max else np.uint32


def write_label_tiff(
    path: Path,
    planes: Sequence[LabelRows],
    pixel_size: PixelSize | None = None,
    *,
    stack: tuple[int, ...] = (),
    stack_axes: str = "",
    tiled: bool = False,
    colours: bool = False,
    image: str = "",
    channels: Sequence[str] = (),
    software: str = "multistream-cellseg",
    classic_bytes: int = BIG_TIFF_BYTES,
) -> None:
    """Write labels, a page for each plane, zlib-compressed, BigTIFF when needed.

    Parameters
    ----------
    planes : of one size, in the order of the stack
    stack, stack_axes : number of planes along each of these axes, such as (3, 5) and "TZ"; nothing for a single plane
    pixel_size : ImageJ takes it from the resolution, which is in pixels per centimetre, other programs from the OME-XML
    tiled : in tiles, which viewers of whole slides are quicker with; no ImageJ opens them
    colours : with a colour table of ImageJ, random and the same every time
    image : name of the image, and of the position in its file
    channels : names of the channels that were segmented
    software : the tag of this name, see `inference.running.provenance`
    classic_bytes : of labels; more need BigTIFF

    Notes
    -----
    ImageJ before 1.53v reads garbage from deflate with a predictor, and no ImageJ reads tiles.
    """
    import tifffile  # late: not before the first labels are there

    shape = height, width = planes[0].shape
    dtype = stored_type(max(labels.cells for labels in planes))
    metadata: dict[str, object] = {
        "axes": stack_axes + "YX",
        "UUID": str(uuid.uuid5(uuid.NAMESPACE_URL, escaped(path.name))),
    }
    options: dict[str, object] = {}
    if image:
        metadata["Name"] = image
    metadata["Channel"] = {"Name": ["labels of " + ", ".join(channels) if channels else "labels"]}
    if pixel_size is not None:
        for axis, size in (("X", pixel_size.x), ("Y", pixel_size.y)):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
        options |= {"resolution": (1e4 / pixel_size.x, 1e4 / pixel_size.y), "resolutionunit": "CENTIMETER"}
    if colours:
        table = colour_table(COLOURS).astype(np.uint16) * 257  # of 65,535
        options["extratags"] = [(COLOUR_MAP, "H", table.size, table.T.ravel().tolist(), True)]
    data: Iterator
    if tiled:
        data, options["tile"] = chain.from_iterable(cut_tiles(labels, dtype) for labels in planes), (TILE, TILE)
    else:
        rows = rows_of_strip(shape, dtype)
        data, options["rowsperstrip"] = _strips(planes, dtype, rows), rows
    big = len(planes) * height * width * dtype.itemsize > classic_bytes
    with whole_file(path) as partial, tifffile.TiffWriter(partial, bigtiff=big, byteorder="<", ome=True) as file:
        file.write(
            data,
            shape=(*stack, *shape),
            dtype=dtype,
            photometric="minisblack",
            compression="zlib",
            compressionargs={"level": ZLIB_LEVEL},
            software=software,
            metadata=metadata,
            **options,
        )


def _strips(planes: Sequence[LabelRows], dtype: np.dtype, rows: int) -> Iterator[bytes]:
    for labels in planes:
        if labels.strips and (labels.strips.dtype, labels.strips.rows) == (dtype, rows):
            yield from labels.strips.data
        else:
            for _, band in labels.regular(rows):
                yield compressed(band, dtype)


def compressed(rows: np.ndarray, dtype: np.dtype) -> bytes:
    """A strip."""
    return zlib.compress(np.ascontiguousarray(rows, dtype).data, ZLIB_LEVEL)


def rows_of_strip(shape: tuple[int, int], dtype: np.dtype) -> int:
    """Rows of each strip of a label image of a shape."""
    return min(shape[0], max(1, STRIP_BYTES // (shape[1] * dtype.itemsize)))


def stored_type(cells: int) -> np.dtype:
    """That of a label TIFF with so many cells: `label_type`, little-endian."""
    return np.dtype(label_type(cells)).newbyteorder("<")


def cut_tiles(bands: Iterable[np.ndarray], dtype: DTypeLike) -> Iterator[np.ndarray]:
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


def write_labels(path: Path, labels: np.ndarray, pixel_size: PixelSize | None = None) -> None:
    """As `write_label_tiff`, for a label image (H, W) that is in memory."""
    write_label_tiff(path, [LabelRows.of(labels)], pixel_size)


def colour_table(entries: int) -> np.ndarray:
    """Bright colours in random order, the same every time, and black for 0: (entries, 3) uint8, RGB."""
    random = np.random.default_rng(0)
    colours = [(0.0, 0.0, 0.0)]
    for hue in random.permutation(entries - 1) / max(1, entries - 1):
        colours.append(colorsys.hsv_to_rgb(hue, random.uniform(0.5, 1), random.uniform(0.7, 1)))
    return np.round(np.array(colours) * 255).astype(np.uint8)


def holds_labels(path: Path, shape: tuple[int, ...]) -> bool:
    """Whether a file is a whole label TIFF of these numbers of planes, height and width, as far as its tables tell."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages[-1]
            end = max((offset + count for offset, count in zip(page.dataoffsets, page.databytecounts)), default=0)
            whole = end <= path.stat().st_size and tiff.is_ome  # the description is the last thing in a file
            same_shape = (len(tiff.pages), *page.shape) == (math.prod(shape[:-2]), *shape[-2:])
            return same_shape and page.dtype in (np.uint16, np.uint32) and whole
    except Exception:  # tifffile raises many kinds for broken files
        return False


def count_cells(path: Path) -> int | None:
    """The largest number in a label TIFF, of which a strip or tile at a time is in memory; None where one of them is
    damaged.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            parts = (part for page in tiff.pages for part, *_ in page.segments() if part is not None)
            return max((int(part.max()) for part in parts), default=0)
    except Exception:  # of codecs, which raise many kinds
        return None
