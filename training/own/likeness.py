"""Which images are like one's own: told from what the router sees in them, against the images that the networks were
made from.
"""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save
from torch.nn import functional as F

from inference.image.forms import NormalisedImage
from inference.routing import Likeness, RouterNetwork
from models.checkpoint import load_checkpoint
from models.checksums import check_file
from models.classes import ROUTER_FILE
from models.router import Router
from training.images.datasets import Sample
from training.images.router_views import ViewDataset

log = logging.getLogger(__name__)

REFERENCE_FILE = "reference.safetensors"  # in a weights folder
FEATURES, MADE_BY = "features", "router"  # in that file: its tensor, and in its metadata the digest of the router
REFERENCE_VIEWS = 2  # of each image that the networks were made from
OWN_VIEWS = 16  # of each of one's own
SHRINKAGE = 1e-3  # of the squared factors, in the loss
LEAST_SPREAD = 1e-6  # of a feature
FURTHER = 1.4  # times as far from one's own images as these are from one another, an image may be
RECOGNISED = 0.8  # share of one's own images that must be told from the others by the rest of them


def digest_of(router: Router) -> str:
    """SHA-256 of all that a router's features depend on, as a checkpoint stores it."""
    total = hashlib.sha256()
    for name, value in sorted(router.network.state_dict().items()):
        if not name.startswith("fc."):
            total.update(value.half().numpy().tobytes())
    return total.hexdigest()


@torch.inference_mode()
def view_features(router: Router, sample: Sample, views: int, seed: int) -> np.ndarray:
    """(views, F) float32: what the router sees in random views of the whole image, as it was trained on."""
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


def read_reference(weights: Path) -> np.ndarray | None:
    """(N, F) float32, as `write_reference` has written it; None, and a warning, where there is none for this router.

    Raises CheckpointError if the file is damaged.
    """
    path = weights / REFERENCE_FILE
    if not path.exists():
        log.warning("%s: missing, so that images like yours cannot be told from others; see training.reference", path)
        return None
    check_file(path)
    with safe_open(path, framework="np") as file:
        if file.metadata()[MADE_BY] != digest_of(load_checkpoint(weights / ROUTER_FILE)[0]):
            log.warning("%s: made by another router than that beside it; make it anew with training.reference", path)
            return None
        return file.get_tensor(FEATURES).astype(np.float32)


def learn_likeness(
    own: Sequence[np.ndarray], fields: Sequence[str], reference: np.ndarray
) -> tuple[Likeness, float] | None:
    """How images like one's own are told from others, and the share of one's own that are by the rest of them; None if
    all are of one field.

    Parameters
    ----------
    own : of each image, the features of its views
    fields : of each image; those of one field do not tell of each other
    reference : (N, F), features of the others
    """
    mean, spread = reference.mean(axis=0), reference.std(axis=0) + LEAST_SPREAD
    scaled, others = [(views - mean) / spread for views in own], (reference - mean) / spread
    told, distances = [], []
    for field in dict.fromkeys(fields):
        rest = [views for views, other in zip(scaled, fields) if other != field]
        if not rest:
            return None
        centre = np.concatenate(rest).mean(axis=0)
        factors, bias = _separate(np.concatenate(rest), others)
        for views in (views for views, other in zip(scaled, fields) if other == field):
            told.append((views @ factors + bias).mean() > 0)
            distances.append(np.median(np.linalg.norm(views - centre, axis=1)))
    centre = np.concatenate(scaled).mean(axis=0)
    factors, bias = _separate(np.concatenate(scaled), others)
    numbers = (mean + spread * centre, spread, factors, [bias + factors @ centre, FURTHER * max(distances)])
    centres, spreads, slopes, (level, radius) = ([float(f"{n:.6g}") for n in values] for values in numbers)
    return Likeness(centres, spreads, slopes, level, radius), float(np.mean(told))


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


def likeness_of(weights: Path, samples: Sequence[Sample], fields: Sequence[str]) -> tuple[Likeness, float] | None:
    """As `learn_likeness`, of images, by the router of a weights folder; None if that has no reference, too."""
    reference = read_reference(weights)
    if reference is None:
        return None
    router, _ = load_checkpoint(weights / ROUTER_FILE)
    own = [view_features(router, sample, OWN_VIEWS, seed) for seed, sample in enumerate(samples)]
    return learn_likeness(own, fields, reference)


def alike(router: RouterNetwork, samples: Sequence[Sample], likeness: Likeness) -> list[bool]:
    """Of each image, whether it is told to be like one's own."""
    return [likeness.holds(router(NormalisedImage(s.pixels), s.excluded).features) for s in samples]
