"""The router at work: from a normalised image to its class and a first guess of its cells' diameter."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from inference.image.forms import NormalisedForm
from inference.image.normalisation import Pixels, every_nth
from inference.image.views import close_ups, router_view
from models.checkpoint import load_checkpoint
from models.classes import BINARY, GRAY
from models.router import VIEW_SHORTER_SIDE, RouterOutput

GRAY_SATURATION = 0.1  # mean saturation up to which an image may be gray; theta of the paper, section 3.3
SATURATION_BLOCK = 4  # of the pixels that are looked at, along each axis, whose mean counts
MOST_REDUCED = 5.0  # pixels of the image per pixel of a view, along each axis; no training image is shown smaller
SMALLEST_CLEAR = 14.0  # pixels of a view; where cells look smaller than this, a closer view is taken
SURE = 0.5  # probability of a class that decides alone; below, a wrong route is as likely as a right one
LARGEST_LOG = math.log(1000)  # a view has 224 pixels; an untrained router might say anything


@dataclass(frozen=True)
class Route:
    """What the router says of an image.

    probabilities : of the four classes, in the order of `models.classes.CLASSES`; 0 for an excluded one
    diameter : median cell diameter in pixels of the image
    expected_f1 : of the four networks, if the image is of the classes with these probabilities; None if it was never
        measured
    features : (F,) float32, what the router sees in the view that tells the class; None if it does not tell
    """

    probabilities: tuple[float, float, float, float]
    diameter: float
    expected_f1: tuple[float, float, float, float] | None = None
    features: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def uncertain(self) -> bool:
        """Whether the router leaves open which class it is: none has a probability of SURE."""
        return max(self.probabilities) < SURE

    @property
    def likeliest(self) -> int:
        """The most probable class."""
        return int(np.argmax(self.probabilities))

    @property
    def best(self) -> int:
        """The class whose network is to run: the most probable one, or if that is uncertain, the one with the highest
        expected F1.
        """
        if not self.uncertain or self.expected_f1 is None:
            return self.likeliest
        return int(np.argmax(np.where(np.array(self.probabilities) > 0, self.expected_f1, -1)))


def mean_saturation(pixels: Pixels) -> float:
    """Mean of HSV's saturation, (largest - smallest channel) / largest, in [0, 1]; 0 for one or two channels.

    It is that of the means over a few pixels: the noise of a camera differs between the channels, and is no colour.

    Parameters
    ----------
    pixels : array of shape (H, W) or (H, W, C), any dtype, before normalisation; of a large image every n-th pixel is
        looked at
    """
    if pixels.ndim == 2 or pixels.shape[2] < 3:
        return 0.0
    every = every_nth(pixels.shape, VIEW_SHORTER_SIDE)
    sample = np.nan_to_num(pixels[::every, ::every].astype(np.float32), posinf=0, neginf=0).clip(0)
    fewer = tuple(max(1, side // SATURATION_BLOCK) for side in sample.shape[1::-1])
    sample = cv2.resize(sample, fewer, interpolation=cv2.INTER_AREA)
    largest = sample.max(axis=2)
    return float(np.mean((largest - sample.min(axis=2)) / np.maximum(largest, np.finfo(np.float32).tiny)))


def ruled_out(pixels: Pixels, gray: bool) -> tuple[int, ...]:
    """Classes that the cue rules (paper, section 3.3) exclude for an image, whatever it shows.

    Several colours are never binary, and too colourful ones not gray. The paper goes by how a file is stored: one
    channel is binary, three are not. People store fluorescence in three channels and phase contrast in one as well, so
    where one channel shows all there is, nothing is excluded.

    Parameters
    ----------
    pixels : as for `mean_saturation`
    gray : whether one channel shows all there is, as the normalised image says
    """
    if gray or pixels.shape[2] < 3:
        return ()
    return (BINARY, GRAY) if mean_saturation(pixels) > GRAY_SATURATION else (BINARY,)


class RouterNetwork:
    """The router, on the CPU: a view takes some 20 ms.

    Parameters
    ----------
    expected_f1 : of images of each class (rows) by each network (columns); empty if it was never measured
    """

    def __init__(self, model: Callable[[torch.Tensor], RouterOutput], expected_f1: Sequence[Sequence[float]] = ()):
        self.model, self.expected_f1 = model, expected_f1

    @classmethod
    def load(cls, path: Path) -> "RouterNetwork":
        """The router of a checkpoint; raises CheckpointError."""
        model, config = load_checkpoint(path)
        return cls(model, config.expected_f1)

    @torch.inference_mode()
    def __call__(self, image: NormalisedForm, excluded: Sequence[int] = ()) -> Route:
        """Route for an image, to none of the `excluded` classes, as `ruled_out` gives them.

        The class is told from the widest view, which shows the whole image unless that is larger than any that
        the router learnt from. The diameter is told from the widest view in which the cells are large enough to be
        measured.
        """
        views = [router_view(image), *close_ups(image)]
        views = [(view, zoom) for view, zoom in views if zoom * MOST_REDUCED >= 1] or views[-1:]
        batch = torch.from_numpy(np.stack([view for view, _ in views])).permute(0, 3, 1, 2)
        out = self.model(batch.float() / 255)
        sizes = out.log_diameter.clamp(0, LARGEST_LOG).exp().tolist()
        chosen = next((i for i, size in enumerate(sizes) if size >= SMALLEST_CLEAR), len(sizes) - 1)
        logits = out.classes[0].clone()
        logits[list(excluded)] = -torch.inf
        probabilities = torch.softmax(logits, dim=0).numpy()
        expected = tuple((probabilities @ np.array(self.expected_f1)).tolist()) if self.expected_f1 else None
        diameter = sizes[chosen] / views[chosen][1]
        return Route(tuple(probabilities.tolist()), diameter, expected, out.features[0].numpy())
