"""The size of a pixel from every place where a TIFF may have it, and only from there."""

import numpy as np
import pytest
import tifffile

from inference.reading import ReadOptions, read_image
from tests.helpers.tags import ASCII, FLOAT, RATIONAL, write_with_tags

PIXELS = np.arange(600, dtype=np.uint16).reshape(20, 30)


def write(path, **options):
    tifffile.imwrite(path, PIXELS, **options)
    return read_image(path)


@pytest.mark.parametrize(
    "unit, length, expected", [("µm", 0.5, 0.5), ("nm", 325, 0.325), ("mm", 0.001, 1.0), ("pixel", 2, None)]
)
def test_ome(tmp_path, unit, length, expected):
    sizes = {f"PhysicalSize{axis}{end}": value for axis in "XY" for end, value in (("", length), ("Unit", unit))}
    picture = write(tmp_path / "a.ome.tif", metadata={"axes": "YX", **sizes})
    assert picture.pixel_size == (None if expected is None else pytest.approx((expected, expected)))


@pytest.mark.parametrize(
    "unit, expected", [("um", 0.325), ("micron", 0.325), ("\\u00B5m", 0.325), ("nm", 0.000325), ("pixel", None)]
)
def test_imagej(tmp_path, unit, expected):
    picture = write(tmp_path / "a.tif", imagej=True, resolution=(1 / 0.325, 1 / 0.325), metadata={"unit": unit})
    assert picture.pixel_size == (None if expected is None else pytest.approx((expected, expected), rel=1e-5))


def test_labels_of_imagej_are_those_of_slices(tmp_path):
    """In a composite of one slice these are its channels, in a stack of colours they are not."""
    names = ["DAPI", "GFP", "Cy5"]
    composite = {"axes": "CYX", "Labels": names, "mode": "composite"}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 20, 30), np.uint16), imagej=True, metadata=composite)
    assert read_image(tmp_path / "a.tif").channels == tuple(names)
    colours = {"axes": "ZYXS", "Labels": names}
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((3, 20, 30, 3), np.uint8), imagej=True, metadata=colours)
    assert read_image(tmp_path / "b.tif", ReadOptions(z=2)).channels == ("red", "green", "blue")


def test_dots_per_inch_of_imagej_are_a_printers(tmp_path):
    assert write(tmp_path / "a.tif", imagej=True, resolution=(300, 300), metadata={"unit": "inch"}).pixel_size is None
    scanned = write(tmp_path / "b.tif", imagej=True, resolution=(25400, 25400), metadata={"unit": "inch"})
    assert scanned.pixel_size == pytest.approx((1, 1))


@pytest.mark.parametrize(
    "resolution, unit, expected",
    [
        ((20_000, 40_000), "CENTIMETER", (0.25, 0.5)),
        ((50_800, 50_800), "INCH", (0.5, 0.5)),
        ((300, 300), "INCH", None),
        ((28.34, 28.34), "CENTIMETER", None),
        ((2, 2), "NONE", None),
    ],
)
def test_resolution_tags_of_a_microscope_not_of_a_printer(tmp_path, resolution, unit, expected):
    picture = write(tmp_path / "a.tif", resolution=resolution, resolutionunit=unit, metadata=None)
    assert picture.pixel_size == (expected and pytest.approx(expected))


def test_aperio(tmp_path):
    text = "Aperio Image Library v11.2.1\r\n30x20 [0,0 30x20] (16x16) Raw|AppMag = 20|MPP = 0.4990"
    with tifffile.TiffWriter(tmp_path / "a.svs") as tiff:
        tiff.write(np.zeros((20, 30, 3), np.uint8), tile=(16, 16), description=text, metadata=None, photometric="rgb")
    assert read_image(tmp_path / "a.svs").pixel_size == (0.499, 0.499)


@pytest.mark.parametrize(
    ("length", "unit", "said"),
    [
        ("NaN", "nm", "a.ome.tif: its pixel size of nan nm is not understood and is left out"),
        ("-1", "nm", "a.ome.tif: its pixel size of -1 nm is not understood and is left out"),
        ("wide", "µm", "a.ome.tif: its pixel size of wide µm is not understood and is left out"),
        ("1", "parsec", "a.ome.tif: its pixel size of 1 parsec is not understood and is left out"),
        ("1e300", "µm", "a.ome.tif: its pixel size of 1e+300 µm cannot be true and is left out"),
        ("2", "pixel", None),
        ("2", "µm", None),
    ],
)
def test_a_pixel_size_that_is_left_out_is_told(tmp_path, length, unit, said):
    sizes = {f"PhysicalSize{axis}{end}": value for axis in "XY" for end, value in (("", length), ("Unit", unit))}
    picture = write(tmp_path / "a.ome.tif", metadata={"axes": "YX", **sizes})
    assert picture.warnings == ((said,) if said else ())


@pytest.mark.parametrize(
    ("value", "warned"),
    [
        (((1, 0), RATIONAL), True),
        (((0, 1), RATIONAL), True),
        ((float("nan"), FLOAT), True),
        ((float("inf"), FLOAT), True),
        (((300, 1), RATIONAL), False),
        ((300.0, FLOAT), False),
    ],
)
def test_a_resolution_that_is_left_out_is_told(tmp_path, value, warned):
    path = write_with_tags(tmp_path / "a.tif", PIXELS, {282: value, 283: value})
    said = ("a.tif: its resolution cannot be true and is left out",) if warned else ()
    assert read_image(path).warnings == said


def test_a_resolution_that_is_no_number(tmp_path):
    path = write_with_tags(tmp_path / "a.tif", PIXELS, {282: ("odd", ASCII)})
    (warning,) = read_image(path).warnings
    assert warning.startswith("a.tif: its metadata (channel names, pixel size) are not understood and left out")


@pytest.mark.parametrize("unit", [0, 77])
def test_an_unknown_unit_of_resolution_is_none(tmp_path, unit):
    picture = read_image(write_with_tags(tmp_path / "a.tif", PIXELS, {296: (unit, None)}))
    assert picture.pixel_size is None
