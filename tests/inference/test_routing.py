"""The router's views of an image, and the choice of the view that tells the cells' size."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.normalisation import NormalisedImage
from inference.routing import Route, RouterNetwork, close_ups, liveliest_corner, mean_saturation, router_view, ruled_out
from models.router import RouterOutput
from training.measure.mosaic import make_image, read_cells


@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (120, 120), (256, 256), (480, 640), (2000, 1500)])
def test_router_view(shape):
    """The shorter side at 256 pixels, the central 224 of it: always 224x224x3, and the zoom that goes with it."""
    view, zoom = router_view(np.zeros(shape, np.uint8))
    assert view.shape == (224, 224, 3) and zoom == pytest.approx(256 / min(shape), rel=0.2 if min(shape) < 10 else 0.01)


def test_router_view_is_the_middle():
    image = np.zeros((256, 512), np.uint8)
    image[16:240, 144:368] = 200
    assert router_view(image)[0].min() == 200


@pytest.mark.parametrize("side, zooms", [(100, []), (256, []), (512, [1.0]), (1024, [0.5, 1.0]), (2048, [0.25, 0.5, 1.0])])
def test_close_ups_go_down_to_the_images_own_pixels(side, zooms):
    assert [zoom for _, zoom in close_ups(np.zeros((side, side + 7), np.uint8))] == pytest.approx(zooms)


def test_liveliest_corner_finds_the_cells():
    image = np.full((1000, 800), 30, np.uint8)
    image[700:760, 100:160] = np.random.default_rng(0).integers(0, 255, (60, 60))
    y, x = liveliest_corner(image, 300)
    assert y <= 700 <= y + 240 and x <= 100 <= x + 240
    assert liveliest_corner(image, 2000) == (0, 0)


@pytest.mark.parametrize("sizes, expected", [
    ([20, 60, 90], 20 / 0.25),  # the widest view is clear
    ([5, 18, 40], 18 / 0.5),
    ([2, 5, 9], 9 / 1.0),  # none is: the closest one
])
def test_diameter_comes_from_the_widest_clear_view(untrained_weights, sizes, expected):
    router = RouterNetwork(untrained_weights / "router.safetensors")
    router.model = lambda batch: RouterOutput(torch.tensor([[0.0, 9, 0, 0]] * 3), torch.tensor([math.log(s) for s in sizes]))
    route = router(np.zeros((1024, 1024), np.uint8))
    assert route.best == 1 and route.diameter == pytest.approx(expected)


def test_an_absurd_router_does_not_overflow(untrained_weights):
    router = RouterNetwork(untrained_weights / "router.safetensors")
    router.model = lambda batch: RouterOutput(torch.zeros(len(batch), 4), torch.full((len(batch),), 1e6))
    assert math.isfinite(router(np.zeros((64, 64), np.uint8)).diameter)


def test_three_channels_are_not_binary_and_colour_is_not_gray():
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[..., 0] = 200
    assert ruled_out(colour) == (0, 1)
    assert ruled_out(np.full((8, 8, 3), 90, np.uint8)) == (0,)
    assert ruled_out(np.zeros((8, 8), np.uint16)) == () == ruled_out(np.zeros((8, 8, 2), np.uint16))


@pytest.mark.parametrize("excluded, best", [((), 0), ((0,), 1), ((0, 1), 3)])
def test_an_excluded_class_is_never_chosen(untrained_weights, excluded, best):
    router = RouterNetwork(untrained_weights / "router.safetensors")
    router.model = lambda batch: RouterOutput(torch.tensor([[9.0, 5, 0, 1]] * len(batch)), torch.zeros(len(batch)))
    for matrix in ({}, {"expected_f1": [[0.9] * 4, [0.9] * 4, [0.1, 0.1, 0.2, 0.3], [0.9, 0.8, 0.1, 0.5]]}):
        router.config = matrix
        route = router(np.zeros((64, 64, 3), np.uint8), excluded)
        assert route.best == best and sum(route.probabilities) == pytest.approx(1)
        assert all(route.probabilities[k] == 0 for k in excluded)


def test_an_uncertain_image_goes_where_most_is_expected(untrained_weights):
    """Class 2 is the most probable one, but network 3 does well on all that the image may be."""
    router = RouterNetwork(untrained_weights / "router.safetensors")
    logits = [math.log(p) for p in (0.3, 0.1, 0.35, 0.25)]
    router.model = lambda batch: RouterOutput(torch.tensor([logits] * len(batch)), torch.zeros(len(batch)))
    image = np.zeros((64, 64), np.uint8)
    assert router(image).uncertain and router(image).best == 2 and router(image).expected_f1 is None
    router.config = {"expected_f1": [[0.9, 0.2, 0.1, 0.8], [0.4, 0.7, 0.4, 0.5], [0.3, 0.2, 0.8, 0.7], [0.6, 0.4, 0.5, 0.9]]}
    route = router(image)
    assert route.expected_f1 == pytest.approx((0.565, 0.3, 0.475, 0.76)) and route.best == 3
    assert router(image, (3,)).best == 0


def test_a_sure_router_decides_alone():
    assert Route((0.1, 0.3, 0.6, 0.0), 20.0, (0.9, 0.9, 0.1, 0.9)).best == 2


def test_mean_saturation_literal():
    pixels = np.array([[[0, 0, 0], [10, 10, 10], [200, 100, 200], [0, 0, 9]]], np.uint16)
    assert mean_saturation(pixels) == pytest.approx((0 + 0 + 0.5 + 1) / 4)
    assert mean_saturation(pixels[..., 0]) == 0 == mean_saturation(pixels[..., :2])


def test_a_large_image_is_routed_as_a_part_of_it():
    """The router has never seen an image reduced to a speckled square, and says anything of it."""
    router = RouterNetwork(Path(__file__).parents[2] / "weights" / "router.safetensors")
    cells, _ = read_cells(Path(__file__).parents[1] / "images", "gray", 0)
    small, large = (router(NormalisedImage(make_image(cells, side, side, 0))) for side in (900, 6500))
    assert large.best == small.best
    assert 0.67 < large.diameter / small.diameter < 1.5
