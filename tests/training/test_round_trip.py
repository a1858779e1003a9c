"""Labels to targets and back through each stream's decoder: what the method can represent at best."""

import cv2
import numpy as np
import pytest

from inference.decoding.painting import paint
from inference.decoding.watershed import decode_hover
from inference.hover import HOVER_STRIDE
from inference.stardist import find_candidates
from models.unet import DEEPEST_STRIDE
from tests.helpers.resized import resize_labels
from tests.helpers.stars import suppress
from training.images.datasets import load_sample
from training.images.manifest import read_manifest
from training.images.targets import make_targets
from training.measure.f1 import f1_score, match_counts

DIAMETER = {"stardist": 28, "hover": 36}  # pixels that the cells are brought to


def at_working_size(labels, zoom):
    """Labels at `zoom` times their size, rounded to the network's multiple, and the exact scale (y, x)."""
    shape = [max(DEEPEST_STRIDE, round(n * zoom / DEEPEST_STRIDE) * DEEPEST_STRIDE) for n in labels.shape]
    rows, columns = (((np.arange(n) + 0.5) * old / n).astype(int) for n, old in zip(shape, labels.shape))
    return labels[rows[:, None], columns].astype(np.int32), tuple(n / old for n, old in zip(shape, labels.shape))


def stardist_round_trip(labels, zoom):
    working, scale = at_working_size(labels, zoom)
    targets = make_targets(working, np.ones(working.shape, np.float32))
    candidates = find_candidates(targets["prob"], targets["dist"], (0, 0), 0.5)
    return paint(suppress(candidates, 0.4), labels.shape, scale)[0]


def hover_round_trip(labels, zoom):
    working, scale = at_working_size(labels, zoom)
    targets = make_targets(working, np.ones(working.shape, np.float32))
    found, _ = decode_hover(targets["cell"][0], targets["hv"])
    return resize_labels(found, labels.shape, tuple(s / HOVER_STRIDE for s in scale))


ROUND_TRIPS = {"stardist": stardist_round_trip, "hover": hover_round_trip}


@pytest.mark.parametrize("stream", ROUND_TRIPS)
def test_ellipses(stream):
    """Two hundred ellipses of 16 to 44 pixels, many touching."""
    rng = np.random.default_rng(0)
    labels = np.zeros((640, 640), np.int32)
    for cell in range(1, 201):
        centre, axes = rng.integers(0, 640, 2).tolist(), rng.integers(8, 22, 2).tolist()
        cv2.ellipse(labels, centre, axes, int(rng.integers(180)), 0, 360, cell, -1)
    labels[np.isin(labels, np.nonzero(np.bincount(labels.ravel()) < 60)[0])] = 0  # slivers under other cells
    counts = match_counts(labels, ROUND_TRIPS[stream](labels, 1.0))[0]
    assert f1_score(*counts) > 0.95


@pytest.mark.parametrize("stream", ROUND_TRIPS)
def test_real_labels(stream, real_data):
    """One image of every source; the mean over the sources is above 0.95 for both streams."""
    records = {r.source: r for r in reversed(read_manifest(real_data / "manifest.csv", "val"))}
    scores = {}
    for source, record in records.items():
        sample = load_sample(record)
        labels = sample.labels.astype(np.int32)
        zoom = min(DIAMETER[stream] / sample.diameter, 2)
        scores[source] = f1_score(*match_counts(labels, ROUND_TRIPS[stream](labels, zoom))[0])
    assert np.mean(list(scores.values())) > 0.95, scores
    assert min(scores.values()) > 0.5, scores
