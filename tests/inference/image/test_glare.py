"""inference/image/glare.py: when a few bright places leave too little of the contrast to the rest."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from inference.door import picture_of
from inference.image.forms import normalised_image
from inference.image.glare import share_of_the_dim
from inference.image.normalisation import Normalisation, normalise
from inference.limits import LIMITS
from inference.routing import Route
from inference.segmenter import Segmenter
from inference.stopwatch import Stopwatch

RNG = np.random.default_rng(0)


def disk(shape, centre, radius):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return np.hypot(y - centre[0], x - centre[1]) <= radius


def field(spot=0.0, cells=100.0, noise=2.0, shape=(240, 320)):
    """Cells of radius 8 on a grid, with noise, and a spot of radius 30, 3.7 % of the image."""
    image = RNG.normal(10, noise, shape)
    for y in range(20, shape[0], 40):
        for x in range(20, shape[1], 40):
            image[disk(shape, (y, x), 8)] += cells
    if spot:
        image[disk(shape, (120, 160), 30)] = spot
    return image.clip(0).astype(np.float32)


def test_without_bright_places_nothing_is_dim():
    assert share_of_the_dim(normalise(field())) is None


@pytest.mark.parametrize("times", [8, 15])
def test_the_share_is_what_the_cells_have(times):
    """The cells lie at 1 / times of the contrast, 0.45 of the share."""
    share = share_of_the_dim(normalise(field(spot=100 * times)))
    assert share is not None
    assert abs(share * 0.45 * times - 1) < 0.3


@pytest.mark.parametrize(
    "image",
    [
        field(spot=1500, cells=0),  # nothing but noise around the spot
        field(spot=1500, cells=0, noise=0),
        field(spot=400),  # a fourth of the contrast will do
        np.zeros((240, 320), np.float32),
        field(spot=1000)[:18, :320],  # too narrow to tell
        field(spot=60_000, cells=150),  # less than a gray level is left of the cells
    ],
)
def test_nothing_to_bring_out(image):
    assert share_of_the_dim(normalise(image)) is None


def test_a_share_is_less_than_all():
    """Of 576 places half are dim, and nearly a fifth lie below the bright ones."""
    place = np.repeat([[0, 1]], 5, axis=1).repeat(10, axis=0)
    levels = np.repeat([25, 190, 255], [300, 110, 166]).reshape(24, 24)
    assert share_of_the_dim(np.kron(levels, place).astype(np.uint8)) is None
    levels[levels == 190] = 25
    assert share_of_the_dim(np.kron(levels, place).astype(np.uint8)) < 0.3


def test_the_lower_share_of_a_channel_is_stretched():
    normalisation = Normalisation((1,), ((10.0, 110.0),))
    dim = normalisation.without_glare(0.25)
    assert dim.ends == ((10.0, 35.0),)
    assert normalisation.glare
    assert not dim.glare


class Router:
    """Says class and probability of the first image that it is shown, then those of the second."""

    def __init__(self, *answers):
        self.answers = list(answers)

    def __call__(self, image, excluded=()):
        likeliest, probability = self.answers.pop(0)
        probabilities = [(1 - probability) / 3] * 4
        probabilities[likeliest] = probability
        return Route(tuple(probabilities), 16.0)


@pytest.mark.parametrize(
    "before, after, taken",
    [
        ((0, 0.6), (0, 0.9), True),
        ((0, 0.9), (0, 0.6), False),
        ((0, 0.6), (1, 0.9), False),  # of another class
        ((2, 0.6), (1, 0.9), True),  # a gray image is of neither class of colour images
        ((3, 0.6), (0, 0.5), True),
        ((3, 0.9), (3, 0.8), False),
    ],
)
def test_the_rest_is_stretched_where_the_router_is_then_surer(before, after, taken):
    picture = picture_of(field(spot=1000))
    image, _ = Segmenter(Router(before, after), {}, "cpu")._normalised(picture, None, Stopwatch())
    assert image.normalisation.glare is not taken
    plain = normalised_image(picture.pixels)
    assert (image[:, :].mean() > 1.5 * plain[:, :].mean()) == taken


def test_a_contrast_that_is_given_stays():
    ends = ((0.0, 1000.0),)
    image, route = Segmenter(Router(), {}, "cpu")._normalised(picture_of(field(spot=1000)), ends, Stopwatch())
    assert route is None
    assert image.normalisation.glare
    assert image.normalisation.ends == ends


@pytest.mark.parametrize("after, taken", [((0, 0.9), True), ((0, 0.5), False)])
def test_the_router_judges_each_form_once(after, taken):
    """Its answer for the form that is taken is not asked for again; its time is its own stage's."""
    network, clock = SimpleNamespace(config=SimpleNamespace(diameter=32.0)), Stopwatch()
    segmenter = Segmenter(Router((0, 0.6), after), {0: network}, "cpu")
    plan = segmenter.plan(picture_of(field(spot=1000)), None, 16.0, None, clock)[2]
    assert plan.glare is not taken
    assert max(plan.route.probabilities) == (0.9 if taken else 0.6)
    assert set(clock.seconds) == {"normalise", "route", "load"}


def test_a_large_image_is_judged_as_a_small_one():
    pixels = field(spot=1000)
    small = share_of_the_dim(normalised_image(pixels).overview)
    limits = replace(LIMITS, whole_pixels=1000, band_pixels=20_000, overview_side=120)
    large = normalised_image(pixels, limits)
    assert large.reduction == 2
    assert abs(share_of_the_dim(large.overview) / small - 1) < 0.3
