"""training.learning.router_trainer: learning rates, losses and selection by hand."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from inference.routing import Route
from models.router import Router
from training.images.datasets import Sample, load_samples
from training.images.manifest import Record, read_manifest
from training.images.router_views import NO_CLASS
from training.learning import router_trainer
from training.learning.distributed import Team
from training.learning.losses import router_loss
from training.learning.router_trainer import (
    RouterScore,
    RouterTrainer,
    confusion_rows,
    learning_rate,
    measure,
)
from training.learning.settings import RouterSettings


def test_measurement_by_hand():
    """One of two images right; errors of ln 1, ln 2 and ln 100, the last of which counts ln 4 in the score."""
    confusion = np.diag([1, 0, 0, 0]) + np.roll(np.diag([0, 1, 0, 0]), 1, axis=1)
    measurement = RouterScore(confusion, np.log([1, 2, 100]))
    assert measurement.accuracy == 0.5
    assert measurement.score == pytest.approx(0.5 - 0.5 * (math.log(2) + math.log(4)) / 3)
    figures = measurement.figures()
    assert figures["diameter_factor"] == pytest.approx(2)
    assert figures["mean_diameter_factor"] == pytest.approx(200 ** (1 / 3), rel=1e-3)


def test_measure_takes_the_path_of_inference(router_manifest, monkeypatch):
    """Class and diameter are those of inference.routing, which is told what the image cannot be; without cells there is
    no size error.
    """

    class Known(router_trainer.RouterNetwork):
        def __call__(self, image, excluded):
            return Route((0.0, 0.0, 0.0, 1.0) if 1 in excluded else (1.0, 0.0, 0.0, 0.0), 10.0)

    monkeypatch.setattr(router_trainer, "RouterNetwork", Known)
    samples = load_samples(read_manifest(router_manifest, "val"))
    samples.append(
        Sample(
            Record(Path("e"), Path("e"), "val", "c"),
            np.zeros((64, 64), np.uint8),
            np.zeros((64, 64), np.uint8),
            math.nan,
            0,
        )
    )
    found = measure(Router(), samples)
    assert np.diag(found.confusion).tolist() == [3, 0, 0, 2]
    assert found.confusion.sum() == 5
    assert sorted(found.errors) == pytest.approx(sorted(abs(math.log(10 / s.diameter)) for s in samples[:4]))


def test_learning_rate_of_the_paper():
    rates = [learning_rate(epoch, 20, 1e-3, "steps") for epoch in (0, 6.99, 7, 13.9, 14, 19.9)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_cosine_learning_rate_warms_up_and_ends_at_zero():
    assert learning_rate(0, 10, 1.0, "cosine") == pytest.approx(0.05)
    assert learning_rate(10, 10, 1.0, "cosine") == pytest.approx(0)


def losses(logits, log_diameters, classes, true_log_diameters):
    out = SimpleNamespace(classes=torch.tensor(logits), log_diameter=torch.tensor(log_diameters))
    return [float(term) for term in router_loss(out, torch.tensor(classes), torch.tensor(true_log_diameters)).values()]


def test_loss_by_hand():
    """ln 4 for equal logits, smoothed or not; an error of 1 costs 1 - 0.1, and only where the size is known."""
    equal = [[0.0] * 4] * 2
    assert losses(equal, [3.0, 9.0], [0, 3], [2.0, math.nan]) == pytest.approx([np.log(4), 0.9])
    assert losses(equal, [3.0, 9.0], [0, 3], [math.nan] * 2) == pytest.approx([np.log(4), 0])
    near = losses(equal, [3.0, 9.0], [NO_CLASS] * 2, [3.0, 9.1])  # below the knee: square / (2 * 0.2)
    assert near == pytest.approx([0, 0.1**2 / 0.4 / 2], rel=1e-4)


def test_labels_are_smoothed():
    """0.05 of the truth is spread over the four classes, so that a sure answer costs more than a nearly sure one."""
    rest = math.log(1 + 3 * math.exp(-2))  # of a logit of 2 among three of 0
    label, _ = losses([[2.0, 0.0, 0.0, 0.0]], [0.0], [0], [0.0])
    assert label == pytest.approx((0.95 + 0.05 / 4) * rest + 3 * 0.05 / 4 * (2 + rest), rel=1e-5)
    assert losses([[9.0, 0, 0, 0]], [0.0], [0], [0.0])[0] > losses([[4.0, 0, 0, 0]], [0.0], [0], [0.0])[0]


def test_adamw_is_fused(router_manifest):
    settings = RouterSettings(manifest=router_manifest, out=Path(), leave_out=[], random_init=True, optimiser="adamw")
    assert RouterTrainer(settings, Team(torch.device("cpu"))).optimiser.defaults["fused"]


def test_unseen_sources_select_no_router(router_manifest):
    """Neither one without training images nor one that is left out."""
    other = router_manifest.with_name("strangers.csv")
    other.write_text(router_manifest.read_text() + "\n0.png,0_label.png,val,c\n")
    settings = RouterSettings(manifest=other, out=Path(), leave_out=["a"], random_init=True)
    _, val = RouterTrainer(settings, Team(torch.device("cpu"))).load()
    assert {sample.record.source for sample in val} == {"b"}


def test_confusion_rows():
    rows = confusion_rows(np.array([[3, 1, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [1, 0, 0, 0]]))
    assert rows[1] == ["binary", 3, 1, 0, 0, "0.7500"]
    assert [row[-1] for row in rows[1:]] == ["0.7500", "0.0000", "1.0000", "0.0000"]
