"""Overlays: the image as it looks, and outlines that can be seen on it."""

import cv2
import numpy as np
import pytest
from PIL import Image

from inference.limits import Limits
from inference.outputs.overlay import (
    COLOURS,
    OverlayStyle,
    draw_overlay,
    own_picture,
    parse_colour,
    reduction,
    standing_out,
    write_png,
)


def test_outlines_lie_on_the_border_pixels_of_both_neighbours():
    labels = np.zeros((7, 9), np.int32)
    labels[1:6, 1:5], labels[1:6, 5:8] = 1, 2
    marked = (draw_overlay(np.full((7, 9), 50, np.uint8), labels, OverlayStyle((1, 2, 3))) == (1, 2, 3)).all(axis=2)
    assert marked[1, 1:8].all()
    assert marked[3, [1, 4, 5, 7]].all()
    assert not marked[3, [2, 3, 6]].any()
    assert not marked[labels == 0].any()


@pytest.mark.parametrize("width, pixels", [(1, 4 * 9 - 4), (3, 4 * 9 - 4)])
def test_width(width, pixels):
    labels = np.zeros((30, 30), np.int32)
    labels[10:20, 10:20] = 1
    marked = (draw_overlay(np.zeros((30, 30), np.uint8), labels, OverlayStyle((1, 2, 3), width)) == (1, 2, 3)).all(
        axis=2
    )
    assert np.count_nonzero(marked[15]) == 2 * width
    assert np.count_nonzero(marked[:, 15]) == 2 * width


def test_labels_of_a_row_and_a_column_more_than_the_reduced_image():
    labels = np.zeros((8, 10), np.int32)
    labels[2:5, 2:6] = 70_000
    assert draw_overlay(np.zeros((7, 9, 3), np.uint8), labels).shape == (7, 9, 3)


@pytest.mark.parametrize(
    "background, cells",
    [
        ((0, 0, 0), (255, 255, 255)),
        ((255, 255, 255), (90, 60, 130)),
        ((0, 0, 0), (0, 200, 0)),
        ((128,) * 3, (160,) * 3),
    ],
)
def test_outlines_stand_out_from_cells_and_background(background, cells):
    """Bright nuclei, stained nuclei, green fluorescence, phase contrast."""
    labels = np.zeros((30, 30), np.int32)
    labels[10:20, 10:20] = 1
    picture = np.where((labels > 0)[..., None], np.uint8(cells), np.uint8(background))
    colour = draw_overlay(picture, labels)[10, 15]
    assert tuple(colour) in COLOURS.values()
    lab = [cv2.cvtColor(np.float32([[c]]) / 255, cv2.COLOR_RGB2LAB)[0, 0] for c in (colour, cells)]
    assert abs(lab[0][0] - lab[1][0]) + 0.5 * np.hypot(*(lab[0] - lab[1])[1:]) > 60


def test_yellow_is_not_taken_on_bright_nuclei():
    assert standing_out(np.full((100, 3), 250, np.uint8)) != COLOURS["yellow"]
    assert standing_out(np.zeros((0, 3), np.uint8)) == COLOURS["yellow"]


@pytest.mark.parametrize("text, colour", [("red", (255, 0, 0)), ("#ff8000", (255, 128, 0)), ("auto", None)])
def test_colours_by_name_and_number(text, colour):
    assert parse_colour(text) == colour


@pytest.mark.parametrize("text", ["crimson", "#ff80", "#gg0000", ""])
def test_what_is_no_colour(text):
    with pytest.raises(ValueError, match="no colour.*yellow.*#ff8000"):
        parse_colour(text)


def test_a_stained_section_is_shown_as_it_is():
    """Its channels are not stretched one by one, which makes nuclei black."""
    pixels = np.random.default_rng(0).integers(90, 250, (40, 50, 3), dtype=np.uint8)
    assert np.array_equal(own_picture(pixels, photograph=True), pixels)


def test_a_photograph_of_16_bits_keeps_its_colours():
    pixels = np.zeros((40, 50, 3), np.uint16)
    pixels[:, :25], pixels[:, 25:] = (4000, 2000, 1000), (0, 2000, 4000)
    shown = own_picture(pixels, photograph=True)
    assert shown[0, 0].tolist() == [255, 127, 63]
    assert shown[0, 49].tolist() == [0, 127, 255]


def test_each_fluorescence_channel_has_its_own_contrast():
    pixels = np.zeros((40, 50, 2), np.uint16)
    pixels[:20, :, 0], pixels[:, 25:, 1] = 60_000, 30
    shown = own_picture(pixels, photograph=False)
    assert shown[0, 49].tolist() == [255, 255, 0]
    assert shown[39, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, np.float64])
def test_a_dim_image_is_stretched(dtype):
    pixels = np.linspace(10, 40, 3000).reshape(50, 60).astype(dtype)
    shown = own_picture(pixels, photograph=False)
    assert shown.dtype == np.uint8
    assert shown.min() < 5
    assert shown.max() == 255


def test_an_even_image_and_one_without_numbers_are_black():
    assert not own_picture(np.full((5, 6), 7, np.uint16), False).any()
    assert not own_picture(np.full((5, 6), np.nan), False).any()


@pytest.mark.parametrize("channels", [None, 1, 2, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int32])
def test_a_large_image_is_shown_in_small(channels, dtype):
    limits = Limits(shown_pixels=100, small_pixels=90)
    shape = (31, 25) if channels is None else (31, 25, channels)
    pixels = np.broadcast_to(np.linspace(0, 200, 31)[:, None].reshape(31, 1, *(1,) * (len(shape) - 2)), shape).astype(
        dtype
    )
    assert reduction((31, 25), limits) == 3
    shown = own_picture(pixels, photograph=False, limits=limits)
    assert shown.shape == ((10, 8) if channels in (None, 1) else (10, 8, 3))
    assert (np.diff(shown[:, 0].astype(int).reshape(10, -1)[:, 0]) > 0).all()


@pytest.mark.parametrize("shape", [(1, 10**9), (10**9, 1)])
def test_a_line_is_not_reduced_to_nothing(shape):
    assert reduction(shape) == 1


def test_numbers_are_written_into_the_cells():
    labels = np.zeros((60, 120), np.int32)
    labels[5:55, 5:55], labels[5:55, 65:115] = 1, 2
    plain, written = (
        draw_overlay(np.full((60, 120), 90, np.uint8), labels, OverlayStyle((255, 255, 0), 1, n)) for n in (False, True)
    )
    changed = (plain != written).any(axis=2)
    y, x = np.nonzero(changed[:, :60])
    assert changed[:, :60].any()
    assert changed[:, 60:].any()
    assert abs(y.mean() - 30) < 4
    assert abs(x.mean() - 30) < 4
    assert not np.array_equal(written[:, 5:55], written[:, 65:115])


def test_no_cells():
    picture = np.full((5, 6, 3), 9, np.uint8)
    assert np.array_equal(draw_overlay(picture, np.zeros((5, 6), np.int32), OverlayStyle(numbers=True)), picture)


def test_the_file_has_the_colours_in_the_right_order(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    write_png(tmp_path / "a.png", picture)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), picture)


def test_a_full_disk_is_told_as_one(tmp_path, room):
    with room(100), pytest.raises(OSError) as raised:
        write_png(tmp_path / "a.png", np.arange(30_000, dtype=np.uint8).reshape(100, 100, 3))
    assert raised.value.strerror == "File too large"
