"""The router's views of an image, and squares of it."""

import numpy as np
import pytest
from pictures import SMALL, picture, regions

from inference.image.forms import NormalisedImage, normalised_image
from inference.image.views import close_ups, liveliest_corner, router_view, square


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (120, 120), (256, 256), (480, 640), (2000, 1500)])
def test_router_view(shape):
    """The shorter side at 256 pixels, the central 224 of it: always 224x224x3, and the zoom that goes with it."""
    view, zoom = router_view(NormalisedImage(np.zeros(shape, np.uint8)))
    assert view.shape == (224, 224, 3)
    assert zoom == pytest.approx(256 / min(shape), rel=0.2 if min(shape) < 10 else 0.01)


def test_router_view_is_the_middle():
    image = np.zeros((256, 512), np.uint8)
    image[16:240, 144:368] = 200
    assert router_view(NormalisedImage(image))[0].min() == 200


@pytest.mark.parametrize(
    "side, zooms", [(100, []), (256, []), (512, [1.0]), (1024, [0.5, 1.0]), (2048, [0.25, 0.5, 1.0])]
)
def test_close_ups_go_down_to_the_images_own_pixels(side, zooms):
    assert [zoom for _, zoom in close_ups(NormalisedImage(np.zeros((side, side + 7), np.uint8)))] == pytest.approx(
        zooms
    )


def test_liveliest_corner_finds_the_cells():
    image = np.full((1000, 800), 30, np.uint8)
    image[700:760, 100:160] = np.random.default_rng(0).integers(0, 255, (60, 60))
    image = NormalisedImage(image)
    y, x = liveliest_corner(image, 300)
    assert y <= 700 <= y + 240
    assert x <= 100 <= x + 240
    assert liveliest_corner(image, 2000) == (0, 0)


def test_square_comes_from_the_overview_where_it_is_fine_enough():
    pixels = picture((160, 200), np.uint8)
    image = normalised_image(regions(pixels), SMALL)
    assert image.reduction == 10
    part, reduction = square(image, (40, 120), 60, 9.9)
    assert reduction == 1
    assert np.array_equal(part, image[40:100, 120:180])
    part, reduction = square(image, (40, 120), 60, 10)
    assert reduction == 10
    assert np.array_equal(part, image.overview[4:10, 12:18])
    assert square(image, (159, 199), 7, 99)[0].size > 0, "never nothing, even in the last corner"
    part, reduction = square(normalised_image(pixels), (150, 190), 60, 99)
    assert reduction == 1
    assert part.shape == (10, 10)
