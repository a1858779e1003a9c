"""Read a microscopy image of any common kind: whole, or region by region where it is too large for that."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

TIFF_SUFFIXES = (".tif", ".tiff", ".stk", ".lsm", ".btf", ".svs")
OPENCV_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
ZARR_SUFFIX = ".zarr"  # of a folder
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, *OPENCV_SUFFIXES, ZARR_SUFFIX)

WHOLE_BYTES = 2**28  # decoded; a larger TIFF or Zarr is read region by region
CHUNK_BYTES = 2**28  # decoded; a TIFF with a larger strip or tile cannot be, and is read whole


class ImageError(ValueError):
    """A file that cannot be segmented. The message names the file and the remedy."""


@dataclass(frozen=True)
class Regions:
    """An image in a store with any order of axes, as an array of shape (H, W) or (H, W, C) that is read region by region.

    store : numpy or Zarr array, or anything else with shape, dtype and slicing
    y, x : axes of the store
    channel : axis of the store, or None
    channels : number of channels used, 0 for a gray image without that axis; of further axes the first entry is taken
    palette : (entries, 3) colours of the stored numbers, or None
    inverted : 0 is white
    """

    store: object
    y: int
    x: int
    channel: int | None = None
    channels: int = 0
    palette: np.ndarray | None = None
    inverted: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        colours = 3 if self.palette is not None else self.channels
        return (self.store.shape[self.y], self.store.shape[self.x], *((colours,) if colours else ()))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        dtype = np.dtype(self.store.dtype if self.palette is None else self.palette.dtype).newbyteorder("=")
        return np.dtype(np.uint8) if dtype.kind == "b" else dtype

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        """The region [rows, columns] as a new array of shape (h, w) or (h, w, C)."""
        place: list[int | slice] = [0] * len(self.store.shape)
        place[self.y], place[self.x] = region
        order = [self.y, self.x]
        if self.channels:
            place[self.channel] = slice(self.channels)
            order.append(self.channel)
        block = np.asarray(self.store[tuple(place)])
        block = np.moveaxis(block, [sorted(order).index(axis) for axis in order], range(len(order)))
        if self.palette is not None:
            block = self.palette[block]
        if self.inverted and block.dtype.kind == "u":  # two-level images carry this flag by habit
            block = np.iinfo(block.dtype).max - block
        return np.ascontiguousarray(block, self.dtype)


@dataclass(frozen=True)
class Picture:
    """An image as it was read.

    pixels : array of shape (H, W) or (H, W, C) with C of 2 or 3, of the file's dtype; `Regions` of that shape for a large file
    axes : how the file's axes were read, for the report, such as "YXS (RGB)"
    resolution : pixels per unit in (y, x) and the TIFF unit, carried over to the labels; None where the file has none
    """

    pixels: np.ndarray | Regions
    axes: str
    resolution: tuple[tuple[float, float], int] | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[:2]


def read_image(path: Path) -> Picture:
    """As `open_image`, but with all pixels in memory."""
    picture = open_image(path)
    if isinstance(picture.pixels, np.ndarray):
        return picture
    return replace(picture, pixels=picture.pixels[:, :])


def open_image(path: Path) -> Picture:
    """Open one image file; the kind is told from its first bytes, not from its name.

    TIFF (8, 16, 32-bit integer, float; gray, RGB, RGBA, a few channels; strips, tiles, pyramids, OME, ImageJ) goes through
    tifffile, a folder (OME-Zarr, or one Zarr array) through zarr, everything else (PNG, JPEG, BMP, WebP; gray, RGB, RGBA)
    through OpenCV. Of a pyramid the full resolution is taken. Alpha is dropped. JPEG's rotation flag is ignored: labels fit
    the stored pixels.

    Raises
    ------
    ImageError
        If the file is empty, damaged, not an image, or has more than one plane (z, time).
    """
    path = Path(path)
    if path.is_dir():
        picture = _open_zarr(path)
    else:
        try:
            with open(path, "rb") as file:
                start = file.read(4)
        except OSError as error:
            raise ImageError(f"{path.name}: cannot be opened ({error.strerror}); check that the file exists and may be read") from None
        if not start:
            raise ImageError(f"{path.name}: the file is empty; copy it again from its source")
        picture = _open_tiff(path) if start[:2] in (b"II", b"MM") else _read_with_opencv(path)
    pixels = picture.pixels
    if 0 in pixels.shape:
        raise ImageError(f"{path.name}: the image has no pixels (shape {pixels.shape}); export it again")
    if pixels.dtype.kind not in "uif":
        raise ImageError(f"{path.name}: pixels of type {pixels.dtype} are not supported; save it as 8 or 16-bit integers or as floats")
    return picture


def _read_with_opencv(path: Path) -> Picture:
    data = np.fromfile(path, np.uint8)  # cv2.imread prints its own warnings and cannot read every path
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path.name}: cannot be decoded ({error.err}); convert it to TIFF or PNG") from None
    if pixels is None:
        raise ImageError(f"{path.name}: not a readable TIFF, PNG, JPEG, BMP or WebP file (damaged or cut short?); "
                         "copy it again, or convert it to TIFF or PNG")
    if pixels.ndim == 2:
        return Picture(pixels, "YX (gray)")
    if pixels.shape[2] == 2:
        return Picture(pixels[:, :, 0], "YXS (gray and alpha, alpha dropped)")
    alpha = pixels.shape[2] == 4
    code = cv2.COLOR_BGRA2RGB if alpha else cv2.COLOR_BGR2RGB
    return Picture(cv2.cvtColor(pixels, code), "YXS (RGBA, alpha dropped)" if alpha else "YXS (RGB)")


def _open_tiff(path: Path) -> Picture:
    import tifffile  # late: only TIFF input needs it this early

    try:
        with tifffile.TiffFile(path) as tiff:
            if not tiff.series:
                raise ImageError(f"{path.name}: the TIFF holds no image; export it again")
            series = tiff.series[0]
            page = series.keyframe
            store = _tiff_store(path, series)
            regions, axes_read, warnings = _choose_channels(path, store, series.axes, bool(page.extrasamples))
            if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
                regions = replace(regions, palette=np.moveaxis(page.colormap, 0, -1))
            regions = replace(regions, inverted=page.photometric == tifffile.PHOTOMETRIC.MINISWHITE)
            if isinstance(store, np.ndarray):
                regions = regions[:, :]
            return Picture(regions, axes_read, _resolution(page), warnings)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # tifffile and its codecs raise many kinds for damaged files
        raise ImageError(f"{path.name}: damaged or unsupported TIFF ({error}); copy it again, or save it as an "
                         "uncompressed or zlib-compressed TIFF") from None


def _tiff_store(path: Path, series):
    """The pixels of a tifffile series: in memory, or for a large one a store that reads what is asked for."""
    if series.nbytes <= WHOLE_BYTES:
        return series.asarray()
    parts = (part for page in series.pages if page is not None for part in zip(page.dataoffsets, page.databytecounts))
    end, size = max((offset + count for offset, count in parts), default=0), path.stat().st_size
    if end > size:
        raise ImageError(f"{path.name}: the file is cut short ({size} bytes instead of {end}); copy it again from its source")
    if series.dataoffset is not None:
        return _MappedFile(path, series.dataoffset, series.shape, series.dtype.newbyteorder(series.keyframe.parent.byteorder))
    if np.prod(series.keyframe.chunks) * series.dtype.itemsize > CHUNK_BYTES:
        return series.asarray()
    import tifffile
    import zarr  # late: takes a second

    return _Chunks(path, zarr.open_array(tifffile.TiffFile(path).series[0].aszarr(level=0), mode="r"))  # open until the picture is gone


@dataclass(frozen=True)
class _Chunks:
    """A Zarr array whose file is named where a part of it cannot be read."""

    path: Path
    array: object

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def __getitem__(self, region: tuple) -> np.ndarray:
        try:
            return self.array[region]
        except MemoryError:
            raise
        except Exception as error:  # of the codecs, which raise many kinds
            raise ImageError(f"{self.path.name}: a part of the image is damaged ({error}); copy it again from its source") from None


@dataclass(frozen=True)
class _MappedFile:
    """Uncompressed pixels that lie in one piece in a file. Mapped anew for each region: pages once read would stay in memory."""

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype

    def __getitem__(self, region: tuple) -> np.ndarray:
        return np.array(np.memmap(self.path, self.dtype, "r", self.offset, self.shape)[region])


def _open_zarr(path: Path) -> Picture:
    import zarr

    try:
        node = zarr.open(path, mode="r")
        axes = None
        if isinstance(node, zarr.Group):  # OME-Zarr: the first data set is the one of full resolution
            attributes = dict(node.attrs)
            scales = attributes.get("ome", attributes)["multiscales"][0]
            axes = "".join(a["name"] if isinstance(a, dict) else a for a in scales.get("axes", ())).upper()
            node = node[scales["datasets"][0]["path"]]
        axes = axes or "TCZYX"[-node.ndim :]
        regions, axes_read, warnings = _choose_channels(path, _Chunks(path, node), axes, False)
        return Picture(regions if regions.nbytes > WHOLE_BYTES else regions[:, :], axes_read, None, warnings)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(f"{path.name}: not an OME-Zarr image or Zarr array ({error!r}); export it again, or save it as TIFF") from None


def _resolution(page) -> tuple[tuple[float, float], int] | None:
    """(pixels per unit in y and x, TIFF's code of the unit), or None."""
    tags = page.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    (xn, xd), (yn, yd) = tags["XResolution"].value, tags["YResolution"].value
    if 0 in (xn, xd, yn, yd):
        return None
    return (yn / yd, xn / xd), int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 1


def _choose_channels(path: Path, store, axes: str, alpha: bool) -> tuple[Regions, str, tuple[str, ...]]:
    """What of a store is the image, from its axes as tifffile names them; how they were read; warnings."""
    if "Y" not in axes or "X" not in axes:
        raise ImageError(f"{path.name}: axes {axes!r} have no height and width; save it as a plain 2-D image")
    y, x = axes.index("Y"), axes.index("X")
    others = [i for i, n in enumerate(store.shape) if n > 1 and i not in (y, x)]
    channel = next((i for i in others if axes[i] in "SC"), None)
    if channel is None and len(others) == 1 and axes[others[0]] not in "ZT" and store.shape[others[0]] <= 4:
        channel = others[0]  # an unnamed short axis holds channels
    planes = [i for i in others if i != channel]
    if planes:
        found = " x ".join(f"{store.shape[i]} {dict(Z='z planes', T='time points').get(axes[i], 'pages')}" for i in planes)
        raise ImageError(f"{path.name}: the file holds {found}; split it into one file a plane, or project it to one plane")
    if channel is None:
        return Regions(store, y, x), f"{axes} (gray)", ()
    count, named = store.shape[channel], axes
    if axes[channel] == "S" and alpha and count in (2, 4):
        count, named = count - 1, f"{axes}, alpha dropped"
    if count == 1:
        return Regions(store, y, x), f"{named} (gray)", ()
    if count > 3:
        return (Regions(store, y, x, channel, 3), f"{named} (first 3 of {count} channels)",
                (f"{path.name}: {count} channels, the first three are used",))
    return Regions(store, y, x, channel, count), f"{named} ({'RGB' if count == 3 else '2 channels'})", ()
