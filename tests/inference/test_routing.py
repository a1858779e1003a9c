"""The choice of the class, and of the view that tells the cells' size."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.image.forms import NormalisedImage, normalised_image
from inference.routing import SATURATION_BLOCK, Route, RouterNetwork, mean_saturation, ruled_out
from models.router import RouterOutput
from training.measure.mosaic import make_image, read_cells


def output(classes, log_diameters):
    features = torch.arange(float(len(classes))).view(-1, 1)
    return RouterOutput(torch.tensor(classes), torch.tensor(log_diameters), features)


@pytest.mark.parametrize(
    "sizes, expected",
    [
        ([20, 60, 90], 20 / 0.25),  # the widest view is clear
        ([5, 18, 40], 18 / 0.5),
        ([2, 5, 9], 9 / 1.0),  # none is: the closest one
    ],
)
def test_diameter_comes_from_the_widest_clear_view(sizes, expected):
    router = RouterNetwork(lambda batch: output([[0.0, 9, 0, 0]] * 3, [math.log(s) for s in sizes]))
    route = router(NormalisedImage(np.zeros((1024, 1024), np.uint8)))
    assert route.best == 1
    assert route.diameter == pytest.approx(expected)


def test_an_absurd_router_does_not_overflow():
    router = RouterNetwork(lambda batch: output([[0.0] * 4] * len(batch), [1e6] * len(batch)))
    assert math.isfinite(router(NormalisedImage(np.zeros((64, 64), np.uint8))).diameter)


def test_colours_are_not_binary_and_strong_ones_not_gray():
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[..., 0] = 200
    assert ruled_out(colour, gray=False) == (0, 1)
    assert ruled_out(np.full((8, 8, 3), 90, np.uint8), gray=False) == (0,)
    assert ruled_out(np.zeros((8, 8, 2), np.uint16), gray=False) == ()


def test_what_one_channel_shows_is_of_any_class_however_it_is_stored():
    for stored in (np.zeros((8, 8), np.uint16), np.full((8, 8, 3), 90, np.uint8), np.eye(3, dtype=np.uint8)[None]):
        assert ruled_out(stored, gray=True) == ()


@pytest.mark.parametrize("excluded, best", [((), 0), ((0,), 1), ((0, 1), 3)])
def test_an_excluded_class_is_never_chosen(excluded, best):
    router = RouterNetwork(lambda batch: output([[9.0, 5, 0, 1]] * len(batch), [0.0] * len(batch)))
    for matrix in (None, [[0.9] * 4, [0.9] * 4, [0.1, 0.1, 0.2, 0.3], [0.9, 0.8, 0.1, 0.5]]):
        router.expected_f1 = matrix
        route = router(NormalisedImage(np.zeros((64, 64, 3), np.uint8)), excluded)
        assert route.best == best
        assert sum(route.probabilities) == pytest.approx(1)
        assert all(route.probabilities[k] == 0 for k in excluded)


def test_an_uncertain_image_goes_where_most_is_expected():
    """Class 2 is the most probable one, but network 3 does well on all that the image may be."""
    logits = [math.log(p) for p in (0.3, 0.1, 0.35, 0.25)]
    router = RouterNetwork(lambda batch: output([logits] * len(batch), [0.0] * len(batch)))
    image = NormalisedImage(np.zeros((64, 64), np.uint8))
    assert router(image).uncertain
    assert router(image).best == 2
    assert router(image).expected_f1 is None
    router.expected_f1 = [[0.9, 0.2, 0.1, 0.8], [0.4, 0.7, 0.4, 0.5], [0.3, 0.2, 0.8, 0.7], [0.6, 0.4, 0.5, 0.9]]
    route = router(image)
    assert route.expected_f1 == pytest.approx((0.565, 0.3, 0.475, 0.76))
    assert route.best == 3
    assert router(image, (3,)).best == 0


def test_a_sure_router_decides_alone():
    assert Route((0.1, 0.3, 0.6, 0.0), 20.0, (0.9, 0.9, 0.1, 0.9)).best == 2


def test_mean_saturation_literal():
    values = np.array([[[0, 0, 0], [10, 10, 10], [200, 100, 200], [0, 0, 9]]], np.uint16)
    pixels = values.repeat(SATURATION_BLOCK, 0).repeat(SATURATION_BLOCK, 1)
    assert mean_saturation(pixels) == pytest.approx((0 + 0 + 0.5 + 1) / 4)
    assert mean_saturation(pixels[..., 0]) == 0 == mean_saturation(pixels[..., :2])


def test_noise_is_no_colour():
    gray = np.full((200, 200, 3), 100.0)
    noisy = (gray + np.random.default_rng(0).normal(0, 15, gray.shape)).astype(np.uint8)
    assert ruled_out(noisy, gray=False) == (0,)
    noisy[..., 2] //= 2
    assert ruled_out(noisy, gray=False) == (0, 1)


def test_a_large_image_is_routed_as_a_part_of_it():
    """The router has never seen an image reduced to a speckled square, and says anything of it."""
    router = RouterNetwork.load(Path(__file__).parents[2] / "weights" / "router.safetensors")
    cells, _ = read_cells(Path(__file__).parents[1] / "images", "gray", 0)
    small, large = (router(normalised_image(make_image(cells, side, side, 0))) for side in (900, 6500))
    assert large.best == small.best
    assert 0.67 < large.diameter / small.diameter < 1.5
