"""Labelled images: the manifest that lists them, and the random crops that training draws from them.

A manifest is a CSV file with a line an image and at least the columns image, label, split (train, val or unlabelled) and
source; paths are relative to the manifest. A column partial may hold 1 where only some cells are labelled. Further columns are
ignored.
"""

import csv
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from inference import hover, stardist
from inference.hover import HOVER_STRIDE
from inference.normalisation import normalise, to_three_channels
from inference.reading import read_image
from inference.routing import ruled_out
from models.unet import STRIDE
from training import augmentation
from training.cues import cue_class

SMALLEST_MOSAIC_TILE = 64  # pixels
# Kept for good: a thread that is about to end when the loader's processes are forked leaves a lock of OpenCV's closed in them.
READERS = ThreadPoolExecutor(8)
ON_CELL = 0.8  # share of the crops that are centred on a cell pixel; the others may be empty


@dataclass(frozen=True)
class Record:
    """A line of the manifest."""

    image: Path
    label: Path | None
    split: str
    source: str
    partial: bool = False


@dataclass(frozen=True)
class Sample:
    """A labelled image in memory.

    pixels : uint8, (H, W) if its channels are equal, else (H, W, 3); normalised as at inference
    labels : uint16 or uint32, (H, W)
    diameter : median over the cells of the diameter of the disk with the cell's area, in pixels; nan without cells
    cue_class : 0 to 3, by the rules of `training.cues`
    excluded : classes that the router is told not to choose
    """

    record: Record
    pixels: np.ndarray
    labels: np.ndarray
    diameter: float
    cue_class: int
    excluded: tuple[int, ...] = ()


def read_manifest(path: Path, split: str) -> list[Record]:
    """All lines of one split, with paths made absolute.

    Raises
    ------
    ValueError
        If the file is not a manifest or has no line of that split.
    """
    path = Path(path)
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = {"image", "label", "split", "source"} - set(rows[0] if rows else ())
    if missing:
        raise ValueError(f"{path}: a manifest needs a header with image, label, split, source; missing: {', '.join(sorted(missing))}")
    records = [Record(path.parent / r["image"], path.parent / r["label"] if r["label"] else None, r["split"], r["source"],
                      r.get("partial") == "1") for r in rows if r["split"] == split]
    if not records:
        raise ValueError(f"{path}: no line has split {split!r}; splits here: {sorted({r['split'] for r in rows})}")
    return records


def median_diameter(labels: np.ndarray) -> float:
    """Median of the cells' equivalent diameters, 2*sqrt(area/pi) pixels; nan without cells."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return 2 * math.sqrt(np.median(areas) / math.pi) if areas.size else math.nan


def read_labels(path: Path) -> np.ndarray:
    """Label image of shape (H, W), uint8, uint16 or uint32; raises ValueError naming the file if it is not one."""
    labels = read_image(path).pixels
    if labels.ndim != 2 or labels.dtype.kind not in "ui" or labels.min() < 0:
        raise ValueError(f"{path}: labels must be one channel of non-negative integers, got {labels.dtype} of shape {labels.shape}")
    return labels if labels.dtype in (np.uint8, np.uint16) else labels.astype(np.uint32)


def load_sample(record: Record) -> Sample:
    """Read, check and normalise one labelled image."""
    picture, labels = read_image(record.image), read_labels(record.label)
    if picture.shape != labels.shape:
        raise ValueError(f"{record.label}: labels of shape {labels.shape} do not fit the image of shape {picture.shape}")
    return Sample(record, without_equal_channels(normalise(picture.pixels)), labels, median_diameter(labels),
                  cue_class(picture.pixels, labels), ruled_out(picture.pixels))


def without_equal_channels(pixels: np.ndarray) -> np.ndarray:
    """(H, W) of a gray image that is stored as RGB, so that augmentations leave it gray; other images as they are."""
    gray = pixels.ndim == 3 and (pixels == pixels[:, :, :1]).all()
    return np.ascontiguousarray(pixels[:, :, 0]) if gray else pixels


def load_samples(records: list[Record]) -> list[Sample]:
    """All images, decoded once and kept in memory."""
    cv2.setNumThreads(1)  # OpenCV's own threads hang in the loader's processes, which are forked from this one
    return list(READERS.map(load_sample, records))


def balanced_weights(samples: list[Sample], exponent: float = 0.5) -> np.ndarray:
    """Probability of drawing each sample: a source counts by its number of images to the power of `exponent`."""
    sizes = {}
    for sample in samples:
        sizes[sample.record.source] = sizes.get(sample.record.source, 0) + 1
    weights = np.array([sizes[s.record.source] ** (exponent - 1) for s in samples])
    return weights / weights.sum()


class CropDataset(Dataset):
    """Endless random crops with their targets. Crop number i depends on `seed` and i alone, so training can resume anywhere.

    Parameters
    ----------
    samples : at least one with cells
    size : height and width of a crop, a multiple of 32 pixels
    diameter : every crop is zoomed so that its image's median cell diameter is this many pixels times a random factor
    zoom : the range of that factor, drawn log-uniformly
    balance : exponent of `balanced_weights`
    """

    def __init__(self, samples: list[Sample], size: int, diameter: float, zoom: tuple[float, float] = augmentation.ZOOM,
                 seed: int = 0, balance: float = 0.5):
        self.samples = [s for s in samples if not math.isnan(s.diameter)]
        if not self.samples:
            raise ValueError("no image with labelled cells to train on")
        self.weights = balanced_weights(self.samples, balance)
        self.size, self.diameter, self.zoom, self.seed = size, diameter, zoom, seed

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """image 3xSxS in [0, 1]; at 1/4 size prob, dist, weight; at 1/2 size cell, hv, hover_weight; all float32."""
        rng = np.random.default_rng((self.seed, index))
        sample = self.samples[rng.choice(len(self.samples), p=self.weights)]
        image, labels, known = self._crop(sample, self.size, rng)
        targets = make_targets(labels, known) | {"image": image.transpose(2, 0, 1).copy()}
        return {name: torch.from_numpy(array) for name, array in targets.items()}

    def _crop(self, sample: Sample, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Augmented image (size, size, 3) float32 in [0, 1], labels int32, known float32.

        An image that would fill less than a quarter of the crop shares it with three others of its source.
        """
        zoom = self.diameter / sample.diameter * math.exp(rng.uniform(*np.log(self.zoom)))
        if max(sample.labels.shape) * zoom <= size / 2 and size > SMALLEST_MOSAIC_TILE:
            return self._mosaic(sample.record.source, size // 2, rng)
        centre = random_centre(sample.labels, rng.random() < ON_CELL, rng)
        image, labels, known = augmentation.cut(sample.pixels, sample.labels, zoom, centre, size, rng)
        image, labels, known = augmentation.flip_and_turn([image, labels, known], rng)
        return to_three_channels(augmentation.change_intensity(image.astype(np.float32) / 255, rng)), labels, known

    def _mosaic(self, source: str, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Two by two crops of `size` from random images of one source."""
        siblings = [s for s in self.samples if s.record.source == source]
        crops = [self._crop(siblings[rng.integers(len(siblings))], size, rng) for _ in range(4)]
        below = 0  # cells of different crops need different labels
        for _, labels, _ in crops:
            labels[labels > 0] += below
            below = max(below, int(labels.max()))
        return tuple(np.concatenate([np.concatenate(parts[:2], 1), np.concatenate(parts[2:], 1)]) for parts in zip(*crops))


def random_centre(labels: np.ndarray, on_cell: bool, rng: np.random.Generator) -> tuple[int, int]:
    """A pixel (y, x), if wanted one of a cell; there must be cells then."""
    for _ in range(20):
        y, x = (int(rng.integers(n)) for n in labels.shape)
        if not on_cell or labels[y, x]:
            return y, x
    return divmod(int(rng.choice(np.flatnonzero(labels))), labels.shape[1])  # slower; cells are rare here


def make_targets(labels: np.ndarray, known: np.ndarray) -> dict[str, np.ndarray]:
    """Targets of both kinds of network for an (S, S) int32 label crop and its (S, S) mask of known pixels."""
    quarter = (slice(STRIDE // 2, None, STRIDE),) * 2
    half = (slice(HOVER_STRIDE // 2, None, HOVER_STRIDE),) * 2
    (prob, dist), (cell, hv) = stardist.targets(labels), hover.targets(labels)
    return {
        "prob": prob,
        "dist": dist,
        "weight": known[quarter][None].copy(),
        "cell": cell,
        "hv": hv,
        "hover_weight": known[half][None].copy(),
    }
