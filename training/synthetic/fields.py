"""Random fields that textures, shadows and warps are made of, and the scene that they end up in.

Value noise: random numbers on a coarse grid, interpolated by cubics; several octaves of it are fractal noise
(K. Perlin, "An image synthesizer", SIGGRAPH 1985).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator

OCTAVES = 3  # of fractal noise


@dataclass(frozen=True)
class Scene:
    """A drawn image.

    pixels : uint8 or uint16 of shape (H, W), or uint8 RGB of shape (H, W, 3)
    labels : int32 of shape (H, W), 0 is background
    modality : as in manifests: fluorescence, phase, dic, brightfield or stained
    """

    pixels: np.ndarray
    labels: np.ndarray
    modality: str


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """A number between `low` and `high` whose logarithm is uniform."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))  # a NumPy scalar would make float64 of float32 images


def noise(rng: Generator, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Noise around 0, float32 (H, W), smooth over `scale` pixels; of deviation 1.3, or 1 where `scale` is 1."""
    if scale <= 1:
        return rng.standard_normal(shape, np.float32)
    height, width = (int(side / scale) + 4 for side in shape)
    grid = rng.standard_normal((height, width), np.float32)
    offset = rng.uniform(1, 2, 2)
    matrix = np.array([[1 / scale, 0, offset[0]], [0, 1 / scale, offset[1]]], np.float32)
    field = cv2.warpAffine(
        grid, matrix, shape[::-1], flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
    return field * 1.5  # interpolation lowers the deviation


def fractal(rng: Generator, shape: tuple[int, int], scale: float) -> np.ndarray:
    """Noise of several scales, each half as wide and 0.6 times as strong as the one before; deviation 1.3."""
    weights = 0.6 ** np.arange(OCTAVES)
    weights /= np.sqrt((weights**2).sum())
    return sum(np.float32(w) * noise(rng, shape, scale / 2**i) for i, w in enumerate(weights))


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur by `sigma` pixels; wide ones are made on a smaller image."""
    if sigma < 0.3:
        return image
    if sigma > 8:
        size = image.shape[1::-1]
        small = cv2.resize(image, [max(1, round(4 * side / sigma)) for side in size], interpolation=cv2.INTER_AREA)
        return cv2.resize(cv2.GaussianBlur(small, (0, 0), 4), size, interpolation=cv2.INTER_LINEAR)
    return cv2.GaussianBlur(image, (0, 0), sigma)


def streaks(rng: Generator, shape: tuple[int, int], angle: float, length: float, width: float) -> np.ndarray:
    """Noise drawn out along `angle` (radians), correlated over `length` by `width` pixels; float32 (H, W)."""
    height, width_px = shape
    reach = int(np.hypot(height, width_px)) + 8
    table = rng.standard_normal((int(reach / width) + 4, int(reach / length) + 4), np.float32)
    cos, sin, middle = np.cos(angle), np.sin(angle), reach / 2
    cy, cx = height / 2, width_px / 2
    matrix = np.array(
        [
            [cos / length, sin / length, (middle - cx * cos - cy * sin) / length],
            [-sin / width, cos / width, (middle + cx * sin - cy * cos) / width],
        ],
        np.float32,
    )
    return cv2.warpAffine(
        table, matrix, (width_px, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
    )
