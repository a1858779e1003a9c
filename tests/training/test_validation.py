"""training.validation: which images are scored, at which size, and how partly labelled ones count."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.network import Network
from models.config import Config
from models.hover import ConvNeXtHover
from models.stardist import ConvNeXtStarDist
from training import validation
from training.images.datasets import Sample, median_diameter
from training.images.manifest import Record
from training.images.targets import make_targets
from training.validation import pick_balanced, validate, without_unlabelled


def records(**counts):
    return [
        Record(Path(f"{source}{i}.png"), Path("label.png"), "val", source)
        for source, n in counts.items()
        for i in range(n)
    ]


def names(picked):
    return [record.image.stem for record in picked]


def test_balanced_over_sources():
    """Every source has an equal share, spread over its list; what a small source does not use goes to the others."""
    assert names(pick_balanced(records(a=8, b=4), 4)) == ["a0", "a4", "b0", "b2"]
    assert names(pick_balanced(records(a=1, b=6, c=6), 7)) == ["a0", "b0", "b2", "b4", "c0", "c2", "c4"]
    assert names(pick_balanced(records(a=3, b=3), 1)) == ["a0"]
    assert names(pick_balanced(records(a=2, b=1), 32)) == ["a0", "a1", "b0"]
    assert pick_balanced([], 5) == []


def disks(shape, *centres, radius):
    y, x = np.indices(shape)
    labels = np.zeros(shape, np.uint16)
    for number, (cy, cx) in enumerate(centres, start=1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= radius**2] = number
    return labels


def sample(labels, partial=False):
    """An image in which a network could read the labels: each cell has its own gray value."""
    return Sample(
        Record(Path("x.png"), Path("y.png"), "val", "a", partial=partial),
        (labels * 40).astype(np.uint8),
        labels,
        median_diameter(labels),
        0,
    )


class Oracle:
    """In place of a network: reads the labels from the gray values, and keeps the windows' sizes."""

    kind, batch, overlaps = "stardist", 1, False

    def __init__(self, diameter, forget=()):
        self.config, self.forget, self.sizes = Config(diameter=diameter), forget, []

    def __call__(self, windows):
        self.sizes.append(windows.shape[1:3])
        labels = np.rint(windows[0, :, :, 0] / 40).astype(np.int32)
        labels[np.isin(labels, self.forget)] = 0
        targets = make_targets(labels, np.ones(labels.shape, np.float32))
        return targets["prob"][None], targets["dist"][None]


FIVE = disks((128, 160), (30, 30), (30, 90), (90, 30), (90, 80), (80, 130), radius=13)


def test_perfect_network_scores_1():
    assert validate(Oracle(26.0), [sample(FIVE), sample(FIVE[:64])]) == 1


def test_missed_cells_cost():
    """4 of 5 cells: F1 is 8/9; the mean is over images."""
    assert validate(Oracle(26.0, forget=(4,)), [sample(FIVE)]) == pytest.approx(8 / 9)
    assert validate(Oracle(26.0, forget=(4,)), [sample(FIVE), sample(FIVE[:64])]) == pytest.approx((8 / 9 + 1) / 2)


@pytest.mark.parametrize("diameter, scale", [(26.0, 1), (13.0, 0.5), (39.0, 1.5), (260.0, 2)])
def test_true_diameter_sets_the_scale(diameter, scale):
    """Cells of 26 pixels are brought to the network's diameter, but enlarged twice at most."""
    oracle = Oracle(diameter)
    validate(oracle, [sample(FIVE)])
    # Windows are multiples of 32.
    assert all(abs(found - n * scale) <= 32 for found, n in zip(oracle.sizes[0], FIVE.shape))


def test_image_without_cells():
    """Its diameter is unknown: it is taken as it is, and finding nothing is right."""
    labels = np.zeros((64, 96), np.uint16)
    # Of an even image no network is asked.
    shade = np.broadcast_to(np.linspace(0, 18, 96).astype(np.uint8), labels.shape)
    empty = Sample(sample(labels).record, np.ascontiguousarray(shade), labels, median_diameter(labels), 0)
    assert math.isnan(empty.diameter)
    oracle = Oracle(26.0)
    assert validate(oracle, [empty]) == 1
    assert oracle.sizes == [(64, 96)]


def test_partly_labelled_images():
    """A cell that is there but not labelled is no spurious one; in a fully labelled image it is."""
    labelled = np.where(FIVE <= 3, FIVE, 0)
    for partial, expected in ((True, 1), (False, 6 / 8)):
        some = sample(labelled, partial)
        some = Sample(some.record, sample(FIVE).pixels, labelled, some.diameter, 0)
        assert validate(Oracle(26.0), [some]) == pytest.approx(expected)


def test_without_unlabelled_by_hand():
    """2 lies on labelled cells with half of its pixels, which is not most of them; 3 with two thirds."""
    truth = np.array([[1, 1, 0, 0, 5, 5, 0]])
    assert without_unlabelled(np.array([[1, 2, 2, 0, 3, 3, 3]]), truth).tolist() == [[1, 0, 0, 0, 3, 3, 3]]
    assert without_unlabelled(np.zeros((1, 7), np.int32), truth).tolist() == [[0] * 7]


def test_broken_off_between_images():
    """What `on_image` raises comes through."""
    calls = iter([None, None, KeyboardInterrupt])

    def on_image():
        if error := next(calls):
            raise error

    oracle = Oracle(26.0)
    with pytest.raises(KeyboardInterrupt):
        validate(oracle, [sample(FIVE)] * 5, on_image)
    assert len(oracle.sizes) == 2


@pytest.mark.parametrize("kind", (ConvNeXtStarDist, ConvNeXtHover))
def test_wrapped_network(kind):
    """A live model in the inference path: no second set of weights, evaluation mode, and the maps of the model
    itself.
    """
    torch.manual_seed(0)
    model = kind("test_convnext").train()
    network = Network(model, Config(diameter=26.0), torch.device("cpu"), torch.float32)
    assert network.model is model
    assert not model.training
    assert network.kind == kind.kind
    windows = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    first, second = network(windows)
    expected = model(torch.from_numpy(windows).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(second, expected[1].numpy(), rtol=1e-4, atol=1e-4)
    assert first.shape == (2, 1, 16, 16)
    assert 0 <= validate(network, [sample(FIVE)]) <= 1


def test_class_without_validation_images(monkeypatch, tmp_path):
    """The error names the manifest and the remedies."""
    monkeypatch.setattr(validation, "read_manifest", lambda *_, **__: records(a=2))
    monkeypatch.setattr(validation, "load_samples", lambda wanted: [Sample(r, None, None, 1.0, 3) for r in wanted])
    assert len(validation.validation_samples(tmp_path / "m.csv", [3], 8)) == 2
    assert len(validation.validation_samples(tmp_path / "m.csv", None, 1)) == 1
    with pytest.raises(ValueError, match=r"m\.csv: no image of split 'val' is of class 0, 1; .*--validate-images 0"):
        validation.validation_samples(tmp_path / "m.csv", [0, 1], 8)


def test_sources_that_are_not_trained_on_are_kept_for_the_end(monkeypatch, tmp_path):
    """They choose neither thresholds nor networks; where there are no others, they do."""
    splits = {"val": records(a=2, b=3), "train": records(b=1)}
    monkeypatch.setattr(validation, "read_manifest", lambda _, split, **__: splits[split])
    monkeypatch.setattr(validation, "load_samples", lambda wanted: wanted)
    assert {r.source for r in validation.validation_samples(tmp_path / "m.csv", None, 8)} == {"b"}
    splits["train"] = records(c=1)
    assert len(validation.validation_samples(tmp_path / "m.csv", None, 8)) == 5


def test_sources_that_are_left_out_never_choose(monkeypatch, tmp_path):
    splits = {"val": records(a=2, b=3), "train": records(a=1, b=1)}
    monkeypatch.setattr(validation, "read_manifest", lambda _, split, **__: splits[split])
    monkeypatch.setattr(validation, "load_samples", lambda wanted: wanted)
    assert {r.source for r in validation.validation_samples(tmp_path / "m.csv", None, 8, ["b"])} == {"a"}
    splits["train"] = records(b=1)
    assert {r.source for r in validation.validation_samples(tmp_path / "m.csv", None, 8, ["b"])} == {"a"}
    with pytest.raises(ValueError, match="m.csv: no image of split 'val' is left without the sources of --leave-out"):
        validation.validation_samples(tmp_path / "m.csv", None, 8, ["a", "b"])
