"""The views that the router learns from: whole images for the class, closer ones for the size of the cells.

They imitate `inference.routing`, which tells the class from the image's shorter side resized to 256 pixels, and the
cells' diameter from the widest of several views in which they are large enough.
"""

import math

import numpy as np
import torch
from torch.utils.data import Dataset

from inference.image.forms import to_three_channels
from models.router import VIEW_SHORTER_SIDE, VIEW_SIZE
from training.images import augmentation
from training.images.datasets import Sample, balanced_weights, random_centre

EMPTY_PERCENTILES = (2, 50, 98)  # of an image's pixels, one of which its surroundings have
EMPTY_NOISE = (0.0, 4.0)  # standard deviation in the surroundings, gray levels
NO_CLASS = -1  # of a close-up or of an image without cells, which do not show what the class is decided by

# Of a whole view over the one at inference; at 0.875 it shows the shorter side in full.
ZOOM = (0.875, 1.2)
CLOSE_UPS = 0.4  # share of the views that show a part of the image at a size where the cells are...
CLOSE_UP_DIAMETER = (5.0, 160.0)  # ...of this diameter in pixels, all sizes (log) equally often
SURROUNDED = 0.3  # share of the whole views in which the image lies in empty surroundings...
SURROUNDINGS = (1.0, 6.0)  # ...of so many times its area with them: tissue on glass, a colony in the dark

# A close-up takes all that the segmenters' crops take. A whole view keeps what the cues go by: gray stays gray, colour
# colour.
WHOLE_VIEW_CHANGES = tuple(
    (probability, change)
    for probability, change in augmentation.INTENSITY
    if change not in (augmentation.invert, augmentation.desaturate, augmentation.composite, augmentation.hue)
)


class ViewDataset(Dataset):
    """Endless random views for training; view number i depends on `seed` and i alone.

    The classes come equally often, and within a class the sources as in the segmenters' training, `balance` being the
    exponent of `training.images.datasets.balanced_weights`.

    close_ups : share of the views that show a part of the image at a size where the cells are of CLOSE_UP_DIAMETER
    """

    def __init__(self, samples: list[Sample], seed: int, balance: float = 0.5, close_ups: float = CLOSE_UPS):
        self.samples, self.seed, self.close_ups = samples, seed, close_ups
        self.weights = class_balanced_weights(samples, balance)

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """image uint8 3x224x224; class, or NO_CLASS; log_diameter, the natural logarithm of the cell diameter in pixels
        of the view (nan without cells); sample, the number of the image."""
        rng = np.random.default_rng((self.seed, index))
        number = int(rng.choice(len(self.samples), p=self.weights))
        sample = self.samples[number]
        zoom = VIEW_SHORTER_SIDE / min(sample.labels.shape) * math.exp(rng.uniform(*np.log(ZOOM)))
        has_cells = not math.isnan(sample.diameter)
        label, close_up = sample.cue_class if has_cells else NO_CLASS, False
        if rng.random() < self.close_ups and has_cells:
            closer = math.exp(rng.uniform(*np.log(CLOSE_UP_DIAMETER))) / sample.diameter
            zoom, label, close_up = (closer, NO_CLASS, True) if closer > zoom else (zoom, label, False)
        surrounded = not close_up and rng.random() < SURROUNDED
        if surrounded:
            zoom /= math.sqrt(rng.uniform(*SURROUNDINGS))
        centre = random_centre(sample.labels, on_cell=close_up, rng=rng)
        view, _, known = augmentation.cut(sample.pixels, sample.labels, zoom, centre, VIEW_SIZE, rng)
        if surrounded:
            fill_surroundings(view, known > 0, rng)
        (view,) = augmentation.flip_and_turn([view], rng)
        changes = augmentation.INTENSITY if close_up else WHOLE_VIEW_CHANGES
        view = augmentation.change_intensity(view.astype(np.float32) / 255, rng, changes)
        pixels = np.rint(to_three_channels(view).transpose(2, 0, 1) * 255).astype(np.uint8)
        return {
            "image": torch.from_numpy(pixels),
            "class": torch.tensor(label),
            "sample": torch.tensor(number),
            "log_diameter": torch.tensor(math.log(sample.diameter * zoom), dtype=torch.float32),
        }


def fill_surroundings(view: np.ndarray, known: np.ndarray, rng: np.random.Generator) -> None:
    """Make what is not of the image nearly uniform, as dark, middling or bright as pixels of the image are.

    Parameters
    ----------
    view : uint8 (S, S) or (S, S, 3), changed in place
    known : bool (S, S), True where the image is; at least one pixel
    """
    level = np.percentile(view[known], rng.choice(EMPTY_PERCENTILES), axis=0)
    noise = rng.normal(0, rng.uniform(*EMPTY_NOISE), (np.count_nonzero(~known), *view.shape[2:]))
    view[~known] = np.clip(level + noise, 0, 255).astype(np.uint8)


def class_balanced_weights(samples: list[Sample], exponent: float = 0.5) -> np.ndarray:
    """Probability of drawing each sample: `balanced_weights` within a class, every class that there is as often as the
    others.
    """
    weights, classes = balanced_weights(samples, exponent), np.array([s.cue_class for s in samples])
    share = np.bincount(classes, weights)[classes]
    return weights / share / len(np.unique(classes))
