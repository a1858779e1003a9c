"""training.learning.segmenter_trainer: the learning rates, the groups of the optimiser, and that a network learns what
it is shown.
"""

import dataclasses
import math
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from training.learning import trainer as trainer_module
from training.learning.distributed import Team
from training.learning.segmenter_trainer import SegmenterTrainer, learning_rate, parameter_groups, training_crops
from training.learning.settings import SegmenterSettings
from training.learning.trainer import NotFinite

ROOT = Path(__file__).parents[3]


def settings(manifest, **more):
    return SegmenterSettings(
        manifest=manifest,
        out=Path(),
        leave_out=[],
        source_factors=[],
        encoder="test_convnext",
        random_init=True,
        crop=64,
        lr=1e-3,
        **more,
    )


def test_a_batch_that_is_shown_again_and_again_is_learned(manifest):
    trainer = SegmenterTrainer(settings(manifest), Team(torch.device("cpu")))
    crops = training_crops(trainer.settings)
    batch = torch.utils.data.default_collate([crops[i] for i in range(2)])
    curve = []
    for _ in range(8):
        trainer.sums = {}
        trainer.train_step(batch)
        curve.append(float(sum(trainer.sums.values())))
    assert curve[-1] < 0.9 * curve[0]


@pytest.mark.parametrize("kept", [False, True])
def test_statistics_of_batch_normalisation_may_be_kept(manifest, kept):
    """A step leaves the running ones alone, and is made with them: what a crop gives does not depend on the others."""
    trainer = SegmenterTrainer(settings(manifest, keep_statistics=kept), Team(torch.device("cpu")))
    crops = torch.rand(2, 3, 64, 64)
    before = {name: buffer.clone() for name, buffer in trainer.model.named_buffers() if "running" in name}
    both, alone = (trainer.forward(images)["stardist"].dist.detach().float() for images in (crops, crops[:1]))
    assert torch.allclose(both[:1], alone, atol=0.05) == kept
    after = dict(trainer.model.named_buffers())
    assert before
    assert all(torch.equal(after[name], buffer) for name, buffer in before.items()) == kept


def test_a_batch_without_a_number_changes_nothing(manifest):
    """The exception has the images' numbers; weights and average are as they were."""
    trainer = SegmenterTrainer(settings(manifest), Team(torch.device("cpu")))
    crops = training_crops(trainer.settings)
    batch = torch.utils.data.default_collate([crops[i] for i in range(2)])
    batch["dist"][0, 0, 0, 0] = math.nan
    before = [p.clone() for p in (*trainer.model.parameters(), *trainer.average.parameters())]
    with pytest.raises(NotFinite) as caught:
        trainer.train_step(batch)
    assert caught.value.samples == batch["sample"].tolist()
    assert all(
        torch.equal(old, new) for old, new in zip(before, (*trainer.model.parameters(), *trainer.average.parameters()))
    )


def test_the_encoder_has_a_rate_of_its_own_and_one_dimension_no_decay(manifest):
    """Each parameter is in one group, which a step gives its share of the rate."""
    trainer = SegmenterTrainer(settings(manifest, encoder_lr=0.25, weight_decay=0.3), Team(torch.device("cpu")))
    model, encoder = trainer.model, set(trainer.model.unet.encoder.parameters())
    found = {p: group for group in parameter_groups(model, 1.0, 0.25, 0.3) for p in group["params"]}
    assert found.keys() == set(model.parameters())
    for parameter, group in found.items():
        assert group["lr"] == group["factor"] == (0.25 if parameter in encoder else 1.0)
        assert group["weight_decay"] == (0.3 if parameter.ndim > 1 else 0.0)
    trainer.learning_rate = lambda: 0.002
    trainer.train_step(torch.utils.data.default_collate([training_crops(trainer.settings)[0]]))
    rates = {p: group["lr"] for group in trainer.optimiser.param_groups for p in group["params"]}
    assert rates == {p: 0.002 * (0.25 if p in encoder else 1.0) for p in model.parameters()}


def test_sources_that_are_left_out_select_no_network(manifest):
    trainer = SegmenterTrainer(dataclasses.replace(settings(manifest), leave_out=["a"]), Team(torch.device("cpu")))
    data, val = trainer.load()
    assert {sample.record.source for sample in (*data.samples, *val)} == {"b"}


def test_a_source_that_there_is_not_cannot_be_left_out(manifest, tmp_path, monkeypatch):
    """But in a parcel, whose maker has left it out."""
    wrong = dataclasses.replace(settings(manifest), leave_out=["a", "A"])
    with pytest.raises(ValueError, match="no line is of source A, which --leave-out names; sources here: a, b$"):
        SegmenterTrainer(wrong, Team(torch.device("cpu")))
    monkeypatch.setattr(trainer_module, "COMMIT_FILE", tmp_path)
    SegmenterTrainer(wrong, Team(torch.device("cpu")))


def test_the_optimiser_is_fused(manifest):
    trainer = SegmenterTrainer(settings(manifest), Team(torch.device("cpu")))
    assert trainer.optimiser.defaults["fused"]


def test_learning_rates():
    """Values by hand at the schedules' corners; no schedule ever rises after its warm-up or ends at nothing."""
    quarters = [learning_rate(p, 1e-4, "halving") for p in (0, 0.2499, 0.25, 0.5, 0.75, 0.9999)]
    assert quarters == [1e-4, 1e-4, 5e-5, 2.5e-5, 1.25e-5, 1.25e-5]
    assert learning_rate(0, 1.0, "cosine") == 0.01
    assert learning_rate(0.01, 1.0, "cosine") == pytest.approx(0.5)
    assert learning_rate(0.02, 1.0, "cosine") == pytest.approx(1.0)
    assert learning_rate(0.51, 1.0, "cosine") == pytest.approx(0.505)
    assert learning_rate(1, 1.0, "cosine") == pytest.approx(0.01)
    falling = [learning_rate(p, 1.0, "cosine") for p in np.linspace(0.02, 1, 50)]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have no such setting")
@pytest.mark.parametrize("keeps", [False, True])
def test_freed_memory_is_kept_for_the_next_step(keeps):
    """300 MB that were taken and left, in a process of their own."""
    script = (
        "from training.learning.trainer import keep_freed_memory\n"
        "from pathlib import Path\n"
        "pages = lambda: int(Path('/proc/self/statm').read_text().split()[1])\n"
        f"assert not {keeps} or keep_freed_memory()\n"
        "before = pages()\n"
        "taken = bytearray(300 * 2**20)\n"
        "del taken\n"
        "print((pages() - before) * 4096)\n"
    )
    left = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (int(left) > 250 * 2**20) == keeps
