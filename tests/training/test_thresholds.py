"""training.thresholds and training.fitting with a network whose best settings are known: it is run once an image, and
its checkpoint gets the fit.
"""

import csv

import cv2
import numpy as np
import pytest
import torch

from inference.pipeline import segment_at
from inference.stardist import Settings
from models.checkpoint import read_config, save_checkpoint
from models.config import Config
from models.router import Router
from models.stardist import ConvNeXtStarDist
from training import thresholds
from training.fitting import Replay, choose, score_settings
from training.images.datasets import load_samples, median_diameter
from training.images.manifest import read_manifest
from training.images.targets import make_targets
from training.thresholds import main

ENCODER = "test_convnext"
PEAK = 0.499  # object probability that the network below gives to true cells


class Unsure:
    """In place of a network: finds the disks by their gray value, with probabilities up to PEAK; counts the windows it
    sees.

    smallest : diameter in pixels of the disks that it finds
    """

    kind, batch, overlaps, smallest = "stardist", 1, False, 0.0

    @classmethod
    def load(cls, *_):
        return cls()

    def __init__(self):
        self.config, self.windows = Config(diameter=20.0, decoder={"prob_threshold": 0.9}), 0

    def __call__(self, windows):
        self.windows += len(windows)
        labels = cv2.connectedComponents((windows[0, :, :, 0] > 128).astype(np.uint8))[1].astype(np.int32)
        if median_diameter(labels) < self.smallest:
            labels[:] = 0
        targets = make_targets(labels, np.ones(labels.shape, np.float32))
        return PEAK * targets["prob"][None], targets["dist"][None]


@pytest.fixture
def manifest(tmp_path):
    """Two validation images of class 0 with four disks each."""
    lines = ["image,label,split,source"]
    for number in range(2):
        labels = np.zeros((96, 96), np.uint8)
        for cell, centre in enumerate(np.ndindex(2, 2), start=1):
            cv2.circle(labels, tuple(25 + 48 * c + number for c in centre), 10, cell, -1)
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.where(labels > 0, 250, 5).astype(np.uint8))
        cv2.imwrite(str(tmp_path / f"{number}_label.png"), labels)
        lines.append(f"{number}.png,{number}_label.png,val,a")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path / "manifest.csv"


def test_each_window_once_a_size_and_scores_by_hand(manifest):
    """Thresholds below PEAK find all cells, those above none; whatever the checkpoint says of its own. Small disks stay
    below PEAK.
    """
    network, samples = Unsure(), load_samples(read_manifest(manifest, "val"))
    scores = score_settings(network, samples, 20.0)
    assert network.windows == 2 * 3
    assert {size for size, _ in scores} == {20.0, 16.0, 25.0}
    assert len(scores) == 3 * len(Settings.grid())
    assert all(scores[size, s] == float(s.prob_threshold < PEAK) for size in (20.0, 25.0) for s in Settings.grid())
    assert (27.123, Settings()) in score_settings(network, samples[:1], 27.123)  # the default itself, unrounded


def test_sizes_are_scored_apart(manifest):
    """A network that sees no cells below 18 pixels."""
    network, samples = Unsure(), load_samples(read_manifest(manifest, "val"))
    network.smallest = 18.0
    best = {size for (size, _), f1 in score_settings(network, samples, 16.0).items() if f1 == 1}
    assert best == {20.0}


def test_a_replayed_pass_equals_a_pass(manifest):
    """Decoding the kept maps gives what running the network with those settings gives, also the second time."""
    sample = load_samples(read_manifest(manifest, "val"))[0]
    settings = Settings(prob_threshold=0.3)
    network = Unsure()
    network.config = Config(diameter=20.0, decoder={"prob_threshold": 0.3})
    expected = segment_at(sample.pixels, network, 1.0)
    replay = Replay(Unsure())
    passes = [segment_at(sample.pixels, replay.with_settings(settings), 1.0) for _ in range(3)]
    assert expected.max() == 4
    assert all(np.array_equal(expected, labels) for labels in passes)


@pytest.mark.parametrize(
    ("gain", "smallest", "diameter", "threshold", "f1"),
    [
        (0.005, 0.0, 16.0, 0.3, 1.0),
        (0.005, 18.0, 20.0, 0.3, 1.0),
        (1.5, 0.0, 16.0, 0.5, 0.0),
    ],
)
def test_the_checkpoint_gets_the_fit(manifest, tmp_path, monkeypatch, gain, smallest, diameter, threshold, f1):
    """The first of equal ones that change as little as can be; with a gain that is out of reach the defaults are
    written. A fit before does not matter."""
    torch.manual_seed(0)
    path = tmp_path / "stardist.safetensors"
    save_checkpoint(
        path,
        ConvNeXtStarDist(ENCODER),
        Config({"encoder": ENCODER}, 20.0, training={"diameter": 16.0}, validation={"f1": 0.2, "step": 7}),
    )
    monkeypatch.setattr(thresholds, "Network", Unsure)
    monkeypatch.setattr(Unsure, "smallest", smallest)
    out = tmp_path / "table"
    assert main([str(path), "--manifest", str(manifest), "--classes", "0", "--gain", str(gain), "--out", str(out)]) == 0
    config = read_config(path)[1]
    assert config.diameter == diameter
    assert config.decoder == {"prob_threshold": threshold, "overlap_threshold": 0.4}
    assert config.validation == {"f1": f1, "images": 2, "step": 7}
    with open(out / "thresholds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(Settings.grid())
    assert rows[0] == {
        "diameter": "16.0",
        "prob_threshold": "0.3",
        "overlap_threshold": "0.3",
        "f1": str(float(smallest == 0)),
    }


def test_sources_that_are_left_out_are_not_looked_at(manifest, tmp_path, monkeypatch, caplog):
    """Of the images of two sources those of one; the name must be right."""
    both = manifest.with_name("both.csv")
    both.write_text(manifest.read_text().replace("1.png,1_label.png,val,a", "1.png,1_label.png,val,b"))
    save_checkpoint(tmp_path / "x.safetensors", ConvNeXtStarDist(ENCODER), Config({"encoder": ENCODER}, 20.0))
    monkeypatch.setattr(thresholds, "Network", Unsure)
    command = [str(tmp_path / "x.safetensors"), "--manifest", str(both)]
    assert main([*command, "--leave-out", "b"]) == 0
    assert read_config(tmp_path / "x.safetensors")[1].validation["images"] == 1
    assert main([*command, "--leave-out", "B"]) == 2
    assert "no line is of source B" in caplog.text


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.5, 0.8, 0.6, 0.804], 1),  # nearly as good as the best one, with one change less
        ([0.5, 0.79, 0.6, 0.804], 3),
        ([0.8, 0.804, 0.804, 0.804], 0),
        ([0.5, 0.801, 0.804, 0.804], 2),
    ],
)
def test_no_more_is_changed_than_is_gained(scores, expected):
    default = 28.0, Settings()
    tried = [default, (35.0, Settings()), (28.0, Settings(prob_threshold=0.3)), (35.0, Settings(prob_threshold=0.3))]
    assert choose(dict(zip(tried, scores)), default, 0.005) == tried[expected]


def test_a_router_has_no_thresholds(manifest, tmp_path, caplog):
    save_checkpoint(tmp_path / "router.safetensors", Router(), Config())
    assert main([str(tmp_path / "router.safetensors"), "--manifest", str(manifest)]) == 2
    assert "router.safetensors: holds a router, which decodes nothing" in caplog.text


def test_no_images_are_too_few(capsys):
    with pytest.raises(SystemExit):
        thresholds.parse_arguments(["x", "--manifest", "m.csv", "--images", "0"])
    assert "at least 1" in capsys.readouterr().err


def test_a_missing_checkpoint_is_named(manifest, tmp_path, caplog):
    assert main([str(tmp_path / "no.safetensors"), "--manifest", str(manifest)]) == 2
    assert "no.safetensors" in caplog.text
