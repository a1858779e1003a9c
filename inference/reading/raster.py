"""PNG, JPEG and other formats of one picture that is decoded whole, and NumPy's arrays."""

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from inference.reading import sniff, stores
from inference.reading.picture import ImageError
from inference.reading.series import MOST_SAMPLES, Series
from inference.reading.units import LARGEST_PIXEL

PNG_FIRST_CHUNK = 8
PNG_PIXELS = b"IDAT"  # before which a PNG has its resolution, and says whether there are several pictures
BMP_HEADER, BMP_MASKS = 14, 54  # where a BMP has its header, and masks of red, green and blue behind a short one
OS2_HEADER = 12  # bytes; OpenCV makes gray of what such a BMP holds, unless it is asked for colours
PNG_COLOUR_TYPE, GRAY_ALPHA = 25, 4  # where the PNG standard has it, and the type that OpenCV makes three colours of


def read(path: Path, kind: str, settings: stores.StoreSettings) -> list[Series]:
    """The image of a file, decoded."""
    return [DECODERS.get(kind, _opencv)(path, kind)]


def _opencv(path: Path, kind: str) -> Series:
    data = np.fromfile(path, np.uint8)  # cv2.imread prints its own warnings and cannot read every path
    if kind == sniff.PNM and data[1:2].tobytes() in b"123":
        data = np.append(data, np.uint8(ord("\n")))  # numbers in words; OpenCV takes one at the very end for cut short
    try:
        os2 = kind == sniff.BMP and data[BMP_HEADER] == OS2_HEADER
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR if os2 else cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path.name}: cannot be decoded ({error.err}); convert it to TIFF or PNG") from None
    if pixels is None:
        raise ImageError(
            f"{path.name}: not a readable {kind} file (damaged or cut short?); copy it again, or convert it to TIFF "
            "or PNG"
        )
    size = _png_pixel_size(data) if kind == sniff.PNG else None
    warnings = ("it shows several pictures in turn, of which the first is used",) * _is_animated(data, kind)
    if kind == sniff.PNG and data[PNG_COLOUR_TYPE] == GRAY_ALPHA:
        return Series(pixels[..., 0], "YX", kind, pixel_size=size, notes=("alpha dropped",), warnings=warnings)
    if kind == sniff.BMP and pixels.shape[2:] == (4,) and (order := _bmp_order(path, data)):
        pixels = pixels[..., order]
    elif pixels.ndim == 3 and pixels.shape[2] > 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGBA if pixels.shape[2] == 4 else cv2.COLOR_BGR2RGB)
    return replace(_series(pixels, kind), pixel_size=size, warnings=warnings)


def _bmp_order(path: Path, data: np.ndarray) -> list[int] | None:
    """Which bytes of a pixel of four are red, green and blue, where a BMP says so behind a header of 40 bytes: OpenCV
    does not look there."""
    length, bits, compression = struct.unpack_from("<I10xHI", data, BMP_HEADER)
    if (length, bits, compression) != (40, 32, 3):
        return None
    places = {0xFF << 8 * i: i for i in range(4)}
    masks = struct.unpack_from("<3I", data, BMP_MASKS)
    if not places.keys() >= set(masks):
        raise ImageError(f"{path.name}: a BMP whose colours are no whole bytes is not supported; save it as PNG")
    return [places[mask] for mask in masks]


def _is_animated(data: np.ndarray, kind: str) -> bool:
    """Whether the bytes of a PNG or WebP file say that it has several pictures, as these standards have it."""
    if kind == sniff.PNG:
        return b"acTL" in _png_header(data)
    return kind == sniff.WEBP and bytes(data[12:16]) == b"VP8X" and bool(data[20] & 2)


def _png_header(data: np.ndarray) -> bytes:
    """What a PNG file has before its pixels."""
    place = PNG_FIRST_CHUNK
    while place + 8 <= len(data) and bytes(data[place + 4 : place + 8]) != PNG_PIXELS:
        place += 12 + int.from_bytes(bytes(data[place : place + 4]))
    return bytes(data[:place])


def _png_pixel_size(data: np.ndarray) -> tuple[float, float] | None:
    """(y, x) in micrometres from the bytes of a PNG file, where it has a resolution, and that of a microscope."""
    place = _png_header(data).find(b"pHYs") + 4
    if place < 4 or len(data) < place + 9 or data[place + 8] != 1:  # the unit is the metre
        return None
    x, y = (int.from_bytes(bytes(data[i : i + 4])) for i in (place, place + 4))
    return (1e6 / y, 1e6 / x) if x and y and 1e6 / min(x, y) <= LARGEST_PIXEL else None


def _series(pixels: np.ndarray, kind: str, alpha: bool = True, frames: str = "T") -> Series:
    """A decoded picture, or several frames of one: (H, W), (H, W, S), (frames, H, W) or (frames, H, W, S)."""
    samples = pixels.shape[-1] if pixels.ndim > 2 and pixels.shape[-1] <= MOST_SAMPLES else 0
    axes = frames * (pixels.ndim - 2 - bool(samples)) + "YX" + "S" * bool(samples)
    return Series(pixels, axes, kind, colours="RGB" if samples > 2 else "", alpha=int(alpha and samples in (2, 4)))


def _imagecodecs(name: str, alpha: bool = True, **options) -> Callable[[Path, str], Series]:
    def decode(path: Path, kind: str) -> Series:
        import imagecodecs  # late: its kinds are rare

        try:
            return _series(getattr(imagecodecs, f"{name}_decode")(path.read_bytes(), **options), kind, alpha)
        except (RuntimeError, ValueError) as error:
            raise ImageError(
                f"{path.name}: not a readable {kind} file ({error}); copy it again, or convert it to TIFF or PNG"
            ) from None

    return decode


def _heif(path: Path, kind: str) -> Series:
    import pillow_heif  # late, and optional

    images = pillow_heif.open_heif(path, convert_hdr_to_8bit=False)
    several = ("it holds several pictures, of which the main one is used",) * (len(images) > 1)
    return replace(_series(np.asarray(images), kind), warnings=several)


def _numpy(path: Path, kind: str) -> Series:
    """An array that numpy.save wrote; a short first or last axis is that of channels, three at the end are colours."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ImageError(
            f"{path.name}: not a plain NumPy array ({error}); save the pixels alone with numpy.save, or as TIFF"
        ) from None
    if array.ndim < 2:
        raise ImageError(
            f"{path.name}: an array of shape {array.shape} is no image; save an array of at least two axes"
        )
    store = stores.Mapped(array.shape, array.dtype, lambda: np.load(path, mmap_mode="r"))
    axes = "?" * (array.ndim - 2) + "YX"
    if array.ndim > 2 and array.shape[-1] <= MOST_SAMPLES:
        axes = "?" * (array.ndim - 3) + ("YXS" if array.shape[-1] == 3 else "YXC")
    elif array.ndim == 3 and array.shape[0] <= MOST_SAMPLES:
        axes = "CYX"
    return Series(
        store,
        axes,
        kind,
        colours="RGB" if axes.endswith("S") else "",
        notes=("axes taken from the lengths",) * (array.ndim > 2),
    )


DECODERS = {
    sniff.GIF: _imagecodecs("gif"),
    sniff.JPEG_XL: _imagecodecs("jpegxl", keeporientation=True),
    sniff.AVIF: _imagecodecs("avif"),
    sniff.JPEG_2000: _imagecodecs("jpeg2k", alpha=False),  # which often has four channels that are no colours
    sniff.HEIC: _heif,
    sniff.NPY: _numpy,
}
