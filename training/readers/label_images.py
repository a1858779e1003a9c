"""Labels that are stored as an image or an array: TIFF, PNG and others, Cellpose's `_seg.npy`, NumPy's `.npy`."""

import io
import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inference.reading import ImageError, read_image

JPEG = b"\xff\xd8\xff"
PICKLED = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
WRITTEN = {"masks", "outlines", "chan_choose", "ismanual", "filename", "flows", "diameter", "est_diam"}  # by predict.py
PICKLED_NAMES = ("ndarray", "dtype", "_reconstruct", "_frombuffer", "scalar")


class RawLabels(NamedTuple):
    """Labels as a file has them.

    labels : (H, W) uint16 or uint32, 0 is background
    lossy : stored as JPEG, which changes numbers
    fractions : pixels whose value is no whole number, as an enlargement with interpolation makes them
    overlap : pixels that several cells claimed; the first one has them
    hidden : outlines without a pixel of their own: beyond the image, or beneath others
    untouched : in a `_seg.npy` as predict.py wrote it; Cellpose's window saves it with more about it
    """

    labels: np.ndarray
    lossy: bool = False
    fractions: int = 0
    overlap: int = 0
    hidden: int = 0
    untouched: bool = False


def read_label_image(path: Path) -> RawLabels:
    """Labels of an image file: one number a cell, one index a cell (palette), or one colour a cell.

    Raises ValueError if there is no such thing in the file. The message names it and the remedy.
    """
    return as_labels(stored_pixels(path), path)._replace(lossy=is_jpeg(path))


def is_jpeg(path: Path) -> bool:
    """Whether a file is a JPEG, whatever its name."""
    with open(path, "rb") as file:
        return file.read(len(JPEG)) == JPEG


def stored_pixels(path: Path) -> np.ndarray:
    """As stored, not as shown: a palette's indices, no inverted lookup table; raises ValueError naming the file."""
    suffix = path.suffix.lower()
    try:
        if suffix in (".tif", ".tiff"):
            import tifffile

            with tifffile.TiffFile(path) as file:
                alike = sum(series.shape == file.series[0].shape for series in file.series)
                planes = None if alike > 1 else file.asarray()
            if planes is None:
                raise ImageError(f"{path.name}: {alike} images of one size in one file; save one plane of labels")
            return np.squeeze(planes)
        if suffix == ".png" and not _deep_colours(path):
            from PIL import Image

            with Image.open(path) as image:
                return _black_first(image) if image.mode == "P" else np.asarray(image)
        return read_image(path).pixels
    except ImageError as error:
        raise ValueError(f"{path.parent / str(error)}") from None
    except Exception as error:  # a damaged file makes its library raise anything
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: cannot be read as an image ({reason}); save the labels again") from None


def _black_first(image) -> np.ndarray:
    """The numbers of a palette's colours (H, W), where black is 0: some programs sort the colours of what they save."""
    numbers, palette = np.array(image), np.reshape(image.getpalette("RGB"), (-1, 3))
    black = [number for number in np.unique(numbers) if number < len(palette) and not palette[number].any()]
    if len(black) == 1 and palette[0].any():
        first, ground = numbers == 0, numbers == black[0]
        numbers[first], numbers[ground] = black[0], 0
    return numbers


def _deep_colours(path: Path) -> bool:
    """Whether a PNG has several channels of 16 bits, of which Pillow drops 8."""
    with open(path, "rb") as file:
        header = file.read(26)
    return header[24:25] == b"\x10" and header[25:26] != b"\x00"


def read_numpy(path: Path) -> RawLabels:
    """Labels of a `.npy` file: an array, or the masks of Cellpose's `_seg.npy`.

    Raises ValueError as `read_label_image`.
    """
    untouched = False
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            _, _, dtype = read(file)
            if dtype.hasobject:
                content = _Harmless(io.BytesIO(file.read())).load()
                content = content.item() if isinstance(content, np.ndarray) else content
                array, untouched = content["masks"], content.keys() == WRITTEN and not len(content["flows"])
            else:
                file.seek(0)
                array = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # a damaged pickle raises anything
        raise ValueError(
            f"{path}: neither an array of labels nor Cellpose's _seg.npy ({error}); save the labels again"
        ) from None
    return as_labels(np.squeeze(array), path)._replace(untouched=untouched)


class _Harmless(pickle.Unpickler):
    """Makes arrays of NumPy's, and of everything else an empty thing: a file of labels must not run code."""

    def find_class(self, module: str, name: str):
        if module in PICKLED and name in PICKLED_NAMES:
            return super().find_class(module, name)
        return _Nothing


class _Nothing:
    def __init__(self, *_):
        pass

    def __setstate__(self, _):
        pass


def as_labels(array: np.ndarray, path: Path) -> RawLabels:
    """Labels of an array of any number type; of colours each one is a cell, black is the background.

    Raises ValueError if the shape is not (H, W), (H, W, 3 or 4) or (H, W, 2) with opacity, or values are negative or
    endless.
    """
    if array.ndim == 3 and (array.shape[2] in (3, 4) or array.shape[2] == 2 and _is_opacity(array[:, :, 1])):
        array = array[:, :, 0] if array.shape[2] == 2 else _colours(_on_black(array))
    if array.ndim != 2 or array.dtype.kind not in "buif":
        raise ValueError(
            f"{path}: labels must be one plane with a number for each cell, got {array.dtype} of shape {array.shape}; "
            "save one plane of them"
        )
    fractions = 0
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ValueError(f"{path}: labels must be numbers, some are infinite or none; save whole numbers")
        fractions = int((array != np.rint(array)).sum())
        array = np.rint(array).astype(np.int64)
    if array.dtype.kind == "i" and array.min(initial=0) < 0:
        raise ValueError(f"{path}: labels must not be negative, got {array.min()}; 0 is the background")
    array = renumbered(array)
    return RawLabels(array.astype(np.uint16 if array.max(initial=0) <= 65535 else np.uint32), fractions=fractions)


def renumbered(labels: np.ndarray) -> np.ndarray:
    """Labels from 0 whose numbers are only names, larger than there can be cells, as numbers from 1 on; others as they
    are."""
    if int(labels.max(initial=0)) <= max(65535, labels.size):
        return labels
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape) + int(labels.min() > 0)


def _is_opacity(plane: np.ndarray) -> bool:
    """Whether a second channel is that of an image with transparency, which is no plane of labels."""
    return plane.dtype.kind == "u" and bool(np.isin(plane, (0, np.iinfo(plane.dtype).max)).all() and plane.any())


def _on_black(array: np.ndarray) -> np.ndarray:
    """(H, W, 3) of (H, W, 3 or 4): black where it is transparent."""
    shown = array.shape[2] < 4 or not _is_opacity(array[:, :, 3])
    return array[:, :, :3] if shown else array[:, :, :3] * (array[:, :, 3:] > 0)


def _colours(array: np.ndarray) -> np.ndarray:
    """(H, W) of (H, W, 3): the channel, if all are equal, else a number for each colour, 0 for black."""
    if (array == array[:, :, :1]).all():
        return array[:, :, 0]
    colours, numbers = np.unique(array.reshape(-1, 3), axis=0, return_inverse=True)
    return numbers.reshape(array.shape[:2]) + int(colours[0].any())
