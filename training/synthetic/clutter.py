"""What is on transmitted-light images besides cells: dust, things out of focus, rulings, the eyepiece's edge."""

import numpy as np
from numpy.random import Generator

from training.synthetic.fields import blur, log_uniform
from training.synthetic.layouts import fill
from training.synthetic.outlines import blob


def dust(rng: Generator, image: np.ndarray, count: int) -> None:
    """Darken specks and blurred rings on a transmitted-light image (H, W), in place."""
    shadow = np.zeros(image.shape, np.float32)
    for _ in range(count):
        at, radius = rng.uniform([0, 0], image.shape[::-1]), log_uniform(rng, 1, 10)
        fill(shadow, at + blob(rng, radius, 0.2), rng.uniform(0.1, 0.6))
        if rng.random() < 0.5:
            fill(shadow, at + blob(rng, radius * 0.7, 0.1), 0)
    if count:
        image *= 1 - blur(shadow, log_uniform(rng, 0.5, 3))


def floaters(rng: Generator, shape: tuple[int, int]) -> np.ndarray:
    """Things far out of focus: blurred rings around blurred disks, float32 (H, W) around 0."""
    field = np.zeros(shape, np.float32)
    for _ in range(rng.integers(1, 8)):
        at, radius, sign = rng.uniform([0, 0], shape[::-1]), log_uniform(rng, 4, 25), float(rng.choice([-1, 1]))
        for part, value in ((1, sign), (0.75, -sign), (0.4, sign * rng.uniform(-1, 1))):
            fill(field, at + blob(rng, radius * part, 0.03), value)
    return rng.uniform(0.02, 0.12) * blur(field, log_uniform(rng, 2, 6))


def chamber(rng: Generator, shape: tuple[int, int]) -> np.ndarray:
    """Rulings of a counting chamber, float32 (H, W): factors around 1, single, double or triple lines both ways."""
    factors = np.ones(shape, np.float32)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    turn, width, pitch = rng.uniform(-0.2, 0.2), log_uniform(rng, 1, 5), log_uniform(rng, 60, 400)
    lines, strength = rng.integers(1, 4), rng.uniform(0.1, 0.5) * rng.choice([-1, 1])
    for across in (x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)):
        place = (across + rng.uniform(0, pitch)) % pitch
        for line in range(lines):
            factors *= 1 - np.float32(strength) * (np.abs(place - (3 * line + 2) * width) < width / 2)
    return blur(factors, log_uniform(rng, 0.5, 2))


def eyepiece(rng: Generator, shape: tuple[int, int]) -> np.ndarray:
    """The round field of an eyepiece, float32 (H, W): 1 inside, nearly 0 outside, with a soft edge."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    cy, cx = shape * rng.uniform(0.35, 0.65, 2)
    radius, soft = max(shape) * rng.uniform(0.6, 0.8), log_uniform(rng, 2, 30)
    return np.clip((radius - np.hypot(y - cy, x - cx)) / soft + 0.5, rng.uniform(0, 0.1), 1).astype(np.float32)
