"""Content in empty surroundings."""

import numpy as np

RNG = np.random.default_rng(0)


def cells(height, width):
    """Bright disks on a dark ground, close to each other."""
    y, x = np.mgrid[:height, :width]
    return np.where((y % 20 - 10) ** 2 + (x % 20 - 10) ** 2 < 50, 200, 40).astype(np.uint8)


def surrounded(content, ground, deviation=0.0, top=150, left=260, shape=(500, 640)):
    canvas = ground + RNG.normal(0, deviation, (*shape, *content.shape[2:]))
    canvas[top : top + content.shape[0], left : left + content.shape[1]] = content
    return canvas.clip(0, 255).round().astype(np.uint8)
