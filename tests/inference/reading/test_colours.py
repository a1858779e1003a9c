"""Palettes, CMYK, Lab and YCbCr: single colours by hand."""

import numpy as np
import pytest
from matplotlib import colormaps

from inference.reading.colours import cmyk_to_rgb, converted, lab_to_rgb, with_palette, ycbcr_to_rgb
from inference.reading.series import Series

SERIES = Series(np.array([[0, 2], [1, 1]], np.uint8), "YX", "TIFF", notes=("first",))


@pytest.mark.parametrize(
    "cmyk, rgb",
    [
        ((0, 0, 0, 0), (255, 255, 255)),
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 0, 0, 51), (204, 204, 204)),
        ((51, 0, 102, 51), (163, 204, 122)),  # 204 * 204 / 255 and 153 * 204 / 255
    ],
)
def test_cmyk(cmyk, rgb):
    assert cmyk_to_rgb(np.array([[cmyk]], np.uint8)).tolist() == [[list(rgb)]]


def test_cmyk_of_16_bits_and_further_inks():
    found = cmyk_to_rgb(np.array([[(65_535, 0, 0, 0, 9_999)]], np.uint16))
    assert found.dtype == np.uint16
    assert found.tolist() == [[[0, 65_535, 65_535]]]


@pytest.mark.parametrize("offset, white", [(False, (255, 0, 0)), (True, (255, 128, 128))])
def test_lab_of_bytes(offset, white):
    black = (0, *white[1:])
    found = lab_to_rgb(offset)(np.array([[white, black]], np.uint8))
    assert found.dtype == np.uint8
    assert found.tolist() == [[[255] * 3, [0] * 3]]


def test_signed_and_offset_lab_are_the_same_colours():
    """a* of -56 and b* of 40: stored as 200 and 40, or as 72 and 168."""
    signed = lab_to_rgb(False)(np.array([[(150, 200, 40)]], np.uint8))
    shifted = lab_to_rgb(True)(np.array([[(150, 72, 168)]], np.uint8))
    assert np.array_equal(signed, shifted)
    assert signed[0, 0].argmax() == 1, "green"


def test_lab_of_16_bits():
    """ICC's white has an L* of 255 * 256."""
    found = lab_to_rgb(True)(np.array([[(255 * 256, 128 * 256, 128 * 256)]], np.uint16))
    assert found.dtype == np.uint16
    assert found.tolist() == [[[65_535] * 3]]


def test_lab_that_is_called_signed():
    """As libvips writes its LABS: white's L* does not fit into int16."""
    found = lab_to_rgb(False)(np.array([[(-1, 0, 0)]], np.int16))
    assert found.dtype == np.uint16
    assert found.tolist() == [[[65_535] * 3]]


def test_lab_with_opacity():
    assert lab_to_rgb(True)(np.array([[(255, 128, 128, 7)]], np.uint8)).tolist() == [[[255] * 3]]
    assert lab_to_rgb(True)(np.array([[(100, 0, 0, 7)]], np.float32)).tolist() == [[[255] * 3]]


def test_lab_of_floats_gives_bytes():
    """L*, a* and b* of sRGB's red."""
    found = lab_to_rgb(False)(np.array([[(53.24, 80.09, 67.2)]], np.float64))
    assert found.dtype == np.uint8
    assert np.abs(found[0, 0].astype(int) - (255, 0, 0)).max() <= 1


def test_ycbcr():
    """Gray, and the numbers of a JPEG's red."""
    found = ycbcr_to_rgb(np.array([[(90, 128, 128), (76, 85, 255)]], np.uint8))
    assert found[0, 0].tolist() == [90, 90, 90]
    assert np.abs(found[0, 1].astype(int) - (255, 0, 0)).max() <= 2


@pytest.mark.parametrize(
    "dtype, expected", [(np.uint8, np.uint8), (">u2", "=u2"), ("<i2", "=u2"), (np.float32, np.uint8)]
)
def test_a_converted_series(dtype, expected):
    series = Series(np.zeros((2, 2, 4), dtype), "YXS", "TIFF", alpha=1, notes=("first",))
    found = converted(series, "Lab", abs)
    assert found.convert is abs
    assert found.converted == (3, np.dtype(expected))
    assert (found.colours, found.alpha) == ("RGB", 0)
    assert found.notes == ("first", "converted from Lab")


def ramp(colour, entries=256):
    return np.rint(np.outer(np.linspace(0, 65_535, entries), colour)).astype(np.uint16)


@pytest.mark.parametrize("colour", [(1, 1, 1), (0, 1, 0), (1, 0.5, 0)])
def test_a_ramp_is_left_out(colour):
    """The stored numbers are the brightness; where the ramp falls, they are inverted."""
    rising, falling = with_palette(SERIES, ramp(colour)), with_palette(SERIES, ramp(colour)[::-1])
    assert (rising.inverted, rising.convert, rising.notes[-1]) == (False, None, "colour ramp left out")
    assert (falling.inverted, falling.convert, falling.notes[-1]) == (True, None, "falling colour ramp: inverted")


def test_a_table_of_grays_gives_one_channel():
    found = with_palette(SERIES, np.repeat([[100], [65_535], [300]], 3, axis=1).astype(np.uint16))
    assert found.convert(SERIES.store)[..., 0].tolist() == [[100, 300], [65_535, 65_535]]
    assert found.converted == (1, np.dtype(np.uint16))
    assert (found.colours, found.notes) == ("", ("first", "table of grays"))


def test_a_table_of_colours():
    table = np.array([[1, 2, 3], [40, 50, 60], [700, 800, 900]], np.uint16)
    found = with_palette(SERIES, table)
    assert found.convert(SERIES.store).tolist() == [[[1, 2, 3], [700, 800, 900]], [[40, 50, 60]] * 2]
    assert found.converted == (3, np.dtype(np.uint16))
    assert (found.colours, found.notes) == ("RGB", ("first", "table of colours"))


@pytest.mark.parametrize("grays", [False, True])
def test_a_table_beside_opacity(grays):
    table = np.array([[1, 2, 3], [40, 50, 60], [700, 800, 900]], np.uint16)[:, [0, 0, 0] if grays else [0, 1, 2]]
    found = with_palette(SERIES, table)
    beside = np.dstack([SERIES.store, np.full_like(SERIES.store, 9)])
    assert np.array_equal(found.convert(beside), found.convert(SERIES.store))


def test_a_table_for_two_levels():
    table = np.array([[1, 2, 3], [400, 500, 600]], np.uint16)
    assert with_palette(SERIES, table).convert(np.array([[True, False]])).tolist() == [[[400, 500, 600], [1, 2, 3]]]


@pytest.mark.parametrize(
    "table",
    [
        np.rint(colormaps["viridis"](np.arange(256))[:, :3] * 255).astype(np.uint16) * 257,
        colormaps["jet"](np.arange(256))[:, :3] * 65_535,
        np.vstack([[0, 0, 65_535], ramp((1, 1, 1))[1:-1], [65_535, 0, 0]]),  # ImageJ's HiLo
    ],
    ids=["viridis", "jet", "hilo"],
)
def test_tables_for_display_are_left_out(table):
    found = with_palette(SERIES, table.astype(np.uint16))
    assert (found.inverted, found.convert, found.notes[-1]) == (False, None, "colour ramp left out")


def test_a_long_table_that_jumps_is_no_ramp():
    table = ramp((1, 0.5, 0))
    table[100] = 0
    assert with_palette(SERIES, table).notes[-1] == "table of colours"


def test_a_short_ramp_is_a_table():
    assert with_palette(SERIES, ramp((1, 0.5, 0), 63)).notes[-1] == "table of colours"
