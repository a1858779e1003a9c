"""PNG, JPEG and their relatives, written by other programs; NumPy's arrays."""

import struct

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from inference.reading import ImageError, ReadOptions, open_images, read_image
from inference.reading.stores import StoreSettings


def difference(path, expected):
    read = read_image(path).pixels
    assert read.shape == expected.shape
    assert read.dtype == expected.dtype
    return np.abs(read.astype(int) - expected)


@pytest.mark.parametrize("kind", ["gray", "tissue"])
@pytest.mark.parametrize(
    "name, ending, options",
    [
        ("gdal_translate", "jp2", ("-q", "-of", "JP2OpenJPEG", "-co", "QUALITY=100", "-co", "REVERSIBLE=YES")),
        ("convert", "pnm", ()),
        ("convert", "bmp", ()),
        ("gdal_translate", "bmp", ("-q", "-of", "BMP")),
        ("vips", "pnm", ()),
        ("cjxl", "jxl", ("-q", "100")),
    ],
)
def test_lossless_formats_come_back_equal(program, request, tmp_path, kind, name, ending, options):
    source, expected = request.getfixturevalue(f"{kind}_png"), request.getfixturevalue(kind)
    path = tmp_path / f"a.{ending}"
    if name == "cjxl":
        program(name, source, path, *options)
    else:
        program(name, *(("copy",) if name == "vips" else options), source, path)
    assert difference(path, expected).max() == 0


@pytest.mark.parametrize("kind", ["gray", "tissue"])
@pytest.mark.parametrize(
    "name, ending, options",
    [
        ("convert", "jpg", ("-quality", "95")),
        ("convert", "webp", ("-quality", "95")),
        ("vips", "jp2", ()),
        ("cjxl", "jxl", ("-q", "95")),
        ("heif-enc", "heic", ("-q", "95")),
        ("heif-enc", "avif", ("-A", "-q", "95")),
    ],
)
def test_lossy_formats_come_back_nearly_equal(program, request, tmp_path, kind, name, ending, options):
    source, expected = request.getfixturevalue(f"{kind}_png"), request.getfixturevalue(kind)
    path = tmp_path / f"a.{ending}"
    if name == "heif-enc":
        program(name, *options, source, "-o", path)
    elif name == "cjxl":
        program(name, source, path, *options)
    elif name == "vips":
        program(name, "copy", source, path)
    else:
        program(name, source, *options, path)
    if kind == "gray" and ending == "webp":  # which has no gray
        expected = np.dstack([expected] * 3)
    assert difference(path, expected).mean() < 8


@pytest.mark.parametrize("ending, options", [("pgm", ()), ("png", ()), ("jp2", ()), ("jxl", ("-q", "100"))])
def test_16_bits(program, gray, tmp_path, ending, options):
    pixels = gray.astype(np.uint16) * 250
    assert cv2.imwrite(str(tmp_path / "in.png"), pixels)
    if ending == "jxl":
        program("cjxl", tmp_path / "in.png", tmp_path / "a.jxl", *options)
    elif ending == "jp2":
        program(
            "gdal_translate",
            "-of",
            "JP2OpenJPEG",
            "-co",
            "QUALITY=100",
            "-co",
            "REVERSIBLE=YES",
            tmp_path / "in.png",
            tmp_path / "a.jp2",
        )
    else:
        program("vips", "copy", tmp_path / "in.png", tmp_path / f"a.{ending}")
    assert difference(tmp_path / f"a.{ending}", pixels).max() == 0


def test_two_levels_of_netpbm(program, gray, gray_png, tmp_path):
    program("convert", gray_png, "-threshold", "50%", tmp_path / "a.pbm")
    assert difference(tmp_path / "a.pbm", np.where(gray > 127, 255, 0).astype(np.uint8)).max() == 0


@pytest.mark.parametrize("end", ["", "\n", " "])
@pytest.mark.parametrize("most", [255, 60_000])
def test_numbers_in_words_of_netpbm(gray, tissue, tmp_path, most, end):
    """With and without a last line that is ended; a file that is cut short lacks more than that."""
    for name, number, pixels in (("a.pgm", 2, gray), ("a.ppm", 3, tissue)):
        expected = pixels if most == 255 else pixels.astype(np.uint16) * 200
        words = f"P{number}\n96 72\n{most}\n" + " ".join(map(str, expected.ravel().tolist()))
        (tmp_path / name).write_text(words + end)
        assert difference(tmp_path / name, expected).max() == 0
        (tmp_path / name).write_text(words.rpartition(" ")[0])
        with pytest.raises(ImageError, match="damaged or cut short"):
            read_image(tmp_path / name)


@pytest.mark.parametrize("order", ["BGRX", "RGBX", "XBGR"])
def test_a_bmp_with_an_order_of_colours_of_its_own(tissue, tmp_path, order):
    stored = np.zeros((*tissue.shape[:2], 4), np.uint8)
    for i, colour in enumerate("RGB"):
        stored[..., order.index(colour)] = tissue[..., i]
    masks = b"".join((0xFF << 8 * order.index(colour)).to_bytes(4, "little") for colour in "RGB")
    numbers = (40, 96, 72, 1 | 32 << 16, 3, stored.size, 0, 0, 0, 0)  # size of the header, columns, rows, ...
    header = b"".join(number.to_bytes(4, "little") for number in (66 + stored.size, 0, 66, *numbers))
    (tmp_path / "a.bmp").write_bytes(b"BM" + header + masks + stored[::-1].tobytes())
    assert difference(tmp_path / "a.bmp", tissue).max() == 0
    (tmp_path / "a.bmp").write_bytes(b"BM" + header + masks[:10] + b"\x03" + masks[11:] + stored.tobytes())
    with pytest.raises(ImageError, match=r"a\.bmp: .*no whole bytes"):
        read_image(tmp_path / "a.bmp")


def test_a_bmp_of_os_2_keeps_its_colours(tissue, tmp_path):
    rows = np.ascontiguousarray(tissue[::-1, :, ::-1]).tobytes()
    header = struct.pack("<2sIHHIIHHHH", b"BM", 26 + len(rows), 0, 0, 26, 12, 96, 72, 1, 24)
    (tmp_path / "a.bmp").write_bytes(header + rows)
    assert np.array_equal(read_image(tmp_path / "a.bmp").pixels, tissue)


def test_the_resolution_behind_a_long_colour_profile(gray, tmp_path):
    profile = np.random.default_rng(0).bytes(9000)
    PillowImage.fromarray(gray).save(tmp_path / "a.png", dpi=(254_000, 254_000), icc_profile=profile)
    assert read_image(tmp_path / "a.png").pixel_size == pytest.approx((0.1, 0.1), rel=0.01)


def test_the_first_of_several_jpegs_in_one_file(tissue, tmp_path):
    """MPO, of cameras: their further pictures are previews, or of another eye."""
    first, second = PillowImage.fromarray(tissue), PillowImage.fromarray(255 - tissue)
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second], quality=95)
    assert difference(tmp_path / "a.mpo", tissue).mean() < 3


def test_alpha_of_pillow(gray, tissue, tmp_path):
    """Gray and colours with opacity, and a palette with a transparent entry."""
    opacity = np.full(gray.shape, 9, np.uint8)
    PillowImage.fromarray(np.dstack([gray, opacity]), "LA").save(tmp_path / "la.png")
    assert difference(tmp_path / "la.png", gray).max() == 0
    for name in ("a.png", "a.webp"):
        PillowImage.fromarray(np.dstack([tissue, opacity]), "RGBA").save(tmp_path / name, lossless=True, exact=True)
        assert difference(tmp_path / name, tissue).max() == 0
    PillowImage.fromarray(tissue).quantize(256).save(tmp_path / "p.png", transparency=3)
    assert difference(tmp_path / "p.png", tissue).mean() < 12


@pytest.mark.parametrize("dpi, expected", [((50_800, 101_600), (0.25, 0.5)), ((96, 96), None), (None, None)])
def test_the_resolution_of_a_microscope_not_of_a_screen(gray, tmp_path, dpi, expected):
    PillowImage.fromarray(gray).save(tmp_path / "a.png", **({"dpi": dpi} if dpi else {}))
    assert read_image(tmp_path / "a.png").pixel_size == (expected and pytest.approx(expected, rel=1e-4))


def test_cmyk_jpeg(program, tissue, tissue_png, tmp_path):
    program("convert", tissue_png, "-colorspace", "CMYK", "-quality", "95", tmp_path / "a.jpg")
    assert difference(tmp_path / "a.jpg", tissue).mean() < 6


@pytest.mark.parametrize("writer", ["convert", "gdal_translate", "vips"])
def test_gif(program, gray, gray_png, tmp_path, writer):
    """A GIF has a palette of colours; 256 grays fit in."""
    program(
        writer,
        *{"convert": (), "gdal_translate": ("-of", "GIF"), "vips": ("copy",)}[writer],
        gray_png,
        tmp_path / "a.gif",
    )
    assert difference(tmp_path / "a.gif", np.dstack([gray] * 3)).mean() < 3


def test_frames_of_a_gif_are_time_points(gray, tmp_path):
    frames = [PillowImage.fromarray(gray), PillowImage.fromarray(255 - gray)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError, match="2 time points"):
        read_image(tmp_path / "a.gif")
    assert np.array_equal(read_image(tmp_path / "a.gif", ReadOptions(t=2)).pixels[..., 0], 255 - gray)


@pytest.mark.parametrize("ending", ["png", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "LA"])
def test_of_several_pictures_the_first_is_used_aloud(gray, tmp_path, ending, mode):
    frames = [PillowImage.fromarray(np.roll(gray, step)).convert(mode) for step in range(3)]
    frames[0].save(tmp_path / f"many.{ending}", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(tmp_path / f"one.{ending}", lossless=True)
    many, one = (read_image(tmp_path / f"{name}.{ending}") for name in ("many", "one"))
    assert np.array_equal(many.pixels, one.pixels)
    assert one.warnings == ()
    assert many.warnings == (f"many.{ending}: it shows several pictures in turn, of which the first is used",)


def test_of_several_pictures_in_heic_the_main_one_is_used_aloud(program, gray, gray_png, tissue_png, tmp_path):
    program("heif-enc", gray_png, tissue_png, "-q", "95", "-o", tmp_path / "a.heic")
    picture = read_image(tmp_path / "a.heic")
    assert np.abs(picture.pixels.astype(int) - gray).mean() < 2
    assert picture.warnings == ("a.heic: it holds several pictures, of which the main one is used",)


@pytest.mark.parametrize(
    "shape, axes", [((20, 30), "YX"), ((20, 30, 3), "YXS"), ((20, 30, 2), "YXC"), ((2, 20, 30), "CYX")]
)
def test_numpy(tmp_path, shape, axes):
    """C and Fortran order, whole and by region."""
    array = np.random.default_rng(0).integers(0, 60_000, shape, np.uint16)
    expected = array.transpose(1, 2, 0) if axes == "CYX" else array
    for name, stored in (("c.npy", array), ("f.npy", np.asfortranarray(array))):
        np.save(tmp_path / name, stored)
        picture = read_image(tmp_path / name)
        assert np.array_equal(picture.pixels, expected)
        assert picture.axes.startswith(axes + " ")
        region = open_images(tmp_path / name, settings=StoreSettings(whole_bytes=0))[0].open().pixels
        assert not isinstance(region, np.ndarray)
        assert np.array_equal(region[3:17, 2:30], expected[3:17, 2:30])


def test_numpy_arrays_that_are_no_images(tmp_path):
    np.save(tmp_path / "objects.npy", np.array({"masks": 1}, dtype=object), allow_pickle=True)
    np.save(tmp_path / "line.npy", np.zeros(9))
    np.save(tmp_path / "stack.npy", np.zeros((9, 20, 30)))
    for name, words in (("objects", "not a plain NumPy array"), ("line", "no image"), ("stack", "9 pages.*--axes ZYX")):
        with pytest.raises(ImageError, match=rf"{name}\.npy: .*{words}"):
            read_image(tmp_path / f"{name}.npy")


@pytest.mark.parametrize("ending", ["gif", "jp2", "jxl", "avif", "heic", "webp", "pgm", "bmp"])
def test_files_cut_short_are_named(program, gray_png, tmp_path, ending):
    path = tmp_path / f"cells 1.{ending}"
    if ending == "jxl":
        program("cjxl", gray_png, path)
    elif ending in ("avif", "heic"):
        program("heif-enc", *(("-A",) if ending == "avif" else ()), gray_png, "-o", path)
    else:
        program("convert", gray_png, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(ImageError, match=r"cells 1\.\w+: .*(?:copy it again|convert it)"):
        read_image(path)
