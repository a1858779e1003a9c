"""inference.image.noise: camera noise and gradients are nothing, cells are something."""

import cv2
import numpy as np
import pytest

from inference.image.noise import evidence, noise_deviation, shows_something

RNG = np.random.default_rng(0)


def noise(shape=(300, 400), level=100.0, deviation=3.0):
    return (level + deviation * RNG.standard_normal(shape)).astype(np.float32)


def disks(contrast, radius=6, count=8, shape=(300, 400)):
    plane = np.zeros(shape, np.float32)
    for _ in range(count):
        cv2.circle(plane, tuple(int(n) for n in RNG.integers(20, shape[::-1] - np.array(20))), radius, contrast, -1)
    return plane


@pytest.mark.parametrize("deviation", (0.5, 3.0, 30.0))
def test_deviation_of_noise(deviation):
    assert noise_deviation(noise(deviation=deviation)) == pytest.approx(deviation, rel=0.03)


def test_noise_is_nothing_in_every_number_format():
    for dtype in (np.uint8, np.uint16, np.int32, np.float32, np.float64):
        assert not shows_something(noise().astype(dtype))
    assert not shows_something(RNG.poisson(40, (200, 200)))
    assert not shows_something(np.full((200, 200), 7, np.uint8))


def test_uneven_light_is_nothing():
    """Light that falls off to the corners by half, and a ramp."""
    y, x = np.mgrid[-1:1:300j, -1:1:400j]
    assert not shows_something(noise() - 25 * (x**2 + y**2).astype(np.float32))
    assert not shows_something(noise() + 50 * x)


@pytest.mark.parametrize("radius", (3, 6, 20))
def test_cells_twice_as_bright_as_the_noise_are_something(radius):
    assert shows_something(noise(deviation=3.0) + disks(6, radius))
    assert evidence(noise(deviation=3.0) + disks(60, radius)) > evidence(noise(deviation=3.0) + disks(6, radius))


def test_drawings_and_tiny_images_are_something():
    """There is no noise in a drawing; a tiny image is too small to tell."""
    assert shows_something(disks(200))
    assert shows_something(noise((10, 30)))


def test_one_cell_in_a_large_empty_image():
    """It lies in the last of the strips that are looked at."""
    plane = noise((3000, 1500))
    plane[2900:2920, 700:720] += 30
    assert shows_something(plane)
    assert not shows_something(plane[:2800])
