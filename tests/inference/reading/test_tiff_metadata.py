"""The size of a pixel from every place where a TIFF may have it, and only from there."""

import numpy as np
import pytest
import tifffile

from inference.reading import read_image

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
    if expected:
        (y, x), code = picture.resolution
        assert code == 3 and x == y == pytest.approx(1e4 / expected, rel=1e-5), "the labels get it in centimetres"


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
    assert picture.resolution[0] == pytest.approx(
        (20_000, 20_000) if unit == "INCH" and expected else resolution[::-1]
    ), "for the labels"


def test_aperio(tmp_path):
    text = "Aperio Image Library v11.2.1\r\n30x20 [0,0 30x20] (16x16) Raw|AppMag = 20|MPP = 0.4990"
    with tifffile.TiffWriter(tmp_path / "a.svs") as tiff:
        tiff.write(np.zeros((20, 30, 3), np.uint8), tile=(16, 16), description=text, metadata=None, photometric="rgb")
    assert read_image(tmp_path / "a.svs").pixel_size == (0.499, 0.499)
