"""Which images are like one's own: told from what the router sees in them, against the images that the networks were
made from.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save
from torch.nn import functional as F

from inference.routing import MOST_REDUCED
from models.checkpoint import load_checkpoint
from models.checksums import check_file
from models.classes import REFERENCE_FILE, ROUTER_FILE
from models.likeness import Likeness
from models.router import VIEW_SHORTER_SIDE, Router
from training.images.datasets import Sample
from training.images.router_views import ViewDataset

log = logging.getLogger(__name__)

FEATURES, MADE_BY = "features", "router"  # in the file: its tensor, and in its metadata the digest of the router
REFERENCE_VIEWS = 2  # of each image that the networks were made from
OWN_VIEWS = 160  # of all of one's own...
VIEWS = (2, 16)  # ...and of each of them at least and at most
WIDEST = 1024  # pixels: side of the part that the router sees of an image that is too large to be seen whole
SHRINKAGE = 1e-3  # of the squared factors, in the loss
LEAST_SPREAD = 1e-6  # of a feature
SURENESS = 0.8  # of that by which the one of one's own images is told that is told least surely
FURTHER = 1.4  # times as far from one's own images as these are from one another, an image may be
RECOGNISED = 0.8  # share of one's own images that must be told from the others by the rest of them
FOLDS = 10


class Reference(NamedTuple):
    """A router, and what it sees in the images that the networks beside it were made from: (N, F) float32."""

    router: Router
    features: np.ndarray


def digest_of(router: Router) -> str:
    """SHA-256 of all that a router's features depend on, as a checkpoint stores it."""
    total = hashlib.sha256()
    for name, value in sorted(router.network.state_dict().items()):
        if not name.startswith("fc."):
            total.update(value.half().numpy().tobytes())
    return total.hexdigest()


@torch.inference_mode()
def view_features(router: Router, sample: Sample, views: int, seed: int) -> np.ndarray:
    """(views, F) float32: what the router sees in random views of an image, of a large one of its middle, as at
    prediction.
    """
    if min(sample.labels.shape) > VIEW_SHORTER_SIDE * MOST_REDUCED:
        middle = tuple(slice((side - WIDEST) // 2, (side + WIDEST) // 2) for side in sample.labels.shape)
        sample = replace(sample, pixels=sample.pixels[middle], labels=sample.labels[middle])
    data = ViewDataset([sample], seed, close_ups=0.0)
    batch = torch.stack([data[i]["image"] for i in range(views)])
    return router(batch.float() / 255).features.numpy()


def write_reference(weights: Path, samples: Sequence[Sample]) -> None:
    """Write what the router of a weights folder sees in the images that its networks were made from."""
    router, _ = load_checkpoint(weights / ROUTER_FILE)
    features = [view_features(router, sample, REFERENCE_VIEWS, seed) for seed, sample in enumerate(samples)]
    array = np.concatenate(features).astype(np.float16)
    path = weights / REFERENCE_FILE
    path.write_bytes(save({FEATURES: array}, {MADE_BY: digest_of(router)}))  # save_file's only its owner can read


def read_reference(weights: Path) -> Reference | None:
    """As `write_reference` has written it; None, and a warning, where there is none for this router.

    Raises CheckpointError if the file is damaged.
    """
    path = weights / REFERENCE_FILE
    if not path.exists():
        log.warning("%s: missing, so that images like yours cannot be told from others; see training.reference", path)
        return None
    check_file(path)
    router, _ = load_checkpoint(weights / ROUTER_FILE)
    with safe_open(path, framework="np") as file:
        if file.metadata()[MADE_BY] != digest_of(router):
            log.warning("%s: made by another router than that beside it; make it anew with training.reference", path)
            return None
        return Reference(router, file.get_tensor(FEATURES).astype(np.float32))


def likeness_of(
    reference: Reference, samples: Sequence[Sample], seen: Sequence[np.ndarray], fields: Sequence[str]
) -> tuple[Likeness, float]:
    """As `learn_likeness`, of images in which the router sees `seen` at prediction."""
    views = int(np.clip(OWN_VIEWS // len(samples), *VIEWS))
    own = [
        np.vstack([features, view_features(reference.router, sample, views, seed)])
        for seed, (sample, features) in enumerate(zip(samples, seen))
    ]
    return learn_likeness(own, fields, reference.features)


def learn_likeness(own: Sequence[np.ndarray], fields: Sequence[str], reference: np.ndarray) -> tuple[Likeness, float]:
    """How images like one's own are told from others, and the share of one's own that are told so by those of other
    fields: none, if all are of one field.

    By how much one's own are told so also says how surely another image must be, and how far they lie from one another
    how far it may be.

    Parameters
    ----------
    own : of each image, the features of what the router sees at prediction, and of further views of it
    fields : of each image
    reference : (N, F), features of the others
    """
    mean, spread = reference.mean(axis=0), reference.std(axis=0) + LEAST_SPREAD
    scaled, others = [(views - mean) / spread for views in own], (reference - mean) / spread
    folds = {field: number % FOLDS for number, field in enumerate(dict.fromkeys(fields))}
    levels, distances = [], []  # of each image, by those of other folds
    for fold in set(folds.values()):
        inside = [folds[field] == fold for field in fields]
        if all(inside):
            continue
        rest = np.concatenate([views for views, left_out in zip(scaled, inside) if not left_out])
        factors, bias = _separate(rest, others)
        for views in (views for views, left_out in zip(scaled, inside) if left_out):
            levels.append(float(views[0] @ factors + bias))
            distances.append(np.linalg.norm(views - rest.mean(axis=0), axis=1))
    radius = FURTHER * max((float(np.median(own_distances)) for own_distances in distances), default=0.0)
    told = [level for level, away in zip(levels, distances) if level > 0 and away[0] <= radius]
    centre = np.concatenate(scaled).mean(axis=0)
    factors, bias = _separate(np.concatenate(scaled), others)
    bias += float(factors @ centre) - SURENESS * min(told, default=0.0)
    numbers = (mean + spread * centre, spread, factors, [bias, radius])
    centres, spreads, slopes, (bias, radius) = ([float(f"{n:.6g}") for n in values] for values in numbers)
    return Likeness(centres, spreads, slopes, bias, radius), len(told) / len(own)


def _separate(own: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, float]:
    """Factors of the features and a bias, by logistic regression in which both groups count alike."""
    features = torch.from_numpy(np.concatenate([own, others]))
    truth = torch.tensor([1.0] * len(own) + [0.0] * len(others))
    weights = torch.tensor([0.5 / len(own)] * len(own) + [0.5 / len(others)] * len(others))
    factors, bias = torch.zeros(features.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([factors, bias], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = features @ factors + bias
        total = F.binary_cross_entropy_with_logits(logits, truth, weights, reduction="sum")
        total = total + SHRINKAGE * factors.square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    return factors.detach().numpy(), float(bias.detach())
