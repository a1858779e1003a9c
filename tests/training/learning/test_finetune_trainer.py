"""training.learning.finetune_trainer: weights are drawn back to their start, and the training ends where nothing gets
better.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from training.learning.finetune_trainer import FinetuneSettings, FinetuneTrainer
from training.learning.segmenter_trainer import SegmenterTrainer
from training.learning.trainer import Trainer


@pytest.fixture
def trainer(monkeypatch, tmp_path):
    """Without network and data: a step adds 1 to both weights, a validation gives the next of `figures`."""
    made = FinetuneTrainer.__new__(FinetuneTrainer)
    made.settings = FinetuneSettings(
        manifest=tmp_path, out=tmp_path, leave_out=[], source_factors=[], lr=0.01, pull=20, patience=2, steps=100
    )
    made.model, made.best, made.step = nn.Linear(1, 1), {}, 50
    monkeypatch.setattr(SegmenterTrainer, "make_optimiser", lambda self: None)
    made.make_optimiser()

    def add_one(self, batch):
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter += 1

    monkeypatch.setattr(SegmenterTrainer, "train_step", add_one)

    def validate(self, samples, on_image):
        self.best["hover"] = max(self.best.get("hover", -1), self.figures.pop(0))

    monkeypatch.setattr(Trainer, "validate", validate)
    return made


def test_a_step_is_drawn_back_by_its_rate_times_the_pull(trainer, monkeypatch):
    monkeypatch.setattr(trainer, "learning_rate", lambda: 0.01)
    start = [p.detach().clone() for p in trainer.model.parameters()]
    trainer.train_step({})
    for parameter, first in zip(trainer.model.parameters(), start):
        assert torch.allclose(parameter - first, torch.tensor(0.8))  # 1 - 0.01 * 20


def test_the_start_is_no_weight_that_moves(trainer, monkeypatch):
    monkeypatch.setattr(trainer, "learning_rate", lambda: 0.01)
    first = float(trainer.start[0])
    for _ in range(30):
        trainer.train_step({})
    assert float(trainer.start[0]) == first
    assert trainer.model.weight.item() - first == pytest.approx(0.8 / 0.2, rel=0.01)  # where step and pull are equal


def test_batch_normalisation_keeps_what_it_has_seen(trainer):
    assert trainer.settings.keep_statistics


def test_it_ends_after_patience_validations_without_a_better_network(trainer):
    trainer.figures = [0.5, 0.4, 0.6, 0.6, 0.5]
    seen = []
    for _ in range(5):
        trainer.validate([], SimpleNamespace)
        seen.append(trainer.progress())
    assert seen == [0.5, 0.5, 0.5, 0.5, 1.0]


def test_other_pulls_are_other_runs():
    assert {"pull", "patience"} - set(FinetuneSettings.DECISIVE) == {"patience"}
