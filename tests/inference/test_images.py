"""Reading and normalising: every common kind of file, and one clear error for every bad one."""

import cv2
import numpy as np
import pytest
import tifffile

from inference.images import ImageError, normalise, read_image, to_three_channels

RNG = np.random.default_rng(0)
GRAY = RNG.integers(1, 250, (20, 30), np.uint8)
RGB = RNG.integers(0, 255, (20, 30, 3), np.uint8)


def write(path, pixels, **options):
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, pixels, **options)
    else:
        assert cv2.imwrite(str(path), pixels if pixels.ndim == 2 else pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]])
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("pixels", [GRAY, RGB], ids=["gray", "rgb"])
def test_lossless_files_come_back_equal(tmp_path, suffix, pixels):
    assert np.array_equal(read_image(write(tmp_path / f"a.{suffix}", pixels)).pixels, pixels)


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_files_have_the_right_shape_and_channel_order(tmp_path, suffix):
    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 0] = 200
    pixels = read_image(write(tmp_path / f"a.{suffix}", red)).pixels
    assert pixels.shape == red.shape and pixels[..., 0].min() > 180 and pixels[..., 1:].max() < 40


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float16, np.float32, np.float64, bool])
def test_every_tiff_dtype(tmp_path, dtype):
    pixels = (GRAY > 100) if dtype is bool else GRAY.astype(dtype)
    read = read_image(write(tmp_path / "a.tif", pixels)).pixels
    assert read.shape == GRAY.shape and np.array_equal(read.astype(float), pixels.astype(float))
    assert normalise(read).dtype == np.uint8


def test_16_bit_png(tmp_path):
    pixels = GRAY.astype(np.uint16) * 200
    assert np.array_equal(read_image(write(tmp_path / "a.png", pixels)).pixels, pixels)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_tiff_compressions_and_tiles(tmp_path, compression, tile):
    path = write(tmp_path / "a.tif", RGB, photometric="rgb", compression=compression, tile=tile)
    assert np.array_equal(read_image(path).pixels, RGB)


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_alpha_is_dropped(tmp_path, kind):
    rgba = np.dstack((RGB, np.full((20, 30), 7, np.uint8)))
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"]} if kind == "tif" else {}
    assert np.array_equal(read_image(write(tmp_path / f"a.{kind}", rgba, **options)).pixels, RGB)


@pytest.mark.parametrize("axes, shape, expected", [
    ("CYX", (2, 20, 30), (20, 30, 2)), ("CYX", (3, 20, 30), (20, 30, 3)), ("CYX", (5, 20, 30), (20, 30, 3)), ("ZYX", (1, 20, 30), (20, 30)),
    ("TZCYX", (1, 1, 3, 20, 30), (20, 30, 3)), ("YX", (20, 30), (20, 30)),
])
def test_ome_axes(tmp_path, axes, shape, expected):
    pixels = RNG.integers(0, 255, shape, np.uint8)
    read = read_image(write(tmp_path / "a.ome.tif", pixels, metadata={"axes": axes}, photometric="minisblack"))
    assert read.pixels.shape == expected
    assert np.array_equal(read.pixels.reshape(20, 30, -1)[..., 0], pixels.reshape(-1, 20, 30)[0])
    assert bool(read.warnings) == (5 in shape)


def test_inverted_and_palette_tiff(tmp_path):
    assert np.array_equal(read_image(write(tmp_path / "a.tif", GRAY, photometric="miniswhite")).pixels, 255 - GRAY)
    colours = RNG.integers(0, 65535, (3, 256), np.uint16)
    read = read_image(write(tmp_path / "b.tif", GRAY, photometric="palette", colormap=colours)).pixels
    assert np.array_equal(read, np.moveaxis(colours, 0, -1)[GRAY])


def test_resolution_is_read(tmp_path):
    picture = read_image(write(tmp_path / "a.tif", GRAY, resolution=(4, 2), resolutionunit="CENTIMETER"))
    assert picture.resolution == ((2.0, 4.0), 3)


def test_the_content_decides_not_the_suffix(tmp_path):
    write(tmp_path / "a.png", RGB).rename(tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, RGB)


@pytest.mark.parametrize("content, words", [
    (b"", "empty"), (b"not an image", "not a readable"), (b"II*\0\x08\0\0\0garbage", "TIFF"), (b"\x89PNG\r\n\x1a\nxxxx", "not a readable"),
])
def test_bad_files_are_named_with_the_remedy(tmp_path, content, words):
    path = tmp_path / "cells 1.tif"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as error:
        read_image(path)
    assert "cells 1.tif" in str(error.value) and ("copy" in str(error.value) or "export" in str(error.value))


def test_missing_file_and_cut_tiff(tmp_path):
    with pytest.raises(ImageError, match=r"nothing\.png: cannot be opened"):
        read_image(tmp_path / "nothing.png")
    path = write(tmp_path / "cut.tif", RNG.integers(0, 255, (300, 300), np.uint8), compression="zlib")
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ImageError, match=r"cut\.tif"):
        read_image(path)


@pytest.mark.parametrize("axes, words", [("ZYX", "7 z planes"), ("TYX", "7 time points"), ("ZCYX", "7 z planes")])
def test_stacks_are_refused_with_the_number_of_planes(tmp_path, axes, words):
    shape = (7, 20, 30) if len(axes) == 3 else (7, 2, 20, 30)
    path = write(tmp_path / "a.ome.tif", np.zeros(shape, np.uint8), metadata={"axes": axes}, photometric="minisblack")
    with pytest.raises(ImageError, match=words):
        read_image(path)


def slow_normalise(channel):
    """The rule as numpy states it."""
    values = channel.astype(np.float64)
    low, high = np.percentile(values[values != 0], (1, 99))
    return (np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
def test_normalise_is_the_rule_for_every_dtype(dtype):
    channel = RNG.integers(0, 120, (61, 47)).astype(dtype) * (1 if dtype == np.uint8 else 9)
    difference = normalise(channel).astype(int) - slow_normalise(channel)
    assert np.abs(difference).max() <= (0 if dtype in (np.uint8, np.uint16) else 1)  # float32 rounds once more


def test_normalise_literal():
    channel = np.array([[0, 10, 20, 30]], np.uint8)  # non-zero percentiles 1 and 99: 10.2 and 29.8
    assert normalise(channel).tolist() == [[0, 0, 127, 255]]


def test_normalise_special_images():
    assert normalise(np.zeros((3, 4), np.uint16)).tolist() == np.zeros((3, 4)).tolist()
    assert normalise(np.full((3, 4), 9, np.uint8)).max() == 0
    holes = np.array([[np.nan, 1, 2, 3, np.inf, -np.inf]], np.float32)
    assert normalise(holes)[0, [0, 3, 4, 5]].tolist() == [0, 255, 0, 0]
    equal = np.repeat(GRAY[:, :, None], 3, axis=2)
    assert np.array_equal(normalise(equal), normalise(GRAY))
    two = normalise(np.dstack((GRAY, GRAY[::-1])))
    assert two.shape == (20, 30, 3) and two[..., 2].max() == 0 and np.array_equal(two[..., 0], normalise(GRAY))
    assert to_three_channels(GRAY).shape == (20, 30, 3)


def test_normalise_counts_exactly_above_2_to_the_24_pixels():
    image = np.full((4097, 4096), 7, np.uint8)
    image[:50] = 200
    assert np.array_equal(normalise(image)[[0, 60]], [[255] * 4096, [0] * 4096])
