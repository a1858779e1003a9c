"""training.learning.resume: the format of the resume file, which later versions of the program must read."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from models.checkpoint import CheckpointError
from training.images.manifest import digest_of, read_manifest
from training.learning import resume
from training.learning.distributed import Team
from training.learning.resume import UNSAID, load_run, save_run
from training.learning.segmenter_trainer import SegmenterTrainer
from training.learning.settings import SegmenterSettings


def trainer(out, **more):
    if not (out / "m.csv").exists():
        list_images(out, "a")
    settings = SegmenterSettings(
        manifest=out / "m.csv",
        out=out,
        leave_out=[],
        source_factors=[("a", 0.5)],
        encoder="test_convnext",
        random_init=True,
        crop=64,
        **more,
    )
    return SegmenterTrainer(settings, Team(torch.device("cpu")))


def list_images(out, *names):
    """A manifest of images that nobody looks at."""
    for name in names:
        (out / name).touch()
    (out / "m.csv").write_text("image,label,split,source\n" + "".join(f"{n},{n},train,a\n" for n in names))


def test_names_in_the_file_of_a_segmenter(tmp_path):
    """Written out: a run that was begun with an earlier version goes on with this one."""
    trainer(tmp_path).save()
    with safe_open(tmp_path / "resume.safetensors", "pt") as file:
        state, tensors = json.loads(file.metadata()["state"]), file.keys()
    assert state == {
        "arguments": {
            "stream": "both",
            "encoder": "test_convnext",
            "seed": 0,
            "batch": 16,
            "crop": 64,
            "diameter": 28.0,
            "zoom": [0.5, 2.0],
            "classes": None,
            "leave_out": [],
            "plain_mae": False,
            "hv_weight": 1.0,
            "balance": 0.5,
            "source_factors": [["a", 0.5]],
            "ema": 0.999,
            "weight_decay": 0.05,
            "encoder_lr": 1.0,
            "keep_statistics": False,
            "init": None,
            "init_head": None,
            "encoder_weights": None,
            "random_init": True,
            "lr": 1e-4,
            "schedule": "halving",
            "training_images": digest_of(read_manifest(tmp_path / "m.csv"), tmp_path),
        },
        "step": 0,
        "seconds": 0.0,
        "waiting": 0.0,
        "validated": [-1, 0.0],
        "reserved": 0.0,
        "sums": {},
    }
    assert {name.split("/")[0] for name in tensors} == {"model", "average"}
    assert "model/heads.hover.cp.weight" in tensors


def test_a_run_goes_on_where_it_was(tmp_path):
    first = trainer(tmp_path)
    first.step, first.seconds, first.validated, first.validation_seconds, first.sums = (
        7,
        3.5,
        (5, 2.0),
        1.5,
        {"ce": 0.25},
    )
    first.save()
    second = trainer(tmp_path)
    assert second.resume()
    assert (second.step, second.seconds, second.validated, second.reserved, second.sums) == (
        7,
        3.5,
        (5, 2.0),
        1.5,
        {"ce": 0.25},
    )
    with pytest.raises(CheckpointError, match="from a run with batch 16; repeat its command"):
        trainer(tmp_path, batch=8).resume()


@pytest.mark.parametrize(
    "more, said",
    [
        ({"lr": 1e-3}, "lr 0.0001"),
        ({"schedule": "cosine"}, "schedule halving"),
        ({"encoder_weights": Path("w")}, "encoder_weights None"),
    ],
)
def test_another_start_or_rate_is_another_run(tmp_path, monkeypatch, more, said):
    monkeypatch.setattr("training.learning.segmenter_trainer.load_encoder", lambda *_: None)
    trainer(tmp_path).save()
    with pytest.raises(CheckpointError, match=f"from a run with {said}; repeat"):
        trainer(tmp_path, **more).resume()


def test_other_images_are_another_run_and_another_length_is_not(tmp_path):
    trainer(tmp_path, steps=10).save()
    assert trainer(tmp_path, steps=20, time_budget=3.0).resume()
    list_images(tmp_path, "a", "b")
    with pytest.raises(CheckpointError, match="from a run with other training images; repeat its command"):
        trainer(tmp_path).resume()


def test_a_run_that_was_begun_before_these_were_kept_goes_on(tmp_path):
    first = trainer(tmp_path)
    old = {name: value for name, value in first.decisive().items() if name not in UNSAID}
    assert len(old) == len(first.decisive()) - 7
    state = {"step": 3, "seconds": 1.0, "waiting": 0.0, "validated": [-1, 0.0], "reserved": 0.0, "sums": {}}
    save_run(tmp_path, first._modules(), first.optimiser, old, state)
    assert trainer(tmp_path, lr=1e-3).resume()


def test_optimiser_and_modules(tmp_path):
    """Momentum comes back bit by bit; another module's shape is refused with a remedy."""
    layers = [nn.Linear(3, 2), nn.Linear(3, 2)]
    optimisers = [torch.optim.AdamW(layer.parameters()) for layer in layers]
    layers[0](torch.ones(1, 3)).sum().backward()
    optimisers[0].step()
    save_run(tmp_path, {"model": layers[0]}, optimisers[0], {"seed": 1}, {"step": 1})
    assert load_run(tmp_path, {"model": layers[1]}, optimisers[1], {"seed": 1}) == {"step": 1}
    for one, other in zip(layers[0].parameters(), layers[1].parameters()):
        assert torch.equal(one, other)
        assert all(
            torch.equal(value, optimisers[1].state[other][name]) for name, value in optimisers[0].state[one].items()
        )
    with pytest.raises(CheckpointError, match="of another version of this program"):
        load_run(tmp_path, {"model": nn.Linear(4, 2)}, optimisers[1], {"seed": 1})


def test_an_option_that_came_after_the_file_was_off(tmp_path):
    layer = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(layer.parameters())
    save_run(tmp_path, {"model": layer}, optimiser, {"seed": 1}, {"step": 1})
    assert load_run(tmp_path, {"model": layer}, optimiser, {"seed": 1, "later": False}) == {"step": 1}
    with pytest.raises(CheckpointError, match="from a run with later False"):
        load_run(tmp_path, {"model": layer}, optimiser, {"seed": 1, "later": True})


def test_no_file_no_state(tmp_path):
    assert load_run(tmp_path, {}, None, {}) is None


def test_a_save_that_is_broken_off_leaves_the_old_file_alone(tmp_path, monkeypatch):
    layer = nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(layer.parameters())
    save_run(tmp_path, {"model": layer}, optimiser, {"seed": 1}, {"step": 1})

    def broken_off(tensors, path, metadata):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(resume, "save_file", broken_off)
    with pytest.raises(KeyboardInterrupt):
        save_run(tmp_path, {"model": layer}, optimiser, {"seed": 1}, {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["resume.safetensors"]
    assert load_run(tmp_path, {"model": layer}, optimiser, {"seed": 1}) == {"step": 1}
