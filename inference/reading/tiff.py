"""TIFF and its relatives (OME, ImageJ, BigTIFF, pyramids, slide scanners), through tifffile."""

import math
import re
import weakref
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from pathlib import Path

import numpy as np
import tifffile
from tifffile import COMPRESSION, PHOTOMETRIC, PLANARCONFIG, TiffFile, TiffPageSeries

from inference.reading import colours, stores
from inference.reading.absent import absent_parts, absent_planes
from inference.reading.picture import LOST_PART, ImageError
from inference.reading.plausible import check_tables
from inference.reading.series import Series
from inference.reading.tiff_metadata import details

ALPHA = (1, 2)  # the ExtraSamples that are opacity; 0 is a channel like any other
# Names of a slide's further pictures; not those of macrophages and of what is unlabelled.
NOT_AN_IMAGE = re.compile(r"\b(thumbnail|label(?![- ]?free)|macro|overview|slide ?id)\b", re.IGNORECASE)
THUMBNAIL_SIDES = 0.55  # of both sides of the largest image; a smaller one is its thumbnail...
THUMBNAIL_SHAPE = 1.1  # ...if it is not this many times as long or wide as a picture of that one would be
OWN_METADATA = ("ome", "mmstack", "ndtiff")  # kinds of series whose planes are told, by OME or Micro-Manager
MICRO_MANAGER_INDEX = "NDTiff.index"
FEW_COLUMNS = 10  # an array (Y, X, C) that was written without more is told by so few "columns" ...
MANY_ROWS = 32  # ... and so many "rows"


def read(path: Path, kind: str, settings: stores.StoreSettings) -> list[Series]:
    """The images of a file."""
    with _opened(path) as tiff:
        if not tiff.series:
            raise ImageError(f"{path.name}: the TIFF holds no image; export it again")
        for series in tiff.series:
            check_tables(path, series.keyframe)
        whole = settings.fits_in_memory(sum(series.nbytes for series in tiff.series))
        kept, notes = _full_images(path, tiff)
        _refuse_lost_files(path, tiff, kept)
        partners = _partners(path, tiff)
        said = (*_taken_out(tiff), *_without_ome(tiff))
        return [
            replace(series, partners=partners, warnings=(*said, *series.warnings))
            for series in (_series(path, tiff, number, notes, whole, settings) for number in kept)
        ]


def _opened(path: Path) -> TiffFile:
    """The file; without regard to ImageJ's description if that is of a stack of which the file is a plane, or to OME's
    if tifffile cannot go by it.
    """
    tiff = TiffFile(path)
    if tiff.is_imagej and _taken_out(tiff):
        tiff.close()
        return TiffFile(path, is_imagej=False)
    if tiff.is_ome:
        try:
            _ = tiff.series
        except Exception:  # of an attribute that is not there, or no number
            tiff.close()
            return TiffFile(path, is_ome=False)
    return tiff


def _without_ome(tiff: TiffFile) -> tuple[str, ...]:
    """What is said of a file whose planes are not told by the OME description that it has."""
    used = tiff.is_ome and all(series.kind in OWN_METADATA for series in tiff.series)
    if used or not tiff.pages[0].is_ome:
        return ()
    return ("its OME description is incomplete or does not fit its pages, which are read without it",)


def _taken_out(tiff: TiffFile) -> tuple[str, ...]:
    """What is said of a plane that another program has taken out of ImageJ's stack, whose description it keeps. Nothing
    where all planes are there, or are cut off: in one page they lie behind each other.
    """
    page = tiff.pages[0]
    told = re.match(r"ImageJ=.*^images=(\d+)$", page.description, re.DOTALL | re.MULTILINE)
    if not told or len(tiff.pages) >= int(told[1]) or not page.dataoffsets:
        return ()
    behind = tiff.filehandle.size - max(map(sum, zip(page.dataoffsets, page.databytecounts)))
    if len(tiff.pages) == 1 and page.compression == 1 and behind >= page.nbytes / 2:
        return ()
    return (f"its description is of a stack of {told[1]} planes, of which it holds {len(tiff.pages)}",)


def _refuse_lost_files(path: Path, tiff: TiffFile, kept: list[int]) -> None:
    """Raise ImageError if planes of an image lie in files of its set that are not there. Of the set's other images none
    is asked for.
    """
    named = re.findall(r'FileName="([^"]+)"', tiff.ome_metadata or "") if tiff.is_ome else []
    lost = [name for name in named if not path.with_name(Path(name).name).exists()]
    if lost and any(page is None for number in kept for page in tiff.series[number].pages):
        raise ImageError(f"{path.name}: {LOST_PART} ({lost[0]}); copy it again from its source, with all its files")


def _partners(path: Path, tiff: TiffFile) -> tuple[Path, ...]:
    """Other files that the planes lie in, and Micro-Manager's index of them."""
    pages = (page for series in tiff.series for page in series.pages if page is not None)
    files = {Path(page.parent.filehandle.path) for page in pages if page.parent is not tiff}
    index = path.with_name(MICRO_MANAGER_INDEX)
    return tuple(sorted(files | ({index} if index.exists() else set())))


def _full_images(path: Path, tiff: TiffFile) -> tuple[list[int], tuple[str, ...]]:
    """Which of the file's series are images, and not thumbnails, pictures of the slide's label or masks of opacity; and
    what was left out.

    In a set of OME-TIFF files every one describes the whole set, and each image is that of the file in which it begins.
    """
    own = [
        i
        for i, series in enumerate(tiff.series)
        if next(page for page in series.pages if page is not None).parent is tiff
    ]
    if not own:
        begins = next(page for page in tiff.series[0].pages if page is not None).parent.filehandle.name
        raise ImageError(
            f"{path.name}: its planes belong to the image that begins in {begins}; give that file, which holds them "
            "together"
        )
    sizes = {i: tiff.series[i].keyframe.shaped[-3:-1] for i in own}  # rows and columns
    height, width = max(sizes.values(), key=np.prod)

    def is_image(i: int) -> bool:
        (h, w), name = sizes[i], tiff.series[i].name
        if tiff.series[i].keyframe.is_mask:
            return False
        smaller = h * w < height * width
        of_its_shape = max(h * width, w * height) <= THUMBNAIL_SHAPE * min(h * width, w * height)
        small = not tiff.is_ome and max(h / height, w / width) <= THUMBNAIL_SIDES
        thumbnail = small and (of_its_shape or tiff.series[i].keyframe.is_reduced)
        return not smaller or not (thumbnail or NOT_AN_IMAGE.search(name))

    kept = [i for i in own if is_image(i)] or own
    left_out = [f"{sizes[i][1]}x{sizes[i][0]}" for i in own if i not in kept]
    return kept, (f"left out: {', '.join(left_out)} (thumbnail, label or mask)",) if left_out else ()


def _series(
    path: Path, tiff: TiffFile, number: int, notes: tuple[str, ...], whole: bool, settings: stores.StoreSettings
) -> Series:
    source = tiff.series[number]
    page = source.keyframe
    known = details(tiff, number)
    axes, samples = _axes(tiff, source)
    extra = tuple(map(int, page.extrasamples)) if samples else ()
    alpha = len(list(takewhile(lambda code: code in ALPHA, reversed(extra))))
    colour = (
        "RGB"
        if samples and page.photometric in (PHOTOMETRIC.RGB, PHOTOMETRIC.YCBCR) and source.shape[axes.index("S")] > 2
        else ""
    )
    if axes != source.axes and "S" not in source.axes:
        notes = (*notes, "its last axis taken for channels")
    series = Series(
        _store(path, tiff, number, whole, settings),
        axes,
        _format(tiff),
        source.name if len(tiff.series) > 1 else "",
        known.channels,
        colour,
        alpha,
        known.pixel_size,
        absent=absent_planes(source),
        notes=notes,
        warnings=(*known.warnings, *absent_parts(path, source)),
    )
    return _in_colour(path, series, source)


def _format(tiff: TiffFile) -> str:
    return "OME-TIFF" if tiff.is_ome else "ImageJ TIFF" if tiff.is_imagej else "TIFF"


def _axes(tiff: TiffFile, series: TiffPageSeries) -> tuple[str, bool]:
    """The axes, and whether S are samples of a colour. tifffile itself writes arrays of channels as what they are
    not."""
    axes, shape = series.axes, series.shape
    if series.kind == "shaped":
        if "S" in axes and shape[axes.index("S")] == 4 and series.keyframe.photometric == PHOTOMETRIC.RGB:
            # (..., 4, Y, X), which it writes as RGB with opacity; and what no picture with opacity is
            unusual = series.dtype.kind == "f" or (series.dtype != np.uint8 and len(axes) > 3)
            if axes[-1] != "S" or (unusual and not _is_opaque(series.keyframe)):
                return axes.replace("S", "C"), False
        if (
            axes[-3:] == "QYX" and shape[-1] <= FEW_COLUMNS and min(shape[-3:-1]) >= MANY_ROWS
        ):  # (Y, X, C), written as Y pages
            return axes[:-3] + "YXC", False
    return axes, "S" in axes


def _is_opaque(page: tifffile.TiffPage) -> bool:
    """Whether the fourth sample of a page's first strip or tile says that all of it is opaque."""
    data, *_ = next(iter(page.segments()))
    full = 1 if page.dtype.kind == "f" else np.iinfo(page.dtype).max
    return data is not None and data.shape[-1] == 4 and bool((data[..., 3] == full).all())


def _in_colour(path: Path, series: Series, source: TiffPageSeries) -> Series:
    """The series with what its photometric interpretation asks for."""
    page = source.keyframe
    dtype = np.dtype(series.store.dtype)
    samples = page.samplesperpixel - series.alpha
    if page.photometric == PHOTOMETRIC.PALETTE and page.colormap is not None:
        if samples > 1 or any(n > 1 and axis == "C" for n, axis in zip(series.store.shape, series.axes)):
            return replace(series, notes=(*series.notes, "colour tables left out"))
        coloured = colours.with_palette(series, np.moveaxis(page.colormap, 0, -1))
        if coloured.convert and _has_other_tables(source):
            raise ImageError(f"{path.name}: its pages have different tables of colours; save it as RGB")
        return coloured
    if page.photometric == PHOTOMETRIC.MINISWHITE and "PhotometricInterpretation" in page.tags:
        return replace(
            series, inverted=True, notes=(*series.notes, "0 is white: inverted" if dtype.kind != "b" else "two levels")
        )
    if page.photometric == PHOTOMETRIC.SEPARATED and "S" in series.axes and samples == 4:
        return colours.converted(series, "CMYK", colours.cmyk_to_rgb)
    if page.photometric in (PHOTOMETRIC.CIELAB, PHOTOMETRIC.ICCLAB) and samples == 3:
        return colours.converted(series, "Lab", colours.lab_to_rgb(page.photometric == PHOTOMETRIC.ICCLAB))
    if page.is_svs and page.compression == COMPRESSION.APERIO_JP2000_YCBC and page.samplesperpixel == 3:
        return colours.converted(series, "YCbCr", colours.ycbcr_to_rgb)  # whatever its photometric interpretation
    if page.photometric == PHOTOMETRIC.YCBCR and not page.is_jfif and page.compression in LOSSLESS:
        if "YCbCrSubSampling" in page.tags and tuple(page.tags["YCbCrSubSampling"].value) != (1, 1):
            raise ImageError(
                f"{path.name}: YCbCr colours of reduced resolution without JPEG compression are not supported; save "
                "it as RGB"
            )
        return colours.converted(series, "YCbCr", colours.ycbcr_to_rgb)
    if page.photometric in UNSUPPORTED:
        raise ImageError(
            f"{path.name}: a TIFF of {UNSUPPORTED[page.photometric]} is not supported; save it as gray or RGB"
        )
    return series


LOSSLESS = (1, 5, 8, 32773, 32946, 50000)  # none, LZW, zlib, PackBits, zlib, Zstandard; with JPEG, tifffile gives RGB
UNSUPPORTED = {
    PHOTOMETRIC.CFA: "a camera's raw mosaic",
    PHOTOMETRIC.LINEAR_RAW: "a camera's raw colours",
    PHOTOMETRIC.LOGL: "logarithmic light",
    PHOTOMETRIC.LOGLUV: "logarithmic colours",
    PHOTOMETRIC.ITULAB: "ITU Lab colours",
}


def _has_other_tables(series: TiffPageSeries) -> bool:
    """Whether pages have other tables of colours than the first one."""
    others = (page.aspage().colormap for page in series.pages if page is not None and not page.is_virtual)
    return any(table is not None and not np.array_equal(table, series.keyframe.colormap) for table in others)


def _check_ends(path: Path, series: TiffPageSeries) -> None:
    """Raise ImageError if a file of the series ends before its pixels do: some decoders fill what is missing."""
    for page in series.pages:
        if page is None:
            continue
        file = page.parent.filehandle
        end = max((offset + count for offset, count in zip(page.dataoffsets, page.databytecounts)), default=0)
        if end > file.size:
            end = max(map(sum, zip(page.dataoffsets, _bytes_of_pixels(page.keyframe, page.databytecounts))))
        if end > file.size:
            raise ImageError(
                f"{path.name}: {'the file' if file.name == path.name else file.name} is cut short ({file.size} bytes "
                f"instead of {end}); copy it again from its source"
            )


def _bytes_of_pixels(page: tifffile.TiffPage, counts: Sequence[int]) -> list[int]:
    """Lengths of strips or tiles, but of uncompressed strips no more than their rows take: some programs give the last
    one, which is lower, the length of the others."""
    if page.compression != COMPRESSION.NONE or page.is_tiled:
        return list(counts)
    samples = page.samplesperpixel if page.planarconfig == PLANARCONFIG.CONTIG else 1
    row = math.ceil(page.imagewidth * samples * page.bitspersample / 8)
    strips = math.ceil(page.imagelength / page.rowsperstrip)  # of a plane
    tops = (i % strips * page.rowsperstrip for i in range(len(counts)))
    return [min(count, row * min(page.rowsperstrip, page.imagelength - top)) for count, top in zip(counts, tops)]


def _decodable(series: TiffPageSeries) -> TiffPageSeries:
    """The same series, with JPEGs of a colour each taken for gray, as they are: tifffile asks for three in each."""
    page = series.keyframe
    if page.compression == COMPRESSION.JPEG and page.planarconfig == PLANARCONFIG.SEPARATE:
        page.photometric = PHOTOMETRIC.MINISBLACK
    return series


def _store(path: Path, tiff: TiffFile, number: int, whole: bool, settings: stores.StoreSettings):
    """The pixels of a series, which is read whole or by what is asked for."""
    series = tiff.series[number]

    def load() -> np.ndarray:
        with _opened(path) as again:
            return _decodable(again.series[number]).asarray()

    planes = any(n > 1 and axis not in "YXSC" for n, axis in zip(series.shape, series.axes))
    deferred = stores.Deferred(series.shape, series.dtype, load, keep=planes)
    _check_ends(path, series)
    if whole:
        return deferred
    if series.dataoffset is not None:
        offset, shape, dtype = series.dataoffset, series.shape, series.dtype.newbyteorder(tiff.byteorder)
        return stores.Mapped(shape, dtype, lambda: np.memmap(path, dtype, "r", offset, shape))
    if np.prod(series.keyframe.chunks) * series.dtype.itemsize > settings.chunk_bytes:
        return deferred
    import zarr  # late: takes a second

    again = _opened(path)
    chunks = stores.Chunks(path, zarr.open_array(_decodable(again.series[number]).aszarr(level=0), mode="r"))
    weakref.finalize(chunks, again.close)  # the file is open until the picture is gone
    return chunks
