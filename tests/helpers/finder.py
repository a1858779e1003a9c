"""A stand-in for a network that finds bright disks, and images of them."""

import cv2
import numpy as np

from inference.image.forms import NormalisedImage
from inference.measuring.looks import Look
from inference.stardist import star_distances
from models.config import Config
from models.unet import STRIDE

NOTHING = np.zeros((1, 1), np.int32)
WANTED = 28.0  # pixels, the stand-in's cell diameter


class Finder:
    """Finds bright disks whole and surely where they are 0.4 to 2.5 times as large as it wants them, else unsure
    splinters of its own size, whose rays reach too far."""

    kind, batch, overlaps = "stardist", 1, False

    def __init__(self):
        self.config, self.windows = Config(diameter=WANTED), []

    def __call__(self, windows):
        (window,) = windows
        self.windows.append(window.shape)
        labels = cv2.connectedComponents((window[:, :, 0] > 127).astype(np.uint8))[1]
        areas = np.bincount(labels.ravel())[1:]
        probability, reach = 0.95, 1.0
        if areas.size and not 0.4 < 2 * np.sqrt(np.median(areas) / np.pi) / WANTED < 2.5:
            y, x = np.indices(labels.shape) // round(WANTED / 1.8)
            labels = np.unique(np.where(labels > 0, 1 + y * labels.shape[1] + x, 0), return_inverse=True)[1].reshape(
                labels.shape
            )
            probability, reach = 0.6, 1.5
        dist = reach * star_distances(labels.astype(np.int32), stride=STRIDE)
        return np.where(dist.max(axis=2) > 0, probability, 0)[None, None].astype(np.float32), dist.transpose(2, 0, 1)[
            None
        ]


def disks(diameter, side=1600, gap=1.5):
    """Bright disks on a dark ground, on a square grid."""
    image = np.zeros((side, side), np.uint8)
    for y in np.arange(diameter, side - diameter, gap * diameter):
        for x in np.arange(diameter, side - diameter, gap * diameter):
            cv2.circle(image, (int(x), int(y)), round(diameter / 2), 255, -1)
    return NormalisedImage(image)


def look(measured, sure=0.3, unsure=0.02, assumed=None, disagreement=0.1, cells=40):
    """What was seen is not told, only how convincing it was."""
    assumed = assumed or measured
    return Look(assumed, measured, np.log(measured / assumed), sure, unsure, disagreement, cells, NOTHING, (0, 0), 1)
