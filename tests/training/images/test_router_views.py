"""training.images.router_views: what the router is shown, and what it is told of it."""

import dataclasses
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training.images.datasets import Sample
from training.images.manifest import Record
from training.images.router_views import NO_CLASS, ViewDataset, class_balanced_weights


def disks(side, radius, cue_class, channels=3):
    """A Sample of a source of its own with four disks of equal size, brighter than the background."""
    labels = np.zeros((side, side), np.uint16)
    for i, centre in enumerate(np.ndindex(2, 2), start=1):
        cv2.circle(labels, tuple(int((c + 0.5) * side / 2) for c in centre), radius, i, -1)
    pixels = np.where(labels > 0, 200, 50).astype(np.uint8)
    pixels = pixels if channels == 1 else np.dstack([pixels, pixels // 4, pixels])
    return Sample(
        Record(Path("x"), Path("y"), "train", f"class{cue_class}"), pixels, labels, float(2 * radius), cue_class
    )


def shown(views, number):
    """Image in [0, 1], class and log diameter of a view."""
    view = views[number]
    assert view["image"].dtype == torch.uint8
    return view["image"].float() / 255, int(view["class"]), float(view["log_diameter"])


def test_views_know_their_size():
    """In a view without intensity changes the bright area of four disks is that of the diameter that comes with it."""
    views = ViewDataset([disks(256, 20, 0, channels=1)], seed=3)
    checked = 0
    for number in range(60):
        view, label, log_diameter = shown(views, number)
        bright = float((view[0] > view[0].mean()).float().mean()) * 224**2
        cells = bright / (math.pi / 4 * math.exp(log_diameter) ** 2)
        assert view.shape == (3, 224, 224)
        assert label in (0, NO_CLASS)
        checked += label == 0 and 3 < cells < 5  # noise, gain and the like blur the threshold in some views
    assert checked >= 15


def test_close_ups_have_no_class_and_all_sizes():
    """Cells of 40 pixels fill views at up to 160; a close-up is never wider than the whole view, which empty
    surroundings make 2.5 times smaller at most."""
    views = ViewDataset([disks(1000, 20, 3)], seed=0)
    drawn = [shown(views, number)[1:] for number in range(80)]
    whole = [math.exp(size) for label, size in drawn if label == 3]
    close = [math.exp(size) for label, size in drawn if label == NO_CLASS]
    assert 20 <= len(close) <= 45
    assert min(close) >= 40 * 0.256 * 0.875
    assert max(close) <= 160
    assert np.ptp(close) > 80
    assert 40 * 0.256 * 0.875 / math.sqrt(6) <= min(whole)
    assert max(whole) <= 40 * 0.256 * 1.2


def test_empty_surroundings(monkeypatch):
    """An image in a view of six times its area: a sixth of the view shows it, the rest is nearly of one colour."""
    views = ViewDataset([disks(256, 20, 0, channels=1)], seed=0)
    drawn = {"CLOSE_UPS": 0.0, "SURROUNDED": 1.0, "SURROUNDINGS": (6.0, 6.001), "WHOLE_VIEW_CHANGES": ()}
    for name, value in drawn.items():
        monkeypatch.setattr(f"training.images.router_views.{name}", value)
    view, label, log_diameter = shown(views, 0)
    level = float(view[0].median())
    assert label == 0
    assert np.mean(np.abs(view[0].numpy() - level) < 20 / 255) > 0.75
    assert math.exp(log_diameter) == pytest.approx(40 / math.sqrt(6), rel=0.25)


def test_an_image_without_cells_teaches_no_class_and_no_size():
    empty = disks(64, 10, 3)
    empty = dataclasses.replace(empty, labels=np.zeros_like(empty.labels), diameter=math.nan)
    views = ViewDataset([disks(64, 10, 3), empty], 0)
    drawn = [views[number] for number in range(20)]
    assert {int(view["sample"]) for view in drawn} == {0, 1}
    assert {int(view["class"]) for view in drawn if view["sample"] == 1} == {NO_CLASS}
    assert all(math.isnan(view["log_diameter"]) == (view["sample"] == 1) for view in drawn)


def test_whole_views_keep_the_cues():
    """Gray stays gray and colour colour, however the intensities change."""
    gray, colour = ViewDataset([disks(64, 6, 0, channels=1)], 0), ViewDataset([disks(64, 10, 3)], 0)  # gray: dark too
    for views, low, high in ((gray, 0.0, 0.0), (colour, 0.1, 1.0)):
        drawn = [shown(views, number) for number in range(40)]
        whole = [view for view, label, _ in drawn if label != NO_CLASS]
        assert len(whole) > 10
        saturations = [float(((v.amax(0) - v.amin(0)) / v.amax(0).clamp(min=1e-3)).mean()) for v in whole]
        assert min(saturations) >= low
        assert max(saturations) <= high


def test_views_are_repeatable():
    one, other = (ViewDataset([disks(64, 10, 0, channels=1), disks(128, 10, 3)], seed) for seed in (4, 5))
    first, again = one[7], one[7]
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["image"], other[7]["image"])


def test_classes_come_equally_often():
    samples = [disks(16, 2, 0)] * 8 + [disks(16, 2, 2)] + [disks(16, 2, 3)] * 2
    weights = class_balanced_weights(samples)
    assert [weights[:8].sum(), weights[8], weights[9:].sum()] == pytest.approx([1 / 3] * 3)
