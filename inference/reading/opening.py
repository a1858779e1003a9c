"""Open an image file: its kind by its content, its images, and of each the channels and planes that are wanted."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np

from inference.reading.channels import Choice, choose_channels
from inference.reading.losses import losses_refused
from inference.reading.options import DEFAULT, ReadOptions
from inference.reading.picture import Image, ImageError, Picture
from inference.reading.planes import choose_planes, name_axes, say_planes, stack_entries
from inference.reading.regions import Regions
from inference.reading.series import Series
from inference.reading.sniff import CZI, DICOM, TIFF, UNREADABLE, ZARR, ZIPPED_ZARR, kind_of
from inference.reading.stores import STORE_SETTINGS, Deferred, StoreSettings
from inference.reading.units import is_plausible

READERS = {  # modules with a function read(path, kind, settings) -> list[Series]; imported when a file needs them
    TIFF: "tiff",
    ZARR: "zarr_images",
    ZIPPED_ZARR: "zarr_images",
    CZI: "czi",
    DICOM: "dicom",
}
OTHER_READER = "raster"


def read_image(path: Path, options: ReadOptions = DEFAULT, settings: StoreSettings = STORE_SETTINGS) -> Picture:
    """As `open_image`, but with all pixels in memory."""
    picture = open_image(path, options, settings)
    if isinstance(picture.pixels, np.ndarray):
        return picture
    return replace(picture, pixels=picture.pixels[:, :])


def open_image(path: Path, options: ReadOptions = DEFAULT, settings: StoreSettings = STORE_SETTINGS) -> Picture:
    """The only plane of a file that holds one image, or the one that `options` choose.

    Raises
    ------
    ImageError
        As `open_images`, and if there are several images or planes.
    """
    images = open_images(path, options, settings)
    planes = sum(len(image.views) for image in images)
    if planes > 1:
        raise ImageError(
            f"{Path(path).name}: {len(images)} images, {planes} planes in all; choose one with --series, --z or --t"
        )
    return images[0].open()


def open_images(path: Path, options: ReadOptions = DEFAULT, settings: StoreSettings = STORE_SETTINGS) -> list[Image]:
    """The images of a file: positions, scenes or series, each at full resolution, thumbnails and labels of slides left
    out.

    The kind is told from the content, not from the name. Alpha is dropped; the rotation flags of JPEG are ignored:
    labels fit the stored pixels. Pixels are read when a plane is opened, and large TIFF, Zarr and CZI files
    region by region even then.

    Raises
    ------
    ImageError
        If the file is empty, damaged, no image, of a format that is not read here, or does not have what `options` ask
        for, or asks for a choice that they do not make. The message names the way out.
    """
    path = Path(path)
    with losses_refused(path):
        every = _read_series(path, settings)
    numbers = options.series or range(1, len(every) + 1)
    if missing := [n for n in numbers if n > len(every)]:
        raise ImageError(
            f"{path.name}: there is no --series {missing[0]}; choose 1 to {len(every)}, the images that the file holds"
        )
    images = []
    for n in numbers:
        try:
            images.append(_image(path, every[n - 1], f"_s{n}" if len(every) > 1 else "", options, settings))
        except ImageError as error:
            if len(every) == 1:
                raise
            raise ImageError(f"{error} (of image {n} of {len(every)}; --series chooses other images)") from None
    return images


def _read_series(path: Path, settings: StoreSettings) -> list[Series]:
    try:
        if not path.is_dir() and not path.stat().st_size:
            raise ImageError(f"{path.name}: the file is empty; copy it again from its source")
        kind = kind_of(path)
    except OSError as error:
        raise ImageError(
            f"{path.name}: cannot be opened ({error.strerror}); check that the file exists and may be read"
        ) from None
    if kind in UNREADABLE:
        raise ImageError(f"{path.name}: {kind} files are not read here; {UNREADABLE[kind]}")
    if kind is None and not path.is_dir():
        raise ImageError(
            f"{path.name}: not a readable image: its content is of no format that is known here (damaged or "
            "cut short?); copy it again, or convert it to TIFF or PNG"
        )
    reader = import_module(f"{__package__}.{READERS.get(kind or ZARR, OTHER_READER)}")
    try:
        found = reader.read(path, kind, settings)
    except (ImageError, MemoryError):
        raise
    except ImportError as error:
        raise ImageError(
            f"{path.name}: {kind} files need the package {error.name}; pip install {error.name}, or the extra "
            '"formats", or convert the file to TIFF'
        ) from None
    except Exception as error:  # of libraries that raise many kinds for damaged files
        raise ImageError(
            f"{path.name}: damaged or unsupported {kind} ({_one_line(error)}); copy it again, or save it as an "
            "uncompressed or zlib-compressed TIFF"
        ) from None
    for series in found:
        if 0 in series.store.shape:
            raise ImageError(f"{path.name}: the image has no pixels (shape {series.store.shape}); export it again")
        dtype = series.converted[1] if series.converted else np.dtype(series.store.dtype)
        if dtype.kind not in "uifb":
            raise ImageError(
                f"{path.name}: pixels of type {dtype} are not supported; save it as 8 or 16-bit integers or as floats"
            )
    return found


def _image(path: Path, series: Series, suffix: str, options: ReadOptions, settings: StoreSettings) -> Image:
    """Choose channels and planes of a series."""
    if series.pixel_size and not is_plausible(series.pixel_size):
        said = f"its pixel size of {series.pixel_size[1]:g} µm cannot be true and is left out"
        series = replace(series, pixel_size=None, warnings=(*series.warnings, said))
    shape = series.store.shape
    axes, warned = name_axes(path.name, shape, series.axes, options)
    fixed, stack = choose_planes(path.name, shape, axes, options)
    try:
        channel, choice = _channels(path, series, axes, options)
    except ImageError as error:
        raise ImageError("; ".join([str(error), *warned])) from None
    if series.absent is not None:
        taken: dict[int, int | list[int]] = {axis: how for axis, how in fixed if isinstance(how, int)}
        if channel is not None:
            taken[channel] = sorted({entry for group in choice.groups for entry in group})
        if series.absent[tuple(taken.get(axis, slice(None)) for axis in range(series.absent.ndim))].all():
            chosen = [choice.said] * (channel is not None) + say_planes(axes, shape, fixed)
            place = f" of image {suffix[2:]}" if suffix else ""
            way = ", or other images with --series" if suffix else ""
            raise ImageError(
                f"{path.name}: {' and '.join(chosen)}{place} is not there, though the file's description names it; "
                f"choose another one{way}"
            )
    warnings = tuple(f"{path.name}: {warning}" for warning in (*series.warnings, *warned, *choice.warnings))
    said = "; ".join([choice.said, *say_planes(axes, shape, fixed), *series.notes])

    def view(entries: tuple[tuple[int, int | str], ...], warnings: tuple[str, ...]) -> Picture:
        regions = Regions(
            series.store,
            axes.index("Y"),
            axes.index("X"),
            channel,
            choice.groups,
            (*fixed, *entries),
            series.convert,
            series.converted,
            series.inverted,
            series.absent,
        )
        words = "; ".join([said, *say_planes(axes, shape, entries)])
        how = f"{axes.replace('?', '')} ({words})"
        return Picture(regions, how, warnings, choice.names, series.pixel_size, series.format)

    def load(picture: Picture) -> Picture:
        deferred = isinstance(series.store, (np.ndarray, Deferred))
        small = deferred or settings.fits_in_memory(picture.pixels.nbytes)
        return replace(picture, pixels=_whole(path, picture.pixels)) if small else picture

    views = tuple(view(entries, () if i else warnings) for i, entries in enumerate(stack_entries(axes, stack)))
    return Image(suffix, series.name, tuple(stack.values()), "".join(stack), views, load, series.partners)


def _channels(path: Path, series: Series, axes: str, options: ReadOptions) -> tuple[int | None, Choice]:
    """The axis of the channels and those of them that are used."""
    long = [i for i, n in enumerate(series.store.shape) if n > 1 and axes[i] in "CS"]
    if len(long) > 1 or series.convert and "C" in (axes[i] for i in long):
        free = next((axes.replace("C", letter) for letter in "TZ" if letter not in axes), None)
        way = f"say with --axes that they are other pages, such as --axes {free}, or split it" if free else "split it"
        raise ImageError(
            f"{path.name}: the file holds {series.store.shape[axes.index('C')]} channels of several colour samples "
            f"each; {way}"
        )
    channel = long[0] if long else None
    if series.convert is not None and series.converted and (channel is None or axes[channel] == "S"):
        count, colours, alpha = series.converted[0], 3 if series.converted[0] == 3 else 0, 0
    else:
        count = 1 if channel is None else series.store.shape[channel]
        samples = channel is not None and axes[channel] == "S"
        colours, alpha = (3 if series.colours else 0, series.alpha) if samples else (0, 0)
    names = series.channels if len(series.channels) == count else ()
    choice = choose_channels(path.name, count, names, options.channels, colours, alpha)
    return channel, choice


def _whole(path: Path, regions: np.ndarray | Regions) -> np.ndarray:
    try:
        with losses_refused(path):
            return regions[:, :]
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # of codecs, which raise many kinds
        raise ImageError(
            f"{path.name}: the image is damaged ({_one_line(error)}); copy it again from its source"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
