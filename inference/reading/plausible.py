"""What a file says of its size, before anything is decoded or allocated: can it be true, and is there memory for it?"""

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from inference.machine import available_memory
from inference.reading import sniff
from inference.reading.picture import ImageError

if TYPE_CHECKING:
    from tifffile import TiffPage

DECODED_WHOLE = (sniff.PNG, sniff.JPEG, sniff.BMP, sniff.WEBP, sniff.GIF, sniff.PNM, sniff.JPEG_2000, sniff.AVIF)
PILLOW = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM", "JPEG2000", "AVIF")  # its names of those
PNG_SIGNATURE, PNG_FRAME = 8, 12  # bytes at its beginning, and around the data of a chunk
MOST_DEFLATED = 1032  # bytes that a byte of deflate, which PNG is packed with, can stand for
# Pixels; JPEG spends a bit at least on each block of 8x8, unless it is arithmetically coded, which nobody does.
BLOCK = 8
MOST_CHUNKS = 2**20  # of a Zarr array or TIFF ...
FEW_PIXELS = 2**10  # ... with fewer pixels than this in each: reading it would take hours
MOST_UNPACKED = {
    1: 1,
    5: 4096,
    8: MOST_DEFLATED,
    32946: MOST_DEFLATED,
    32773: 64,
}  # bytes of a byte, by TIFF's code of the compression
BITS = {
    "1": 1,
    "L": 8,
    "P": 8,
    "LA": 16,
    "PA": 16,
    "I;16": 16,
    "I;16B": 16,
    "RGB": 24,
    "YCbCr": 24,
    "RGBA": 32,
    "CMYK": 32,
}  # Pillow's modes


def check_header(path: Path, kind: str | None, most_pixels: float | None = None) -> None:
    """Look at the size in the header of a file that is decoded whole.

    Raises
    ------
    ImageError
        If it has more than `most_pixels`, if so few bytes cannot hold it, if there is no memory for it, or if a chunk
        of a PNG is longer than the file, as OpenCV makes room for what a chunk says before it reads it.
    """
    if kind not in DECODED_WHOLE:
        return
    if kind == sniff.PNG:
        check_png(path)
    size = size_in_header(path)
    if size is None:
        return
    height, width, bits = size
    check_pixels(path, (height, width), most_pixels)
    told = path.stat().st_size
    if (
        kind == sniff.JPEG
        and told * 8 * BLOCK**2 < height * width
        or kind == sniff.PNG
        and told * MOST_DEFLATED < height * width * bits // 8
    ):
        raise ImageError(
            f"{path.name}: {told} bytes cannot hold {width}x{height} pixels; the file is damaged or cut short, copy "
            "it again"
        )
    check_memory(path, (height, width), height * width * max(1, bits // 8))


def check_png(path: Path) -> None:
    """Raise ImageError if a PNG ends before one of its chunks does."""
    ends, place = path.stat().st_size, PNG_SIGNATURE
    with open(path, "rb") as file:
        while place + PNG_FRAME <= ends:
            file.seek(place)
            length, name = struct.unpack(">I4s", file.read(8))
            place += PNG_FRAME + length
            if name == b"IEND":
                return
    if place > ends:
        raise ImageError(
            f"{path.name}: {ends} bytes, of which the PNG's chunks alone would be {place}; the file is damaged or cut "
            "short, copy it again"
        )


def check_pixels(path: Path, shape: Sequence[int], most_pixels: float | None) -> None:
    """Raise ImageError if an image of this height and width is larger than is wanted."""
    height, width = shape
    if most_pixels is not None and height * width > most_pixels:
        raise ImageError(
            f"{path.name}: {width}x{height} pixels are more than the {most_pixels:.0f} of --max-pixels; raise it, or "
            "cut the image into parts"
        )


def check_memory(path: Path, shape: Sequence[int], size: int) -> None:
    """Raise ImageError if pixels of `size` bytes, which two processes hold for a moment, are more than there is memory
    for.
    """
    left = available_memory()
    if left is not None and 2 * size > left:
        height, width = shape
        raise ImageError(
            f"{path.name}: {width}x{height} pixels, decoded whole, take {2 * size / 2**30:.1f} GB while they are "
            "read, and "
            f"{left / 2**30:.1f} GB of memory are left; raise the container's limit, or save it as a tiled TIFF or "
            "OME-Zarr"
        )


def check_chunks(path: Path, shape: Sequence[int], chunk: Sequence[int]) -> None:
    """Raise ImageError if an array comes in so many pieces that reading it would not end."""
    chunks = math.prod(math.ceil(n / c) for n, c in zip(shape, chunk))
    if chunks > MOST_CHUNKS and math.prod(chunk) < FEW_PIXELS:
        raise ImageError(
            f"{path.name}: {chunks} chunks of {'x'.join(map(str, chunk))} pixels are too many to be read; save it in "
            "larger chunks, such as 512x512"
        )


def check_tables(path: Path, page: "TiffPage") -> None:
    """Raise ImageError if the tables of a TIFF do not go with its size: with too few strips or tiles, or with too few
    bytes in them.
    """
    expected, told = math.prod(page.chunked), len(page.dataoffsets)
    if told < expected:
        raise ImageError(
            f"{path.name}: damaged TIFF: {page.shape[1]}x{page.shape[0]} pixels are {expected} strips or tiles, and "
            f"its tables name {told}; copy it again from its source"
        )
    most = MOST_UNPACKED.get(int(page.compression))
    whole = all(page.databytecounts)  # a sparse file leaves out parts that are empty
    needed = math.prod(page.shape) * page.bitspersample // 8  # 12 bits are stored in 12
    if most is not None and whole and page.bitspersample >= 8 and needed > most * sum(page.databytecounts):
        raise ImageError(
            f"{path.name}: damaged TIFF: its {sum(page.databytecounts)} bytes of pixels cannot hold the "
            f"{needed} of its size; copy it again from its source"
        )
    check_chunks(path, page.shape, page.chunks)


def size_in_header(path: Path) -> tuple[int, int, int] | None:
    """Height, width and bits a pixel; None where they are not told."""
    from PIL import Image, UnidentifiedImageError  # late: only for files that are decoded whole

    Image.MAX_IMAGE_PIXELS = None  # its own limit; ours is the memory
    try:
        with Image.open(path, formats=PILLOW) as image:
            return image.height, image.width, BITS.get(image.mode, 32)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, OverflowError, MemoryError):
        return None  # the decoder says what is wrong with it
