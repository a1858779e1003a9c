"""Reading every common kind of file, whole and region by region, and one clear error for every bad one.

What readers hand over, inference.reading.series, is tested here and with each reader.
"""

import re

import cv2
import numpy as np
import pytest
import tifffile
import zarr

from inference.reading import ImageError, ReadOptions, Regions, open_image, open_images, read_image
from inference.reading.options import parse_axes
from inference.reading.stores import StoreSettings

RNG = np.random.default_rng(0)
BY_REGION = StoreSettings(whole_bytes=0)
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
    assert pixels.shape == red.shape
    assert pixels[..., 0].min() > 180
    assert pixels[..., 1:].max() < 40


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.float16, np.float32, np.float64, bool])
def test_every_tiff_dtype(tmp_path, dtype):
    pixels = (GRAY > 100) if dtype is bool else GRAY.astype(dtype)
    read = read_image(write(tmp_path / "a.tif", pixels)).pixels
    assert read.shape == GRAY.shape
    assert np.array_equal(read.astype(float), pixels.astype(float))


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


@pytest.mark.parametrize(
    "axes, shape, expected",
    [
        ("CYX", (2, 20, 30), (20, 30, 2)),
        ("CYX", (3, 20, 30), (20, 30, 3)),
        ("ZYX", (1, 20, 30), (20, 30)),
        ("TZCYX", (1, 1, 3, 20, 30), (20, 30, 3)),
        ("YX", (20, 30), (20, 30)),
    ],
)
def test_ome_axes(tmp_path, axes, shape, expected):
    pixels = RNG.integers(0, 255, shape, np.uint8)
    read = read_image(write(tmp_path / "a.ome.tif", pixels, metadata={"axes": axes}, photometric="minisblack"))
    assert read.pixels.shape == expected
    assert np.array_equal(read.pixels.reshape(20, 30, -1)[..., 0], pixels.reshape(-1, 20, 30)[0])
    assert not read.warnings


def test_inverted_and_palette_tiff(tmp_path):
    assert np.array_equal(read_image(write(tmp_path / "a.tif", GRAY, photometric="miniswhite")).pixels, 255 - GRAY)
    colours = RNG.integers(0, 65535, (3, 256), np.uint16)
    read = read_image(write(tmp_path / "b.tif", GRAY, photometric="palette", colormap=colours)).pixels
    assert np.array_equal(read, np.moveaxis(colours, 0, -1)[GRAY])


def test_the_maximum_of_planes_is_of_what_they_show(tmp_path):
    """Also where 0 is stored for white."""
    stack = RNG.integers(0, 255, (3, 20, 30), np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for plane in 255 - stack:
            tiff.write(plane, photometric="miniswhite", contiguous=False, metadata=None)
    picture = read_image(tmp_path / "a.tif", ReadOptions(axes="ZYX", z="max"))
    assert np.array_equal(picture.pixels, stack.max(axis=0))


def test_axes_that_are_advised_are_taken(tmp_path):
    """Of an array of two unknown axes."""
    np.save(tmp_path / "a.npy", np.zeros((3, 5, 64, 64), np.uint8))
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "a.npy")
    advised = re.findall(r"--axes (\w+)", str(caught.value))
    assert advised
    for axes in advised:
        assert parse_axes(axes) == axes


def test_names_that_hold_the_word_label_are_images(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tiff:
        for name, width in (("macrophages 1", 120), ("unlabelled", 110), ("macro image", 100)):
            pixels = np.zeros((100, width), np.uint8)
            tiff.write(pixels, photometric="minisblack", metadata={"axes": "YX", "Name": name})
    assert [image.open().shape[1] for image in open_images(tmp_path / "a.ome.tif")] == [120, 110]


def test_resolution_is_read(tmp_path):
    picture = read_image(write(tmp_path / "a.tif", GRAY, resolution=(40_000, 20_000), resolutionunit="CENTIMETER"))
    assert picture.pixel_size == (0.5, 0.25)


def test_the_content_decides_not_the_suffix(tmp_path):
    write(tmp_path / "a.png", RGB).rename(tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, RGB)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "empty"),
        (b"not an image", "not a readable"),
        (b"II*\0\x08\0\0\0garbage", "TIFF"),
        (b"\x89PNG\r\n\x1a\nxxxx", "not a readable"),
    ],
)
def test_bad_files_are_named_with_the_remedy(tmp_path, content, words):
    path = tmp_path / "cells 1.tif"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=words) as error:
        read_image(path)
    assert "cells 1.tif" in str(error.value)
    assert "; copy it again" in str(error.value)


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


# Large images, region by region

SLIDE = RNG.integers(0, 255, (150, 203, 3), np.uint8)
PLACES = [
    (slice(0, 1), slice(0, 1)),
    (slice(149, 150), slice(202, 203)),
    (slice(60, 131), slice(17, 190)),
    (slice(0, 150, 7), slice(3, 203, 5)),
    (slice(140, 999), slice(None)),
]


def write_tiff(name, pixels, **options):
    return lambda folder: write(folder / name, pixels, **options)


def write_pyramid(folder, name="a.ome.tif", **options):
    """Full resolution with two smaller levels in SubIFDs."""
    with tifffile.TiffWriter(folder / name, **options) as tiff:
        common = {"tile": (32, 48), "compression": "zlib", "photometric": "rgb"}
        tiff.write(SLIDE, subifds=2, metadata={"axes": "YXS"}, **common)
        for level in (2, 4):
            tiff.write(np.ascontiguousarray(SLIDE[::level, ::level]), subfiletype=1, **common)
    return folder / name


def write_aperio(folder):
    """As a slide scanner's .svs: tiles, a thumbnail in strips, a smaller level, a label; told by the description."""
    with tifffile.TiffWriter(folder / "a.svs") as tiff:
        common = {"photometric": "rgb", "compression": "zlib", "metadata": None}
        maker = "Aperio Image Library v11.2.1\r\n"
        text = maker + "203x150 [0,0 203x150] (32x32) JPEG/RGB Q=70|AppMag = 20|MPP = 0.5"
        tiff.write(SLIDE, tile=(32, 32), description=text, **common)
        tiff.write(
            np.ascontiguousarray(SLIDE[::8, ::8]), rowsperstrip=16, description=maker + "203x150 -> 26x19 - ", **common
        )
        tiff.write(np.ascontiguousarray(SLIDE[::4, ::4]), tile=(32, 32), description=text, **common)
        tiff.write(
            np.ascontiguousarray(SLIDE[:20, :20]),
            rowsperstrip=16,
            subfiletype=1,
            description=maker + "label 20x20",
            **common,
        )
    return folder / "a.svs"


def write_zarr(folder, pixels, axes, version, chunks, **attributes):
    """An OME-Zarr group with two levels, as the specifications 0.4 (Zarr 2) and 0.5 (Zarr 3) say."""
    group = zarr.open_group(folder / "a.ome.zarr", mode="w", zarr_format=version)
    for level, data in (("0", pixels), ("s1", pixels[..., ::2, ::2])):
        group.create_array(level, shape=data.shape, chunks=chunks, dtype=data.dtype)[...] = data
    multiscales = [{"axes": [{"name": name} for name in axes], "datasets": [{"path": "0"}, {"path": "s1"}]}]
    group.attrs.update(
        {"ome": {"version": "0.5", "multiscales": multiscales}} if version == 3 else {"multiscales": multiscales}
    )
    return folder / "a.ome.zarr"


CHANNELS_FIRST = np.ascontiguousarray(np.moveaxis(SLIDE, 2, 0))
BITS_16, FLOATS = SLIDE.astype(np.uint16) * 250, SLIDE[..., 0].astype(np.float32)
RGBA = np.dstack((SLIDE, SLIDE[..., :1]))
ALPHA = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
COLOURS = RNG.integers(0, 65535, (3, 256), np.uint16)
LARGE = {
    "tiled": (write_tiff("a.tif", SLIDE, photometric="rgb", tile=(32, 64), compression="zlib"), SLIDE),
    "tiles without compression": (write_tiff("a.tif", SLIDE, photometric="rgb", tile=(32, 64)), SLIDE),
    "tiled gray": (write_tiff("a.tif", SLIDE[..., 0], tile=(32, 64), compression="zlib"), SLIDE[..., 0]),
    "tiled, planes": (
        write_tiff(
            "a.tif", CHANNELS_FIRST, photometric="rgb", planarconfig="separate", tile=(32, 32), compression="zlib"
        ),
        SLIDE,
    ),
    "strips": (
        write_tiff("a.tif", SLIDE, photometric="rgb", rowsperstrip=16, compression="lzw", predictor=True),
        SLIDE,
    ),
    "contiguous": (write_tiff("a.tif", SLIDE, photometric="rgb"), SLIDE),
    "contiguous big-endian": (write_tiff("a.tif", BITS_16, photometric="rgb", byteorder=">"), BITS_16),
    "contiguous big-endian floats": (write_tiff("a.tif", FLOATS, byteorder=">"), FLOATS),
    "contiguous planes": (write_tiff("a.tif", CHANNELS_FIRST, photometric="rgb", planarconfig="separate"), SLIDE),
    "BigTIFF": (write_tiff("a.tif", SLIDE, photometric="rgb", tile=(32, 64), compression="zlib", bigtiff=True), SLIDE),
    "ImageJ": (
        write_tiff("a.tif", CHANNELS_FIRST[:2].astype(np.uint16), imagej=True, metadata={"axes": "CYX"}),
        SLIDE[..., :2].astype(np.uint16),
    ),
    "palette": (
        write_tiff("a.tif", SLIDE[..., 0], photometric="palette", colormap=COLOURS, tile=(32, 32)),
        COLOURS.T[SLIDE[..., 0]],
    ),
    "inverted": (write_tiff("a.tif", SLIDE[..., 0], photometric="miniswhite", tile=(32, 32)), 255 - SLIDE[..., 0]),
    "inverted, contiguous": (write_tiff("a.tif", SLIDE[..., 0], photometric="miniswhite"), 255 - SLIDE[..., 0]),
    "two levels of gray": (write_tiff("a.tif", SLIDE[..., 0] > 99), (SLIDE[..., 0] > 99).astype(np.uint8)),
    "alpha": (write_tiff("a.tif", RGBA, tile=(32, 32), **ALPHA), SLIDE),
    "alpha, contiguous": (write_tiff("a.tif", RGBA, **ALPHA), SLIDE),
    "gray and alpha": (
        write_tiff(
            "a.tif",
            SLIDE[..., :2],
            photometric="minisblack",
            planarconfig="contig",
            extrasamples=["unassalpha"],
            tile=(32, 32),
        ),
        SLIDE[..., 0],
    ),
    "OME channels": (
        write_tiff("a.ome.tif", CHANNELS_FIRST, metadata={"axes": "CYX"}, photometric="minisblack", tile=(32, 32)),
        SLIDE,
    ),
    "pyramid": (write_pyramid, SLIDE),
    "pyramid without OME": (lambda folder: write_pyramid(folder, "a.tif", bigtiff=True), SLIDE),
    "Aperio": (write_aperio, SLIDE),
    "Zarr 2": (lambda folder: write_zarr(folder, SLIDE[..., 0], "yx", 2, (64, 64)), SLIDE[..., 0]),
    "Zarr 3": (
        lambda folder: write_zarr(folder, SLIDE[..., 0].astype(np.uint16), "yx", 3, (64, 64)),
        SLIDE[..., 0].astype(np.uint16),
    ),
    "Zarr 2, channels": (lambda folder: write_zarr(folder, CHANNELS_FIRST, "cyx", 2, (1, 64, 64)), SLIDE),
    "Zarr 3, all axes": (
        lambda folder: write_zarr(folder, CHANNELS_FIRST[None, :, None], "tczyx", 3, (1, 3, 1, 64, 64)),
        SLIDE,
    ),
}


@pytest.mark.parametrize("kind", LARGE)
def test_regions_of_a_large_file_are_those_of_the_whole(tmp_path, kind):
    """Read whole, and with nothing small enough to be read whole: the same pixels, axes and pixel size."""
    make, expected = LARGE[kind]
    path = make(tmp_path)
    whole = read_image(path)
    assert isinstance(whole.pixels, np.ndarray)
    assert whole.pixels.dtype == expected.dtype
    assert np.array_equal(whole.pixels, expected)
    picture = open_image(path, settings=BY_REGION)
    pixels = picture.pixels
    assert (picture.axes, picture.pixel_size, picture.warnings) == (whole.axes, whole.pixel_size, whole.warnings)
    assert picture.shape == expected.shape[:2]
    assert pixels.shape == expected.shape
    assert pixels.dtype == expected.dtype
    assert pixels.ndim == expected.ndim
    assert isinstance(pixels, Regions)
    assert not isinstance(pixels.store, np.ndarray)
    for place in PLACES:
        region = pixels[place]
        assert region.dtype == expected.dtype
        assert region.flags.c_contiguous
        assert np.array_equal(region, expected[place])
    assert np.array_equal(read_image(path, settings=BY_REGION).pixels, expected)


def test_a_large_compressed_strip_is_read_whole(tmp_path):
    """In one strip of 90 kB no row can be read without the others."""
    path = write(tmp_path / "a.tif", SLIDE, photometric="rgb", rowsperstrip=150, compression="zlib")
    pixels = open_image(path, settings=StoreSettings(whole_bytes=0, chunk_bytes=50_000)).pixels
    assert isinstance(pixels, np.ndarray)
    assert np.array_equal(pixels, SLIDE)


def test_a_region_of_a_tiled_file_reads_only_its_tiles(tmp_path):
    """The tiles that are not asked for are broken, and nobody notices."""
    path = write(tmp_path / "a.tif", SLIDE, photometric="rgb", tile=(32, 64), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offsets, counts = tiff.pages[0].dataoffsets, tiff.pages[0].databytecounts
    data = bytearray(path.read_bytes())
    for offset, count in zip(offsets[4:], counts[4:]):
        data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    assert np.array_equal(open_image(path, settings=BY_REGION).pixels[0:32, :], SLIDE[:32])


def test_a_plain_zarr_array(tmp_path):
    zarr.open_array(tmp_path / "a.zarr", mode="w", shape=(150, 203), chunks=(64, 64), dtype="u1")[:] = SLIDE[..., 1]
    assert np.array_equal(open_image(tmp_path / "a.zarr").pixels, SLIDE[..., 1])
    assert np.array_equal(open_image(tmp_path / "a.zarr", settings=BY_REGION).pixels[3:9, :], SLIDE[3:9, :, 1])


def test_an_image_of_5_gigapixels_is_opened_at_once(tmp_path):
    """Zarr stores no empty chunks; the far corner of 100,000 x 50,000 pixels."""
    array = zarr.open_array(tmp_path / "a.zarr", mode="w", shape=(100_000, 50_000), chunks=(512, 512), dtype="u1")
    array[99_990:, 49_990:] = 7
    pixels = open_image(tmp_path / "a.zarr").pixels
    assert pixels.shape == (100_000, 50_000)
    assert pixels.nbytes == 5_000_000_000
    assert pixels[99_980:, 49_980:].sum() == 700


@pytest.mark.parametrize("axes, words", [("zyx", "7 z planes"), ("tyx", "7 time points"), ("zcyx", "7 z planes")])
def test_zarr_stacks_are_refused(tmp_path, axes, words):
    shape = (7, 20, 30) if len(axes) == 3 else (7, 2, 20, 30)
    path = write_zarr(tmp_path, np.ones(shape, np.uint8), axes, 2, shape)
    with pytest.raises(ImageError, match=r"a\.ome\.zarr: .*" + words):
        open_image(path)


def test_large_stacks_and_files_cut_short_are_refused_before_anything_is_read(tmp_path):
    stack = write(
        tmp_path / "stack.ome.tif", np.zeros((7, 20, 30), np.uint8), metadata={"axes": "ZYX"}, photometric="minisblack"
    )
    with pytest.raises(ImageError, match=r"stack\.ome\.tif: .*7 z planes"):
        open_image(stack, settings=BY_REGION)
    for options in (
        {"tile": (32, 64), "compression": "zlib"},
        {"tile": (32, 64)},
        {"rowsperstrip": 16, "compression": "lzw"},
        {},
    ):
        path = write(tmp_path / "cut.tif", SLIDE, photometric="rgb", **options)
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(ImageError, match=r"cut\.tif: .*cut short.*copy it again"):
            open_image(path, settings=BY_REGION)


def test_a_damaged_part_is_reported_with_the_files_name_when_it_is_read(tmp_path):
    path = write(tmp_path / "cells 2.tif", SLIDE, photometric="rgb", tile=(32, 64), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[-1], tiff.pages[0].databytecounts[-1]
    data = path.read_bytes()
    path.write_bytes(data[:offset] + bytes(count) + data[offset + count :])
    pixels = open_image(path, settings=BY_REGION).pixels
    assert np.array_equal(pixels[:128, :], SLIDE[:128])
    with pytest.raises(ImageError, match=r"cells 2\.tif: .*damaged.*copy it again"):
        pixels[100:150, :]


def test_folders_that_are_no_zarr_are_named(tmp_path):
    for name, attributes in (("empty.zarr", None), ("group.zarr", {}), ("none.zarr", {"multiscales": []})):
        (tmp_path / name).mkdir()
        if attributes is not None:
            zarr.open_group(tmp_path / name, mode="w", zarr_format=2).attrs.update(attributes)
        with pytest.raises(ImageError, match=rf"{name}: not an OME-Zarr image.*export it again"):
            open_image(tmp_path / name)
