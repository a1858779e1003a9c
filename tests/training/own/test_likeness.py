"""training.own.likeness: what is like one's own, against a reference; when a reference is of use."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.image.forms import NormalisedImage
from inference.routing import RouterNetwork
from models.checkpoint import load_checkpoint, save_checkpoint
from models.classes import REFERENCE_FILE, ROUTER_FILE
from training.images.datasets import Sample
from training.images.manifest import Record
from training.own import likeness
from training.own.likeness import learn_likeness, likeness_of, read_reference, view_features, write_reference

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
    assert np.mean(told(learnt, features(60, 200, 6.0))) > 0.75
    assert not any(told(learnt, features(70, 200)))
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
    assert learn_likeness([features(1, 16, 6.0)] * 3, "aaa", features(50, 300))[1] == 0


def test_many_fields_are_left_out_by_tens(monkeypatch):
    """So that it does not take longer and longer."""
    fits, separate = [], likeness._separate
    monkeypatch.setattr(likeness, "_separate", lambda *own: fits.append(len(own[0])) or separate(*own))
    own = [features(seed, 2, 6.0) for seed in range(25)]
    assert learn_likeness(own, [str(n) for n in range(25)], features(50, 200))[1] > 0.9
    assert sorted(fits) == [44] * 5 + [46] * 5 + [50]


@pytest.fixture
def weights(untrained_weights, tmp_path):
    shutil.copyfile(untrained_weights / ROUTER_FILE, tmp_path / ROUTER_FILE)
    return tmp_path


def sample(seed, brightness=255):
    pixels = np.random.default_rng(seed).integers(0, brightness, (64, 80), np.uint8)
    return Sample(RECORD, pixels, np.zeros((64, 80), np.uint8), math.nan, 0)


def test_a_reference_is_read_as_it_was_written(weights):
    write_reference(weights, [sample(seed) for seed in range(3)])
    reference = read_reference(weights).features
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
    reference, router = read_reference(weights), RouterNetwork.load(weights / ROUTER_FILE)

    def seen(own):
        return router(NormalisedImage(own.pixels)).features

    own = [slope(seed) for seed in range(6)]
    learnt, recognised = likeness_of(reference, own, [seen(i) for i in own], "abcdef")
    assert recognised == 1
    assert [learnt.holds(seen(i)) for i in (slope(3), sample(31))] == [True, False]


def test_of_a_large_image_the_middle_is_looked_at_as_at_prediction(weights):
    """The router never sees more than so much of it."""
    rng, (large,) = np.random.default_rng(0), (sample(0),)
    pixels = cv2.resize(rng.integers(0, 255, (150, 200), np.uint8), (2000, 1500), interpolation=cv2.INTER_NEAREST)
    large = replace(large, pixels=pixels, labels=np.zeros(pixels.shape, np.uint8))
    router, _ = load_checkpoint(weights / ROUTER_FILE)
    views = view_features(router, large, 4, 0)
    blank = pixels.copy()
    blank[238:-238, 488:-488] = 0
    other = view_features(router, replace(large, pixels=np.where(blank > 0, 0, pixels)), 4, 0)
    assert np.array_equal(views, other)
