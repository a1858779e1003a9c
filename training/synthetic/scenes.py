"""The kinds of images that can be made, one of them, and its files."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator

from training.synthetic import fluorescence, negatives, stained, transmitted
from training.synthetic.fields import Scene

SIDES = 256, 640  # pixels, the least and the most
# Kind of image: (what draws it, its share)
SCENES = {
    "two_channels": (fluorescence.two_channels, 0.18),
    "membranes": (fluorescence.membrane_sheet, 0.10),
    "elongated": (fluorescence.elongated, 0.16),
    "nuclei": (fluorescence.nuclei, 0.10),
    "phase": (partial(transmitted.dish, modality="phase"), 0.08),
    "dic": (partial(transmitted.dish, modality="dic"), 0.05),
    "brightfield": (partial(transmitted.dish, modality="brightfield"), 0.05),
    "rods": (transmitted.rods, 0.04),
    "yeast": (transmitted.yeast, 0.03),
    "smear": (stained.smear, 0.11),
    "negative": (negatives.negative, 0.10),
}


def make(kind: str, rng: Generator, sides: tuple[int, int] = SIDES) -> Scene:
    """One image of a kind, of random size within `sides`; drawn again if a kind that has cells came out without one."""
    while True:
        shape = tuple(int(side) for side in rng.integers(sides[0], sides[1] + 1, 2))
        scene = SCENES[kind][0](rng, shape)
        if kind == "negative" or scene.labels.any():
            return scene


def save(folder: Path, name: str, scene: Scene) -> tuple[Path, Path]:
    """Write image and labels (uint16) as PNG; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{name}.png", folder / f"{name}_label.png"
    pixels = scene.pixels[..., ::-1] if scene.pixels.ndim == 3 else scene.pixels
    for path, image in zip(paths, (pixels, scene.labels.astype(np.uint16))):
        if not cv2.imwrite(str(path), image, [cv2.IMWRITE_PNG_COMPRESSION, 2]):
            raise OSError(f"{path}: cannot be written; check the folder's permissions and the room on the disk")
    return paths
