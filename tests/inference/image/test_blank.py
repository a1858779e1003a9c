"""inference.image.blank: white lines between panels and the black around a round field take none of the contrast."""

import numpy as np
import pytest

from inference.image.blank import WithoutBlank, black_around, white_lines, without_blank
from inference.image.normalisation import CommonEnds, Normalisation, normalise

RNG = np.random.default_rng(0)
WAVES = np.sin(np.arange(200) / 9)[:, None] * np.cos(np.arange(150) / 7)
PANEL = np.rint(120 + 50 * WAVES + RNG.normal(0, 2, WAVES.shape)).astype(np.uint8)  # as of phase contrast
TISSUE = np.dstack([PANEL + 60, PANEL, 255 - PANEL])
ROUND = np.hypot(*np.ogrid[-1:1:200j, -1:1:150j]) < 1


def panels(panel, width=12, white=255):
    """Two panels side by side in a frame, with white between and around them."""
    framed = np.full((panel.shape[0] + 10, 2 * panel.shape[1] + width + 10, *panel.shape[2:]), white, panel.dtype)
    framed[5:-5, 5 : 5 + panel.shape[1]] = framed[5:-5, -5 - panel.shape[1] : -5] = panel
    return framed


@pytest.mark.parametrize("panel", [PANEL, TISSUE, PANEL.astype(np.uint16) * 20, PANEL / np.float32(255)])
def test_panels_are_as_bright_as_alone(panel):
    white = np.iinfo(panel.dtype).max if panel.dtype.kind == "u" else 1
    image = panels(panel, white=white)
    found = normalise(image)
    inside = found[5:-5, 5 : 5 + panel.shape[1]].astype(int)
    assert np.abs(inside - normalise(panel)).max() <= 2
    assert (found[:5] == 255).all()
    common = CommonEnds()
    common.add(image)
    assert np.allclose(common.ends, Normalisation.measure(image).ends, rtol=0.02)


def test_fluorescence_in_one_hue_between_white_lines_is_gray():
    cells = np.zeros((200, 150, 3), np.uint8)
    cells[..., 2] = PANEL // 4 * (RNG.random((200, 150)) < 0.2)
    assert normalise(panels(cells)).ndim == 2


def test_a_round_field_is_as_bright_as_a_whole_one():
    image = np.where(ROUND, PANEL, np.uint8(3))
    found = normalise(image)
    assert np.abs(found.astype(int) - normalise(PANEL))[ROUND].max() <= 4
    assert (found[~ROUND] == 0).all()
    colours = np.where(ROUND[..., None], TISSUE, np.uint8(5))
    assert np.abs(normalise(colours).astype(int) - normalise(TISSUE))[ROUND].max() <= 4


def test_dark_cells_in_a_round_field_keep_their_contrast():
    """They are as dark as the black around it could be, and not as black."""
    y, x = np.mgrid[:200, :150]
    cells = ((y - 100) % 50 - 25) ** 2 + ((x - 75) % 50 - 25) ** 2 < 60
    image = np.where(cells, 30 + RNG.integers(0, 10, (200, 150)), PANEL)
    image = np.where(ROUND, image, RNG.integers(0, 4, (200, 150))).astype(np.uint8)
    assert 3 <= black_around(np.atleast_3d(image)) < 10
    found = normalise(image)
    assert found[ROUND & cells].std() > 3


def test_lines_are_found_to_the_pixel():
    rows, columns = white_lines(np.atleast_3d(panels(PANEL).astype(np.float32)))
    assert np.flatnonzero(rows).tolist() == [*range(5), *range(205, 210)]
    assert np.flatnonzero(columns).tolist() == [*range(5), *range(155, 167), *range(317, 322)]


@pytest.mark.parametrize(
    "image",
    [
        np.full((50, 60), 255),
        np.zeros((50, 60)),
        np.maximum(panels(PANEL), 255 * (RNG.random((210, 322)) < 0.03)),  # white in many places
        RNG.poisson(300, (50, 60)),
    ],
)
def test_images_without_white_lines(image):
    rows, columns = white_lines(np.atleast_3d(image.astype(np.float32)))
    assert not rows.any()
    assert not columns.any()


@pytest.mark.parametrize(
    "image",
    [
        np.where(ROUND, PANEL // 8 * (RNG.random((200, 150)) < 0.2), 0),  # cells in the dark
        PANEL * np.clip(1.5 - np.hypot(*np.ogrid[-1:1:200j, -1:1:150j]), 0, 1),  # a vignette
        np.where(ROUND | (np.arange(150) < 75), PANEL, 3),  # two corners
        np.where((np.arange(200) % 40 < 12)[:, None], 20, PANEL),  # dark things that reach two corners
        np.zeros((50, 60)),
        np.zeros((0, 4)),
    ],
)
def test_images_without_a_round_field(image):
    assert black_around(np.atleast_3d(image.astype(np.float32))) < 0


def test_noise_between_white_lines_is_nothing():
    assert not normalise(panels(RNG.normal(100, 3, (200, 150)).astype(np.uint8)))[5:205, 5:155].any()


def test_regions_are_read_without_what_is_blank():
    image = panels(np.where(ROUND, PANEL, np.uint8(3)))
    rows, columns = np.arange(210) < 5, (np.arange(322) > 100) & (np.arange(322) < 150)
    blanked = WithoutBlank(image, rows, columns, 4.0)
    expected = np.where(image <= 4, 0, image)[~rows][:, ~columns]
    assert (blanked.shape, blanked.ndim, blanked.dtype) == (expected.shape, 2, np.uint8)
    for region in ((slice(0, 205), slice(0, 273)), (slice(3, 90), slice(1, None)), (slice(None), slice(90, 130))):
        assert np.array_equal(blanked[region], expected[region])
    assert np.array_equal(blanked[::4, ::3], np.where(image <= 4, 0, image)[5::4, ::3][:, ~columns[::3]])


def test_of_a_large_image_a_sample_tells():
    image = np.repeat(np.repeat(panels(PANEL, width=14), 3, 0), 3, 1)
    assert np.array_equal(
        without_blank(image, image[::3, ::3])[:, :], image[15:-15][:, [*range(15, 465), *range(507, 957)]]
    )
    assert without_blank(PANEL, PANEL[::2, ::2]) is PANEL
