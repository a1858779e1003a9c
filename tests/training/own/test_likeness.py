"""training.own.likeness: what is like one's own, against a reference; when a reference is of use."""

import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from inference.routing import RouterNetwork
from models.checkpoint import load_checkpoint, save_checkpoint
from models.classes import ROUTER_FILE
from training.images.datasets import Sample
from training.images.manifest import Record
from training.own import likeness
from training.own.likeness import REFERENCE_FILE, alike, learn_likeness, read_reference, write_reference

FEATURES = 24
RECORD = Record(Path("x.png"), Path("x_label.png"), "train", "x")


def told(learnt, features):
    return [learnt.holds(f) for f in features]


def features(seed, count, centre=0.0):
    """About a centre that differs from 0 in the first feature, as features that have other units."""
    values = np.random.default_rng(seed).normal(0, 1, (count, FEATURES))
    values[:, 0] += centre
    return (values * np.geomspace(0.1, 10, FEATURES) + 5).astype(np.float32)


def test_images_like_ones_own_are_told_from_others():
    own = [features(seed, 16, 6.0) for seed in range(8)]
    learnt, recognised = learn_likeness(own, "abcdefgh", features(50, 1000))
    assert recognised == 1
    assert np.mean(told(learnt, features(60, 200, 6.0))) > 0.97
    assert np.mean(told(learnt, features(70, 200))) < 0.03
    assert not any(told(learnt, features(80, 200, 20.0)))  # on their side, but far away
    assert not learnt.holds(None)


def test_images_that_are_unlike_one_another_are_not():
    """Each lies elsewhere, so that the rest of them does not tell it."""
    own = []
    for seed in range(8):
        views = features(seed, 16)
        views[:, seed] += 6 * np.geomspace(0.1, 10, FEATURES)[seed]
        own.append(views)
    assert learn_likeness(own, "abcdefgh", features(50, 1000))[1] < 0.5
    # Those of a field do not tell of each other.
    assert learn_likeness([own[0], own[0], own[1], own[1]], "aabb", features(50, 1000))[1] == 0


def test_one_field_tells_nothing():
    assert learn_likeness([features(1, 16, 6.0)] * 3, "aaa", features(50, 300)) is None


@pytest.fixture
def weights(untrained_weights, tmp_path):
    shutil.copyfile(untrained_weights / ROUTER_FILE, tmp_path / ROUTER_FILE)
    return tmp_path


def sample(seed, brightness=255):
    pixels = np.random.default_rng(seed).integers(0, brightness, (64, 80), np.uint8)
    return Sample(RECORD, pixels, np.zeros((64, 80), np.uint8), math.nan, 0)


def test_a_reference_is_read_as_it_was_written(weights):
    write_reference(weights, [sample(seed) for seed in range(3)])
    reference = read_reference(weights)
    assert reference.shape == (6, 512)
    assert np.isfinite(reference).all()
    assert len(np.unique(reference, axis=0)) == 6  # of other views
    assert (weights / REFERENCE_FILE).stat().st_mode & 0o777 == 0o644


def test_a_reference_is_of_a_router(weights, caplog):
    """The layer that tells the classes from the features may be another one."""
    assert read_reference(weights) is None
    assert "missing" in caplog.text
    write_reference(weights, [sample(0)])
    router, config = load_checkpoint(weights / ROUTER_FILE)
    router.network.fc.weight.data += 1
    save_checkpoint(weights / ROUTER_FILE, router, config)
    assert read_reference(weights) is not None
    router.network.layer4[1].conv2.weight.data *= 2
    save_checkpoint(weights / ROUTER_FILE, router, config)
    assert read_reference(weights) is None
    assert "made by another router" in caplog.text


def slope(seed):
    """An image that becomes brighter from left to right."""
    made = sample(seed)
    made.pixels[:] = np.linspace(0, 100 + 10 * seed, made.pixels.shape[1])
    return made


def test_from_images_to_likeness(weights):
    """Slopes among images of noise."""
    write_reference(weights, [sample(seed) for seed in range(12)])
    own = [slope(seed) for seed in range(6)]
    learnt, recognised = likeness.likeness_of(weights, own, "abcdef")
    assert recognised == 1
    router = RouterNetwork.load(weights / ROUTER_FILE)
    assert alike(router, [slope(8), sample(31)], learnt) == [True, False]
    (weights / REFERENCE_FILE).unlink()
    assert likeness.likeness_of(weights, own, "abcdef") is None
