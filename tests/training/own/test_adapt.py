"""training.own.adapt: how often own images are drawn, how long fitting goes on, how far a network may go,
and how far it steps back."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
import torch

from inference.network import Network
from inference.stardist import Settings
from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import Config
from models.likeness import Likeness
from models.stardist import ConvNeXtStarDist
from training.images.datasets import Sample, balanced_weights
from training.images.manifest import Record
from training.learning.finetune_trainer import FinetuneSettings
from training.learning.resume import RESUME_FILE
from training.own import adapt
from training.own.adapt import SHARES, Others, in_time, own_factor


def records(source, count, split="train"):
    return [Record(Path(f"{source}{n}"), Path("l"), split, source) for n in range(count)]


@pytest.mark.parametrize("others", [{"x": 40}, {"x": 9, "y": 1, "z": 30}])
def test_own_images_are_half_of_the_crops(others):
    own, rest = records("own", 7), [r for s, n in others.items() for r in records(s, n)]
    samples = [Sample(r, np.zeros(0), np.zeros(0), 1.0, 0) for r in own + rest]
    weights = balanced_weights(samples, factors=dict(own_factor(own + records("own", 3, "val"), rest)))
    assert weights[:7].sum() == pytest.approx(0.5)


def test_without_others_there_is_no_factor():
    assert own_factor(records("own", 7), []) == []


def test_fitting_ends_in_time_and_has_at_least_one_image(monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(adapt.time, "monotonic", lambda: next(clock))
    assert list(in_time("abcdef", 35)) == ["a", "b", "c"]
    assert list(in_time("abcdef", 1)) == ["a"]


def checkpoint(path, value, **config):
    """A network all of whose weights have one value."""
    model = ConvNeXtStarDist("efficientnet_lite0")
    for parameter in model.parameters():
        torch.nn.init.constant_(parameter, value)
    save_checkpoint(path, model, Config({"encoder": "efficientnet_lite0"}, **config))
    return path


@pytest.mark.parametrize("likeness, far", [(None, False), (Likeness(*(np.zeros(512),) * 3, 0.0, 1.0), True)])
def test_a_network_for_like_images_alone_may_go_far(monkeypatch, tmp_path, likeness, far):
    asked = []
    monkeypatch.setattr(adapt, "train", lambda trainer, settings: asked.append(settings) or 1)
    task = adapt.Task(0, checkpoint(tmp_path / "start.safetensors", 0.0), [], [], {}, [], tmp_path, likeness)
    with pytest.raises(SystemExit):
        adapt.adapt(task, Others([], 0.0), 1.0, 1.0, "cpu", 0)
    assert (asked[0].pull < FinetuneSettings.pull / 2, asked[0].lr > 2 * FinetuneSettings.lr) == (far, far)


@pytest.mark.parametrize(
    "lost, shares, expected",
    [
        ({1.0: 0.3, 0.75: 0.02, 0.5: 0.005}, SHARES, 0.5),
        ({1.0: 0.0}, SHARES, 1.0),
        (dict.fromkeys(SHARES, 0.2), SHARES, 0.25),
        ({0.6: 0.2}, [0.6], 0.6),
    ],
)
def test_a_network_steps_back_until_it_has_forgotten_nothing(tmp_path, monkeypatch, lost, shares, expected):
    """Weights of 0 at the start and 1 after the training tell how far a network is from either."""
    start = checkpoint(tmp_path / "start.safetensors", 0.0)
    candidate = checkpoint(tmp_path / "new.safetensors", 1.0, training={"steps_done": 3}, validation={"step": 3})

    def validate(network, samples):
        assert samples == ["other"]
        return 0.8 - lost[round(float(network.model.head.prob.bias.mean()), 2)]  # it may compute in bfloat16

    monkeypatch.setattr(adapt, "validate", validate)
    adapt.step_back(start, candidate, Others(["other"], 0.8), shares, "cpu")
    model, config = load_checkpoint(candidate)
    assert all(torch.allclose(p, torch.tensor(expected), atol=1e-3) for p in model.parameters())
    assert config.training["share"] == expected
    assert config.validation == {"step": 3}


@pytest.mark.parametrize(
    "own, others, kept",
    [
        ((0.6, 0.7), (0.80, 0.80), True),
        ((0.6, 0.6), (0.80, 0.90), False),  # nothing gained
        ((0.6, 0.7), (0.80, 0.78), False),  # forgotten
        ((0.6, 0.7), (0.70, 0.70), True),  # forgotten before
        ((0.6, 0.7), (0.90, 0.80), True),  # still as good as before the training
    ],
)
def test_thresholds_are_kept_where_they_gain_and_nothing_is_forgotten(tmp_path, monkeypatch, own, others, kept):
    candidate = checkpoint(tmp_path / "new.safetensors", 0.5, diameter=28.0, validation={"f1": 0.5})
    network = Network.load(candidate, torch.device("cpu"))
    new = 35.0, Settings(prob_threshold=0.6)
    monkeypatch.setattr(adapt, "score_settings", lambda *args: {})
    monkeypatch.setattr(adapt, "choose", lambda *args: new)
    scores = {"own": own, "others": others}
    monkeypatch.setattr(adapt, "validate", lambda net, samples: scores[samples[0]][net.config.diameter == 35.0])
    adapt.fit(candidate, network, ["own"], [], Others(["others"], 0.8), 1.0)
    _, config = load_checkpoint(candidate)
    assert config.diameter == (35.0 if kept else 28.0)
    assert config.validation["f1"] == (0.7 if kept else 0.5)


def test_a_stopped_training_begins_again_where_labels_have_changed(tmp_path):
    """And labels that have not are not written again: what has been read of them stays known."""
    stopped, times = tmp_path / RESUME_FILE, []
    for value, goes_on in ((1, True), (1, True), (2, False)):
        stopped.touch()
        image = SimpleNamespace(name="a", image=Path("a.png"), labels=np.full((4, 5), value, np.uint16), partial=False)
        task = adapt.Task(0, Path("start"), [image], [], {"a": "train"}, [], tmp_path)
        (record,) = task.write_labels()
        assert tifffile.imread(record.label).tolist() == image.labels.tolist()
        assert stopped.exists() == goes_on
        times.append(record.label.stat().st_mtime_ns)
    assert times[0] == times[1] < times[2]
