"""training.learning.trainer: the moving average by hand, and what a trainer sets before its first step."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from training.learning.distributed import Team
from training.learning.router_trainer import RouterTrainer
from training.learning.settings import RouterSettings
from training.learning.trainer import update_average


def test_moving_average_by_hand():
    """Decays of 2/11, then 0.2 twice: weights and float buffers move, a count is that of the network."""
    model = nn.BatchNorm1d(1)
    average = copy.deepcopy(model)
    for values in (average.weight.data, average.running_mean):
        values.zero_()
    for step, value in enumerate((1.0, 2.0, 4.0), start=1):
        for values in (model.weight.data, model.running_mean, model.num_batches_tracked):
            values.fill_(value)
        update_average(average, model, step, 0.2)
    expected = 0.2 * (0.2 * 9 / 11 + 0.8 * 2) + 0.8 * 4
    assert average.weight.item() == pytest.approx(expected)
    assert average.running_mean.item() == pytest.approx(expected)
    assert average.num_batches_tracked.item() == 4


def test_convolutions_are_tried_out_for_crops_alone(monkeypatch, router_manifest):
    """The switch is there without a GPU too."""
    settings = RouterSettings(manifest=router_manifest, out=Path(), leave_out=[], random_init=True)
    trainer = RouterTrainer(settings, Team(torch.device("cpu")))
    seen = []

    def loss_terms(batch):
        seen.append(torch.backends.cudnn.benchmark)
        raise RuntimeError("out of memory")

    monkeypatch.setattr(trainer, "loss_terms", loss_terms)
    monkeypatch.setattr(trainer, "learning_rate", lambda: 0.1)
    batch = {"image": torch.zeros(2, 3, 8, 8, dtype=torch.uint8), "sample": torch.zeros(2, dtype=torch.int64)}
    with pytest.raises(RuntimeError, match="out of memory"):
        trainer.train_step(batch)
    assert seen == [True]
    assert not torch.backends.cudnn.benchmark
