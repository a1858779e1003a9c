"""Images without any cell, in which networks find some: noise, empty fields, dust, lettering, red cells, stroma."""

import cv2
import numpy as np
from numpy.random import Generator

from training.synthetic import optics
from training.synthetic.clutter import chamber, dust, eyepiece, floaters
from training.synthetic.fields import Scene, blur, fractal, log_uniform, noise
from training.synthetic.fluorescence import background, debris, fibres, store
from training.synthetic.stained import smear_without_cells, stroma


def nothing(shape: tuple[int, int]) -> np.ndarray:
    """A label image without a cell."""
    return np.zeros(shape, np.int32)


def camera_noise(rng: Generator, shape: tuple[int, int]) -> Scene:
    """A camera in the dark: read noise, rows and columns of their own level, hot pixels; at times blurred."""
    signal = log_uniform(rng, 0.01, 1) + log_uniform(rng, 0.01, 0.3) * noise(rng, shape, 1)
    for axis in (0, 1):
        if rng.random() < 0.3:
            lines = tuple(1 if i == axis else n for i, n in enumerate(shape))
            signal += log_uniform(rng, 0.005, 0.1) * rng.standard_normal(lines, np.float32)
    if rng.random() < 0.4:
        optics.hot_pixels(rng, signal, log_uniform(rng, 1e-5, 2e-3))
    signal = blur(signal, rng.choice([0, 0, 0.8, 2]))
    dice = rng.random()
    if dice < 0.25:  # noise of a colour camera
        rgb = np.stack([signal, *(signal.mean() + log_uniform(rng, 0.01, 0.2) * noise(rng, shape, 1) for _ in "gb")], 2)
        return Scene((rgb * log_uniform(rng, 20, 200)).clip(0, 255).astype(np.uint8), nothing(shape), "fluorescence")
    if dice < 0.4:
        level = rng.uniform(0.2, 0.9)
        return Scene(optics.gray_rgb(rng, level + 0.1 * (signal - signal.mean())), nothing(shape), "brightfield")
    return store(rng, signal.clip(0), nothing(shape), 0.1)


def empty_fluorescence(rng: Generator, shape: tuple[int, int]) -> Scene:
    """A field of fluorescence with gradients, haze and dirt."""
    waves = noise(rng, shape, max(shape) / rng.uniform(1, 4)).clip(0)
    signal = background(rng, shape) + log_uniform(rng, 0.003, 0.3) * waves
    signal += fibres(rng, shape) if rng.random() < 0.3 else 0
    signal *= optics.illumination(rng, shape, rng.uniform(0, 0.9))
    if rng.random() < 0.4:
        debris(rng, signal, rng.uniform(0.5, 10))
    return store(rng, signal, nothing(shape), 0.25)


def empty_glass(rng: Generator, shape: tuple[int, int]) -> Scene:
    """A transmitted-light image of the medium or the glass alone, gray or coloured, with dust and dark corners."""
    image = rng.uniform(0.3, 0.95) * optics.illumination(rng, shape, rng.uniform(0, 0.7))
    image += 0.02 * rng.random() * fractal(rng, shape, 80)
    dust(rng, image, rng.integers(0, 12))
    image += floaters(rng, shape) if rng.random() < 0.3 else 0
    image *= chamber(rng, shape) if rng.random() < 0.15 else 1
    image *= eyepiece(rng, shape) if rng.random() < 0.15 else 1
    if rng.random() < 0.2:  # scratches
        for _ in range(rng.integers(1, 5)):
            ends = rng.integers(0, shape[::-1], (2, 2))
            cv2.line(image, *ends.tolist(), float(image.mean() * rng.uniform(0.6, 1.2)), 1, cv2.LINE_AA)
    image = blur(image, rng.choice([0, 0.7])).astype(np.float32)
    if rng.random() < 0.4:
        tint = (1 + rng.normal(0, 0.1, 3)).astype(np.float32)
        return Scene(optics.colour_camera(rng, image[..., None] * tint), nothing(shape), "brightfield")
    image = optics.camera(rng, image, log_uniform(rng, 200, 20000), log_uniform(rng, 0.002, 0.03))
    return Scene(optics.gray_rgb(rng, image), nothing(shape), "brightfield")


def lettering(rng: Generator, shape: tuple[int, int]) -> Scene:
    """Scale bars and captions on an even ground."""
    dark = rng.random() < 0.6
    ink = np.zeros(shape, np.uint8)  # OpenCV writes on 8 bits alone
    for _ in range(rng.integers(1, 4)):
        x, y = (int(v) for v in rng.uniform(0.05, 0.7, 2) * shape[::-1])
        cv2.rectangle(ink, (x, y), (x + int(rng.uniform(0.1, 0.35) * shape[1]), y + int(rng.integers(2, 10))), 255, -1)
        text = rng.choice(["50 um", "100 um", "10um", "t = 12 h", "control", "A", "B3", "DAPI", "0:45", "#17"])
        font, size, width = int(rng.integers(0, 5)), log_uniform(rng, 0.5, 2), int(rng.integers(1, 4))
        cv2.putText(ink, str(text), (x, max(y - 8, 20)), font, size, 255, width, cv2.LINE_AA)
    ground = rng.uniform(0, 0.3) if dark else rng.uniform(0.6, 1)
    image = ground * optics.illumination(rng, shape, 0.3)
    image += (np.float32(dark) - image) * ink.astype(np.float32) / 255
    if dark and rng.random() < 0.5:
        return store(rng, image, nothing(shape), 0.2)
    return Scene(optics.gray_rgb(rng, optics.camera(rng, image, 2000, 0.01)), nothing(shape), "brightfield")


def negative(rng: Generator, shape: tuple[int, int]) -> Scene:
    """One of them."""
    kinds = (camera_noise, empty_fluorescence, empty_glass, lettering, smear_without_cells, stroma)
    return kinds[rng.choice(len(kinds), p=[0.2, 0.2, 0.15, 0.1, 0.2, 0.15])](rng, shape)
