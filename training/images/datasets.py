"""Labelled images in memory, and the random crops that training draws from them."""

import math
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from inference.image.forms import to_three_channels
from inference.image.normalisation import normalise
from inference.routing import ruled_out
from training.images import augmentation
from training.images.cues import Cues, decide, measure_cues
from training.images.manifest import Record
from training.images.targets import make_targets
from training.readers.label_images import renumbered, stored_pixels
from training.readers.listing import read_pixels

SMALLEST_MOSAIC_TILE = 64  # pixels
# Kept for good: a thread that is about to end when the loader's processes are forked leaves a lock of OpenCV's closed
# in them.
READERS = ThreadPoolExecutor(8)
ON_CELL = 0.8  # share of the crops that are centred on a cell pixel; the others may be empty
# Where only some cells are labelled, what looks like background far from them may be a cell.
UNLABELLED_WEIGHT = 0.2  # of such a pixel in the losses
LABELLED_MARGIN = 0.3  # of the median diameter: nearer to a labelled cell than this, background is known


@dataclass(frozen=True)
class Sample:
    """A labelled image in memory.

    pixels : uint8, (H, W) if its channels are equal, else (H, W, 3); normalised as at inference
    labels : unsigned integers, (H, W)
    diameter : median over the cells of the diameter of the disk with the cell's area, in pixels; nan without cells
    cue_class : 0 to 3, by the rules of `training.images.cues`
    excluded : classes that the router is told not to choose
    cues : by which the class was decided
    """

    record: Record
    pixels: np.ndarray
    labels: np.ndarray
    diameter: float
    cue_class: int
    excluded: tuple[int, ...] = ()
    cues: Cues | None = None


def median_diameter(labels: np.ndarray) -> float:
    """Median of the cells' equivalent diameters, 2*sqrt(area/pi) pixels; nan without cells."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return 2 * math.sqrt(np.median(areas) / math.pi) if areas.size else math.nan


def read_labels(path: Path) -> np.ndarray:
    """Label image of shape (H, W), uint8, uint16 or uint32; raises ValueError naming the file if it is not one."""
    labels = stored_pixels(path)
    labels = labels.astype(np.uint8) if labels.dtype.kind == "b" else labels
    if labels.ndim != 2 or labels.dtype.kind not in "ui" or labels.min() < 0:
        raise ValueError(
            f"{path}: labels must be one channel of non-negative integers, got {labels.dtype} of shape {labels.shape}"
        )
    labels = renumbered(labels)
    return labels if labels.dtype in (np.uint8, np.uint16) else labels.astype(np.uint32)


_kept: dict[tuple, Sample] | None = None  # within `keep_samples`


@contextmanager
def keep_samples():
    """Within a `with` block an image is decoded once, however often it is asked for, unless its files change: for the
    steps of one command, which share their images."""
    global _kept
    before, _kept = _kept, {} if _kept is None else _kept
    try:
        yield
    finally:
        _kept = before


def load_sample(record: Record) -> Sample:
    """Read, check and normalise one labelled image, or take it from those that `keep_samples` has kept."""
    if _kept is None:
        return decode_sample(record)
    key = record, *(path.stat().st_mtime_ns for path in (record.image, record.label))
    if key not in _kept:
        _kept[key] = decode_sample(record)
    return _kept[key]


def decode_sample(record: Record) -> Sample:
    """As `load_sample`, always from the files."""
    stored, labels = read_pixels(record.image), read_labels(record.label)
    if stored.shape[:2] != labels.shape:
        raise ValueError(
            f"{record.label}: labels of shape {labels.shape} do not fit the image of shape {stored.shape[:2]}"
        )
    normalised, cues = normalise(stored), measure_cues(stored, labels)
    pixels, impossible = without_equal_channels(normalised), ruled_out(stored, normalised.ndim == 2)
    return Sample(record, pixels, labels, median_diameter(labels), decide(cues)[0], impossible, cues)


def without_equal_channels(pixels: np.ndarray) -> np.ndarray:
    """(H, W) of a gray image that is stored as RGB, so that augmentations leave it gray; other images as they are."""
    gray = pixels.ndim == 3 and (pixels == pixels[:, :, :1]).all()
    return np.ascontiguousarray(pixels[:, :, 0]) if gray else pixels


def load_samples(records: list[Record]) -> list[Sample]:
    """All images, decoded once and kept in memory."""
    cv2.setNumThreads(1)  # OpenCV's own threads hang in the loader's processes, which are forked from this one
    return list(READERS.map(load_sample, records))


def balanced_weights(
    samples: list[Sample], exponent: float = 0.5, factors: Mapping[str, float] | None = None
) -> np.ndarray:
    """Probability of drawing each sample: a source counts by its number of images to the power of `exponent`, times its
    factor.

    Parameters
    ----------
    factors : by source; 1 for a source that is not in it

    Raises
    ------
    ValueError
        If every source has the factor 0.
    """
    sizes = Counter(sample.record.source for sample in samples)
    factors = factors or {}
    weights = np.array([sizes[s.record.source] ** (exponent - 1) * factors.get(s.record.source, 1.0) for s in samples])
    if not weights.any():
        raise ValueError("--source-factors: every source has the factor 0; nothing is left to train on")
    return weights / weights.sum()


class CropDataset(Dataset):
    """Endless random crops with their targets. Crop number i depends on `seed` and i alone, so training can resume
    anywhere.

    Parameters
    ----------
    samples : at least one with cells; those without are negatives, shown at random sizes
    size : height and width of a crop, a multiple of 32 pixels
    diameter : every crop is zoomed so that its image's median cell diameter is this many pixels times a random factor
    zoom : the range of that factor, drawn log-uniformly
    balance, factors : of `balanced_weights`
    """

    def __init__(
        self,
        samples: list[Sample],
        size: int,
        diameter: float,
        zoom: tuple[float, float] = augmentation.ZOOM,
        seed: int = 0,
        balance: float = 0.5,
        factors: Mapping[str, float] | None = None,
    ):
        if all(math.isnan(s.diameter) for s in samples):
            raise ValueError("no image with labelled cells to train on")
        self.samples = samples
        self.weights = balanced_weights(samples, balance, factors)
        self.size, self.diameter, self.zoom, self.seed = size, diameter, zoom, seed

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """image uint8 3xSxS; targets of `training.images.targets.make_targets` as float16, half as much to send to
        another process; sample, the number of the image."""
        rng = np.random.default_rng((self.seed, index))
        number = int(rng.choice(len(self.samples), p=self.weights))
        image, labels, known = self._crop(self.samples[number], self.size, rng)
        crop = {name: torch.from_numpy(array).half() for name, array in make_targets(labels, known).items()}
        pixels = np.rint(image.transpose(2, 0, 1) * 255).astype(np.uint8)
        return crop | {"image": torch.from_numpy(pixels), "sample": torch.tensor(number)}

    def _crop(self, sample: Sample, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Augmented image (size, size, 3) float32 in [0, 1], labels int32, known float32.

        An image that would fill less than a quarter of the crop shares it with three others of its source.
        """
        has_cells = not math.isnan(sample.diameter)
        zoom = math.exp(rng.uniform(*np.log(self.zoom)))
        zoom *= self.diameter / sample.diameter if has_cells else 1
        if max(sample.labels.shape) * zoom <= size / 2 and size > SMALLEST_MOSAIC_TILE:
            return self._mosaic(sample.record.source, size // 2, rng)
        centre = random_centre(sample.labels, has_cells and rng.random() < ON_CELL, rng)
        image, labels, known = augmentation.cut(sample.pixels, sample.labels, zoom, centre, size, rng)
        if sample.record.partial:
            known *= certainty(labels, sample.diameter * zoom)
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
        return tuple(
            np.concatenate([np.concatenate(parts[:2], 1), np.concatenate(parts[2:], 1)]) for parts in zip(*crops)
        )


def certainty(labels: np.ndarray, diameter: float) -> np.ndarray:
    """Weight of each pixel of an image where only some cells are labelled: 1 in and near them, else UNLABELLED_WEIGHT;
    float32.
    """
    reach = 2 * max(1, round(diameter * LABELLED_MARGIN)) + 1
    near = cv2.dilate((labels > 0).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_RECT, (reach, reach)))
    return np.where(near > 0, np.float32(1), np.float32(UNLABELLED_WEIGHT))


def random_centre(labels: np.ndarray, on_cell: bool, rng: np.random.Generator) -> tuple[int, int]:
    """A pixel (y, x), if wanted one of a cell; there must be cells then."""
    for _ in range(20):
        y, x = (int(rng.integers(n)) for n in labels.shape)
        if not on_cell or labels[y, x]:
            return y, x
    return divmod(int(rng.choice(np.flatnonzero(labels))), labels.shape[1])  # slower; cells are rare here
