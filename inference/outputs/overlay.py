"""Outline pictures: the image with the border of each cell drawn."""

from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from inference.normalisation import to_three_channels
from inference.outputs.whole_file import whole_file
from inference.reading import Picture

if TYPE_CHECKING:
    from inference.segmenter import Segmentation, Summary

OVERLAY_SUFFIX = "_overlay.png"
OUTLINE = (255, 255, 0)  # RGB; yellow stands out on fluorescence, phase contrast and most stains


class Overlay:
    """NAME_overlay.png; that of a large image is as small as the image's overview."""

    suffix = OVERLAY_SUFFIX

    def begin(self, path: Path, picture: Picture, segmentation: "Segmentation") -> "OverlayWriter":
        return OverlayWriter(path, segmentation)


class OverlayWriter:
    """Keeps every n-th row and column of the labels."""

    def __init__(self, path: Path, segmentation: "Segmentation"):
        self._path, self._image, self._every = path, segmentation.image, segmentation.image.reduction
        self._kept: list[np.ndarray] = []
        self._skip = 0  # rows before the next one that is kept

    def add(self, rows: np.ndarray) -> None:
        kept = rows[self._skip :: self._every, :: self._every]
        self._kept.append(kept if self._every == 1 else kept.copy())
        self._skip = (self._skip - len(rows)) % self._every if len(rows) > self._skip else self._skip - len(rows)

    def finish(self, summary: "Summary") -> None:
        write_overlay(self._path, self._image.overview, np.concatenate(self._kept))


def draw_outlines(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A picture of the image with the border pixels of each cell coloured.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, 3), normalised
    labels : (H, W) integer

    Returns
    -------
    uint8 array of shape (H, W, 3), RGB.
    """
    picture = to_three_channels(image).copy()
    values = labels.astype(np.float32) if labels.max() < 2**24 else labels.astype(np.float64)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    picture[(labels > 0) & (cv2.erode(values, cross) != values) | (labels > 0) & (cv2.dilate(values, cross) != values)] = OUTLINE
    return picture


def write_overlay(path: Path, image: np.ndarray, labels: np.ndarray) -> None:
    """Write `draw_outlines` as a PNG file; labels of a few rows or columns more than the image are cut off."""
    height, width = image.shape[:2]
    ok, data = cv2.imencode(".png", cv2.cvtColor(draw_outlines(image, labels[:height, :width]), cv2.COLOR_RGB2BGR))
    assert ok, "OpenCV encodes any uint8 RGB picture"
    with whole_file(path) as partial:
        data.tofile(partial)
