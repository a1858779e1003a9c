"""What lies between the cells and the file: illumination, the camera's noise, its range, colours, compression.

The camera adds shot noise, whose variance grows with the signal, and read noise, whose does not (A. Foi et al.,
"Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data", IEEE TIP 2008).
"""

import colorsys

import cv2
import numpy as np
from numpy.random import Generator

from training.synthetic.fields import blur, log_uniform


def illumination(rng: Generator, shape: tuple[int, int], strength: float) -> np.ndarray:
    """Light on the field, float32 (H, W): from 1 down to 1 - `strength` towards the corners and one side."""
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j].astype(np.float32)
    cx, cy, angle = *rng.uniform(-0.5, 0.5, 2), rng.uniform(0, 2 * np.pi)
    corner = ((x - cx) ** 2 + (y - cy) ** 2) / 4
    side = (x * np.cos(angle) + y * np.sin(angle)) / 3
    shade = corner * rng.uniform(0, 1) + side
    shade -= shade.min()
    return 1 - np.float32(strength) * shade / max(float(shade.max()), 1e-6)


def camera(rng: Generator, signal: np.ndarray, photons: float, read: float) -> np.ndarray:
    """`signal` (1 is bright) with shot noise of so many photons at 1 and read noise of deviation `read`; float32."""
    deviation = np.sqrt(np.maximum(signal, 0) / np.float32(photons) + np.float32(read) ** 2)
    return signal + deviation * rng.standard_normal(signal.shape, np.float32)


def hot_pixels(rng: Generator, image: np.ndarray, share: float) -> None:
    """Set a share of the pixels of a float image to its maximum and above, in place."""
    count = int(share * image.shape[0] * image.shape[1])
    y, x = rng.integers(0, image.shape[0], count), rng.integers(0, image.shape[1], count)
    image[y, x] = image.max() * rng.uniform(0.6, 2, (count, *[1] * (image.ndim - 2)))


def expose(rng: Generator, signal: np.ndarray) -> np.ndarray:
    """A gray fluorescence image as stored: uint8 or uint16, dark or bright, at times saturated or a JPEG."""
    signal = camera(rng, signal, log_uniform(rng, 25, 3000), log_uniform(rng, 0.002, 0.05))
    if rng.random() < 0.1:
        hot_pixels(rng, signal, log_uniform(rng, 1e-5, 1e-3))
    top = float(np.percentile(signal[::4, ::4], 99.8)) if rng.random() < 0.6 else float(signal.max())
    signal = signal / max(top, 1e-6)
    if rng.random() < 0.35:
        scale, offset = log_uniform(rng, 300, 60000), rng.choice([0, 100, 400])
        return (np.maximum(signal, 0) * scale + offset).clip(0, 65535).astype(np.uint16)
    scale = 255 if rng.random() < 0.6 else log_uniform(rng, 40, 255)
    image = (signal * scale).clip(0, 255).astype(np.uint8)
    return jpeg(rng, image) if rng.random() < 0.15 else image


def dye_colours(rng: Generator, count: int) -> np.ndarray:
    """Colours (count, 3) in [0, 1] of dyes in a composite: the three channels in random order, or free hues."""
    if rng.random() < 0.75:
        return np.eye(3)[rng.permutation(3)[:count]]
    first = rng.random()
    return np.array([colorsys.hsv_to_rgb((first + i / 3 + rng.uniform(-0.08, 0.08)) % 1, 1, 1) for i in range(count)])


def composite(rng: Generator, channels: list[np.ndarray], colours: np.ndarray) -> np.ndarray:
    """RGB uint8 (H, W, 3) of fluorescence channels in their colours, each with its own camera noise and brightness."""
    rgb = np.zeros((*channels[0].shape, 3), np.float32)
    photons, read = log_uniform(rng, 30, 3000), log_uniform(rng, 0.003, 0.04)
    for channel, colour in zip(channels, colours):
        channel = camera(rng, channel, photons, read)
        top = max(float(np.percentile(channel[::4, ::4], rng.choice([98, 99.5, 99.95]))), 1e-6)
        rgb += (channel / top * log_uniform(rng, 0.35, 1.05)).clip(0, 1)[..., None] * colour.astype(np.float32)
    rgb = (rgb * 255).clip(0, 255).astype(np.uint8)
    return jpeg(rng, rgb) if rng.random() < 0.2 else rgb


def gray_rgb(rng: Generator, image: np.ndarray) -> np.ndarray:
    """A gray transmitted-light image (0 to 1) as RGB uint8 with equal channels."""
    image = (image * 255).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        image = jpeg(rng, image)
    return np.repeat(image[..., None], 3, 2)


def colour_camera(rng: Generator, rgb: np.ndarray) -> np.ndarray:
    """Transmitted colours (1 is clear glass) as a camera stores them, uint8 (H, W, 3): noisy, at times a JPEG."""
    white = rng.uniform(0.72, 1.0) * (1 + rng.normal(0, 0.05, 3))
    rgb = (rgb * np.minimum(white, 1.02).astype(np.float32)).clip(0) ** np.float32(log_uniform(rng, 0.75, 1.3))
    gray = rgb.mean(2, keepdims=True)
    rgb = gray + (rgb - gray) * np.float32(rng.uniform(0.65, 1.25))
    rgb = camera(rng, rgb, log_uniform(rng, 300, 20000), log_uniform(rng, 0.001, 0.015))
    rgb = blur(rgb, rng.choice([0, 0, 0.5, 0.8]))
    rgb = (rgb * 255).clip(0, 255).astype(np.uint8)
    return jpeg(rng, rgb) if rng.random() < 0.5 else rgb


def jpeg(rng: Generator, image: np.ndarray) -> np.ndarray:
    """`image` (uint8, gray or RGB) after compression at a quality of 50 to 95."""
    image = np.ascontiguousarray(image[..., ::-1] if image.ndim == 3 else image)
    _, file = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 96))])
    image = cv2.imdecode(file, cv2.IMREAD_UNCHANGED)
    return np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
