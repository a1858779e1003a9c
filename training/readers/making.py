"""Check the images and labels of a data set, and make those that have to be made."""

import dataclasses
import logging
from pathlib import Path

import cv2
import numpy as np
import tifffile

from training.readers.dsb2018 import tell_modality
from training.readers.label_images import is_jpeg, stored_pixels
from training.readers.listing import Drawing, Entry, read_pixels

log = logging.getLogger(__name__)


class Maker:
    """Checks images and labels one by one, and makes the files that are missing in a folder beside their final one.

    Parameters
    ----------
    out : final folder, to which the returned entries point
    staging : folder that the files are made in
    keep_channels : leave images as they are
    negatives : take label images without a cell
    """

    def __init__(self, out: Path, staging: Path, keep_channels: bool, negatives: bool = False):
        self.out, self.staging, self.keep_channels, self.negatives = out, staging, keep_channels, negatives
        self.overlap = self.overlapping = self.hidden = self.empty = 0

    def finish(self, entry: Entry) -> Entry:
        """The entry with image and label that exist; raises ValueError naming the file that is at fault and the
        remedy.
        """
        pixels = read_pixels(entry.image)
        image, label, modality, source = entry.image, entry.label, entry.modality, entry.source
        if callable(label):
            drawing = label(pixels.shape[:2])
            self._count(drawing)
            label = self._write(f"labels/{entry.name}_label.tiff", drawing.labels)
        elif label is not None:
            labels = stored_pixels(label)
            if is_jpeg(label):
                raise ValueError(f"{label}: a JPEG changes the numbers of cells; save the labels as TIFF or PNG")
            check_labels(label, labels, entry.image, pixels.shape[:2], self.negatives)
            self.empty += not labels.any()
        if modality is None:
            modality = tell_modality(pixels)
            source = f"{source}_{modality}"
        converted = pixels if self.keep_channels else challenge_channels(pixels, modality)
        if converted is not pixels:
            image = self._write(f"images/{entry.name}.tiff", converted)
        return dataclasses.replace(entry, image=image, label=label, modality=modality, source=source)

    def _count(self, drawing: Drawing) -> None:
        self.overlap += drawing.overlap
        self.overlapping += drawing.overlap > 0
        self.hidden += drawing.hidden

    def _write(self, name: str, array: np.ndarray) -> Path:
        path = self.staging / name
        if path.exists():
            raise ValueError(
                f"{self.out / name}: two images would be written under this name; rename one of them, or --skip it"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(
            path, array, compression="zlib", photometric="rgb" if array.ndim == 3 else "minisblack", metadata=None
        )
        return self.out / name

    def publish(self) -> None:
        """Move all files to their final place."""
        for path in self.staging.rglob("*"):
            if path.is_file():
                final = self.out / path.relative_to(self.staging)
                final.parent.mkdir(parents=True, exist_ok=True)
                path.replace(final)


def check_labels(path: Path, labels: np.ndarray, image: Path, shape: tuple[int, int], negatives: bool) -> None:
    """Raise ValueError naming `path` if `labels` are no cells of an image of that (height, width); an image without
    cells may be meant as a negative.
    """
    if labels.ndim != 2:
        raise ValueError(
            f"{path}: labels must have one channel, got shape {labels.shape}; save it as a single-channel image"
        )
    if labels.dtype.kind not in "ui" or labels.min() < 0:
        raise ValueError(
            f"{path}: labels must be integers from 0, got {labels.dtype}; save it with 16 or 32-bit integers"
        )
    if labels.shape != shape:
        raise ValueError(
            f"{path}: labels of shape {labels.shape} do not fit {image.name} of shape {shape}; pair the right files"
        )
    if not (negatives or labels.any()):
        raise ValueError(f"{path}: no cell is labelled; --skip the image, or give it as --unlabelled")
    cells = labels > 0
    if (labels[cells] == labels.max()).all() and (parts := cv2.connectedComponents(cells.astype(np.uint8))[0] - 1) > 1:
        log.warning(
            "%s: all %d objects have the value %d and count as one cell; a mask needs a value for each cell",
            path,
            parts,
            labels.max(),
        )


def challenge_channels(pixels: np.ndarray, modality: str) -> np.ndarray:
    """The pixels as the challenge stores them: fluorescence (H, W), other modalities (H, W, 3).

    The array itself is returned if nothing has to change, for colours, and for modality "" (unknown).
    """
    if modality == "fluorescence" and pixels.ndim == 3 and (pixels == pixels[:, :, :1]).all():
        return pixels[:, :, 0]
    if modality not in ("fluorescence", "") and pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    return pixels
