"""Sizes that cannot be true are refused before anything is decoded, and true ones are not."""

import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image

from inference.reading import ImageError, plausible, sniff
from inference.reading.plausible import (
    check_chunks,
    check_header,
    check_memory,
    check_pixels,
    check_tables,
    size_in_header,
)

BLACK = np.zeros((500, 700), np.uint8)  # the best that a codec can pack


@pytest.mark.parametrize(
    ("name", "kind", "mode"), [("a.png", sniff.PNG, "L"), ("a.jpg", sniff.JPEG, "RGB"), ("a.bmp", sniff.BMP, "RGB")]
)
def test_sizes_in_headers(tmp_path, name, kind, mode):
    """Of an image that is packed as well as it can be, and so is the most suspicious of true ones."""
    path = tmp_path / name
    Image.fromarray(BLACK).convert(mode).save(path)
    assert size_in_header(path) == (500, 700, 8 * len(mode))
    check_header(path, kind)
    check_header(path, kind, 350_000)
    with pytest.raises(ImageError, match=f"{name}: 700x500 pixels are more than the 349999 of --max-pixels"):
        check_header(path, kind, 349_999)


def test_a_header_that_claims_more_than_the_bytes_can_hold(tmp_path):
    content = io.BytesIO()
    Image.fromarray(BLACK[:8, :8]).save(content, "JPEG")
    data = bytearray(content.getvalue())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = (30_000).to_bytes(2) * 2
    (tmp_path / "a.jpg").write_bytes(data)
    with pytest.raises(ImageError, match=rf"a\.jpg: {len(data)} bytes cannot hold 30000x30000 pixels"):
        check_header(tmp_path / "a.jpg", sniff.JPEG)


def test_a_chunk_of_a_png_that_is_longer_than_the_file(tmp_path):
    """OpenCV would make room for two gigabytes. What comes after the end is no chunk."""
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30), np.uint8)).save(whole, "PNG")
    path, data = tmp_path / "a.png", bytearray(whole.getvalue())
    path.write_bytes(data + b"\xff" * 20)
    plausible.check_header(path, sniff.PNG)
    path.write_bytes(data[:-20])
    with pytest.raises(ImageError, match="a.png: .* cut short"):
        plausible.check_header(path, sniff.PNG)
    place = data.index(b"IDAT")
    data[place - 4 : place] = b"\x7f\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(ImageError, match="a.png: .* chunks alone would be 21474"):
        plausible.check_header(path, sniff.PNG)


def test_formats_that_are_not_decoded_whole_are_not_looked_at(tmp_path):
    check_header(tmp_path / "nowhere.tif", sniff.TIFF, 1)


def test_memory(tmp_path, monkeypatch):
    """Two processes hold the pixels for a moment."""
    monkeypatch.setattr(plausible, "available_memory", lambda: 2**31)
    check_memory(tmp_path / "a.png", (2**15, 2**15), 2**30)
    with pytest.raises(ImageError, match=r"a\.png: 32768x32768 pixels.* take 2\.0 GB.*2\.0 GB of memory are left"):
        check_memory(tmp_path / "a.png", (2**15, 2**15), 2**30 + 1)
    monkeypatch.setattr(plausible, "available_memory", lambda: None)
    check_memory(tmp_path / "a.png", (2**15, 2**15), 2**60)


def test_pixels(tmp_path):
    check_pixels(tmp_path / "a.tif", (30, 40), 1200)
    check_pixels(tmp_path / "a.tif", (30, 40), None)
    with pytest.raises(ImageError, match=r"a\.tif: 40x30 pixels are more than the 1199"):
        check_pixels(tmp_path / "a.tif", (30, 40), 1199)


@pytest.mark.parametrize(
    ("shape", "chunk", "fine"),
    [
        ((1024, 1024), (1, 1), True),
        ((1025, 1024), (1, 1), False),
        ((2**20, 2**15), (32, 32), True),  # many, and not small
        ((2**20 + 1, 31), (1, 31), False),
    ],
)
def test_chunks(tmp_path, shape, chunk, fine):
    if fine:
        check_chunks(tmp_path / "a.zarr", shape, chunk)
    else:
        with pytest.raises(ImageError, match=r"a\.zarr: \d+ chunks of .* are too many"):
            check_chunks(tmp_path / "a.zarr", shape, chunk)


class Page:
    """As much of a TIFF's page as is looked at, of 64x64 bytes in four strips."""

    shape, chunked, chunks, bitspersample, nbytes = (64, 64), (4, 1), (16, 64), 8, 4096
    dataoffsets = (8, 100, 200, 300)

    def __init__(self, compression, counts, offsets=dataoffsets):
        self.compression, self.databytecounts, self.dataoffsets = compression, counts, offsets


@pytest.mark.parametrize(
    ("compression", "counts", "fine"),
    [
        (1, (1024,) * 4, True),
        (1, (1024, 1024, 1024, 1023), False),
        (8, (1, 1, 1, 1), True),
        (5, (1, 0, 0, 0), True),  # parts are left out, which others count
        (34712, (1, 1, 1, 1), True),  # how well JPEG 2000 may pack is not known
    ],
)
def test_bytes_of_a_tiff(tmp_path, compression, counts, fine):
    if fine:
        check_tables(tmp_path / "a.tif", Page(compression, counts))
    else:
        with pytest.raises(ImageError, match=r"a\.tif: damaged TIFF: its 4095 bytes of pixels cannot hold the 4096"):
            check_tables(tmp_path / "a.tif", Page(compression, counts))


def test_tables_of_a_tiff_that_are_too_short(tmp_path):
    with pytest.raises(ImageError, match="64x64 pixels are 4 strips or tiles, and its tables name 3"):
        check_tables(tmp_path / "a.tif", Page(1, (1024,) * 3, (8, 100, 200)))


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", None])
def test_the_best_packed_images_pass(tmp_path, compression):
    """One value everywhere, in one strip, by each of the codecs whose limit is known."""
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3000, 3000), np.uint8), compression=compression, rowsperstrip=3000)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        check_tables(tmp_path / "a.tif", tiff.pages[0])


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_packed_numbers_need_fewer_bytes(bits):
    """As GDAL writes them; a byte less is too few."""
    page = SimpleNamespace(
        shape=(64, 80), chunked=(1,), chunks=(64, 80), dataoffsets=[8], compression=1, bitspersample=bits
    )
    page.databytecounts = [64 * 80 * bits // 8]
    check_tables(Path("a.tif"), page)
    page.databytecounts = [64 * 80 * bits // 8 - 1]
    with pytest.raises(ImageError, match=r"a\.tif: damaged TIFF"):
        check_tables(Path("a.tif"), page)
