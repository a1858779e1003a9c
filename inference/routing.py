"""The router at work: from a normalised image to its class and a first guess of its cells' diameter."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from inference.images import to_three_channels
from models.checkpoint import load_checkpoint
from models.router import VIEW_SHORTER_SIDE, VIEW_SIZE


@dataclass(frozen=True)
class Route:
    """What the router says of an image.

    probabilities : of the four classes
    diameter : median cell diameter in pixels of the image
    """

    probabilities: tuple[float, float, float, float]
    diameter: float

    @property
    def best(self) -> int:
        return int(np.argmax(self.probabilities))


def router_view(image: np.ndarray) -> tuple[np.ndarray, float]:
    """The shorter side resized to 256 pixels, then the central 224x224.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, 3), normalised

    Returns
    -------
    view (224, 224, 3) uint8, and the number of its pixels per pixel of the image.
    """
    height, width = image.shape[:2]
    zoom = VIEW_SHORTER_SIDE / min(height, width)
    side = min(height, width) * VIEW_SIZE / VIEW_SHORTER_SIDE  # cut before resizing: the rest would be thrown away
    side = max(1, round(side))
    top, left = (height - side) // 2, (width - side) // 2
    view = cv2.resize(image[top : top + side, left : left + side], (VIEW_SIZE, VIEW_SIZE),
                      interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR)
    return to_three_channels(view), VIEW_SIZE / side


class RouterNetwork:
    """The router loaded from a checkpoint. It runs on the CPU: one view takes some 20 ms."""

    def __init__(self, path: Path):
        self.model, self.config = load_checkpoint(path)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> Route:
        """Route for a normalised uint8 image of shape (H, W) or (H, W, 3)."""
        view, zoom = router_view(image)
        out = self.model(torch.from_numpy(view).permute(2, 0, 1)[None].float() / 255)
        probabilities = torch.softmax(out.classes[0], dim=0).tolist()
        return Route(tuple(probabilities), math.exp(float(out.log_diameter[0])) / zoom)
