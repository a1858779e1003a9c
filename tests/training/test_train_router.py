"""training.train_router on a handful of images: repeatable, resumable after a kill, selecting by class and size."""

import csv
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from models.checkpoint import load_checkpoint, read_config, save_checkpoint
from models.config import Config
from models.router import Router
from models.stardist import ConvNeXtStarDist
from training.learning import router_trainer
from training.learning.distributed import Team
from training.learning.resume import save_run
from training.learning.router_trainer import RouterScore, RouterTrainer
from training.learning.settings import RouterSettings
from training.learning.trainer import Trainer
from training.train_router import main, parse_arguments

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def manifest(router_manifest):
    return router_manifest


def arguments(manifest, out, *more):
    return [
        "--manifest",
        str(manifest),
        "--out",
        str(out),
        "--random-init",
        "--batch",
        "2",
        "--epochs",
        "2",
        "--device",
        "cpu",
        "--workers",
        "0",
        *map(str, more),
    ]


def state(out):
    """Tensors of the resume file, and the table of validations without the columns that tell the time."""
    with open(out / "validation.csv", newline="") as file:
        log = [{k: v for k, v in row.items() if k not in ("seconds", "took")} for row in csv.DictReader(file)]
    return load_file(out / "resume.safetensors"), log


def assert_equal(one, other):
    (tensors, log), (others, other_log) = state(one), state(other)
    assert log == other_log
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_what_a_run_leaves(manifest, tmp_path, capsys):
    assert main(arguments(manifest, tmp_path)) == 0
    _, log = state(tmp_path)
    assert [(row["step"], row["network"]) for row in log] == [("3", "router"), ("6", "router")]
    config = read_config(tmp_path / "router.safetensors")[1]
    best = max(log, key=lambda row: float(row["score"]))
    assert {
        name: config.validation[name] for name in ("score", "accuracy", "diameter_factor", "mean_diameter_factor")
    } == {name: float(best[name]) for name in ("score", "accuracy", "diameter_factor", "mean_diameter_factor")}
    assert config.validation["images"] == 4
    assert config.validation["step"] == int(best["step"])
    assert config.training["steps_done"] in (3, 6)
    assert config.training["manifest"] == "manifest.csv"
    with open(tmp_path / "confusion.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert sum(int(n) for row in rows[1:] for n in row[1:5]) == 4
    printed = capsys.readouterr().out.splitlines()
    assert [line[:16].strip() for line in printed] == [row[0] for row in rows]


class ScriptedMeasurements:
    """Stands for `measure`: gives (accuracy of four images, size error) in turn, and keeps a weight of each router it
    is shown.
    """

    def __init__(self, *figures):
        self.figures, self.seen = list(figures), []

    def __call__(self, model, samples, on_image):
        self.seen.append(model.network.fc.bias.detach().clone())
        right, error = self.figures.pop(0)
        confusion = np.zeros((4, 4), int)
        confusion[0, 0], confusion[0, 1] = right, 4 - right
        return RouterScore(confusion, np.full(4, error))


def test_size_counts_in_the_selection(manifest, tmp_path, monkeypatch):
    """The second one has equal accuracy and a better size; the third one more accuracy, but a size off by a factor of
    3.
    """
    scripted = ScriptedMeasurements((3, 0.4), (3, 0.1), (4, math.log(3)))
    monkeypatch.setattr(router_trainer, "measure", scripted)
    assert main(arguments(manifest, tmp_path, "--epochs", 3)) == 0
    model, config = load_checkpoint(tmp_path / "router.safetensors")
    assert config.validation["step"] == 6
    assert config.validation["score"] == pytest.approx(0.75 - 0.05)
    assert torch.equal(model.network.fc.bias, scripted.seen[1])


def test_a_start_that_is_never_beaten_comes_out_again(manifest, tmp_path, monkeypatch):
    """Measured before the first step; --validate-every 2 leaves out the epochs between."""
    start = tmp_path / "start.safetensors"
    save_checkpoint(start, Router(), Config(training={"steps_done": 5, "batch": 8}))
    monkeypatch.setattr(router_trainer, "measure", ScriptedMeasurements((4, 0.1), (3, 0.1), (3, 0.0)))
    assert main(arguments(manifest, tmp_path, "--init", start, "--epochs", 4, "--validate-every", 2)) == 0
    assert [row["step"] for row in state(tmp_path)[1]] == ["0", "6", "12"]
    one, other = (load_checkpoint(path)[0].state_dict() for path in (start, tmp_path / "router.safetensors"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert load_checkpoint(tmp_path / "router.safetensors")[1].crops == 40


def test_the_class_layer_alone(manifest, tmp_path):
    """Other classes, the very sizes; what is known of the networks' scores stays."""
    table = ((0.9,) * 4,) * 4
    save_checkpoint(tmp_path / "start.safetensors", Router(), Config(expected_f1=table))
    more = ("--init", tmp_path / "start.safetensors", "--class-layer", "--lr", 0.1, "--epochs", 3, "--ema", 0)
    assert main(arguments(manifest, tmp_path / "run", *more)) == 0
    start = load_checkpoint(tmp_path / "start.safetensors")[0].state_dict()
    resume = load_file(tmp_path / "run/resume.safetensors").items()
    end = {name.removeprefix("model/"): value for name, value in resume if name.startswith("model/")}
    changed = {"network.fc.weight", "network.fc.bias"}
    assert {name for name, value in end.items() if not torch.equal(start[name], value)} == changed
    for name in changed:
        assert torch.equal(start[name][-1], end[name][-1])
        assert not torch.equal(start[name][:-1], end[name][:-1])
    assert read_config(tmp_path / "run/router.safetensors")[1].expected_f1 == [list(row) for row in table]


def test_the_class_layer_needs_a_start(manifest, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(arguments(manifest, tmp_path, "--class-layer"))
    assert "--class-layer needs a router that measures cells: give --init" in capsys.readouterr().err


def test_the_sources_of_the_start_are_named(manifest, tmp_path):
    given = {"x": {"images": 9, "terms": "MIT"}}
    save_checkpoint(tmp_path / "start.safetensors", Router(), Config(sources=given))
    start = ("--init", tmp_path / "start.safetensors", "--time-budget", 1e-6)
    assert main(arguments(manifest, tmp_path / "run", *start)) == 0
    own = {"images": 3, "terms": ""}
    assert read_config(tmp_path / "run/router.safetensors")[1].sources == given | {"a": own, "b": own}


def test_a_segmenter_is_no_start(manifest, tmp_path, caplog):
    start = tmp_path / "class0.safetensors"
    save_checkpoint(start, ConvNeXtStarDist("test_convnext"), Config({"encoder": "test_convnext"}))
    assert main(arguments(manifest, tmp_path, "--init", start)) == 2
    assert "class0.safetensors: holds a segmenter" in caplog.text


def test_two_runs_are_equal_and_so_is_one_that_was_killed(manifest, tmp_path):
    """SIGKILL after the first resume file; the same command ends where the undisturbed run does.

    It may be tried twice: once in many runs another process computed other last bits on a busy machine, which three
    steps of an untrained network make large.
    """
    main(arguments(manifest, tmp_path / "whole"))
    main(arguments(manifest, tmp_path / "again"))
    assert_equal(tmp_path / "whole", tmp_path / "again")
    try:
        end_killed(manifest, tmp_path / "killed")
        assert_equal(tmp_path / "whole", tmp_path / "killed")
    except AssertionError:
        end_killed(manifest, tmp_path / "once more")
        assert_equal(tmp_path / "whole", tmp_path / "once more")


def end_killed(manifest, out):
    """A run in another process that is killed, and ended in this one."""
    command = arguments(manifest, out, "--save-every", 0)
    process = subprocess.Popen(
        [sys.executable, "-m", "training.train_router", *command],
        cwd=REPOSITORY,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    while not (out / "resume.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main(command) == 0


def test_other_arguments_do_not_resume(manifest, tmp_path, caplog):
    main(arguments(manifest, tmp_path, "--epochs", 1))
    assert main(arguments(manifest, tmp_path, "--epochs", 1, "--seed", 5)) == 2
    assert "resume.safetensors: from a run with seed 0" in caplog.text


def test_damaged_resume_file(manifest, tmp_path, caplog):
    (tmp_path / "resume.safetensors").write_bytes(b"cut off")
    assert main(arguments(manifest, tmp_path)) == 2
    assert "resume.safetensors: not a resume file" in caplog.text
    assert "remove it" in caplog.text


def test_resume_file_of_another_version(manifest, tmp_path, caplog):
    """One that holds no moving average."""
    trainer = RouterTrainer(
        RouterSettings.of(parse_arguments(arguments(manifest, tmp_path))), Team(torch.device("cpu"))
    )
    save_run(tmp_path, {"model": trainer.model}, trainer.optimiser, trainer.decisive(), {"step": 1})
    assert main(arguments(manifest, tmp_path)) == 2
    assert "resume.safetensors: of another version of this program" in caplog.text


def test_adamw_is_resumed_too(manifest, tmp_path):
    """Two epochs at once, and one that was stopped after the first, with the moments of both."""
    more = ("--optimiser", "adamw", "--lr", 1e-3)
    assert main(arguments(manifest, tmp_path / "whole", *more)) == 0
    step = Trainer.train_step

    def interrupted(self, batch):
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        step(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "train_step", interrupted)
        assert main(arguments(manifest, tmp_path / "halves", *more)) == 143
    assert main(arguments(manifest, tmp_path / "halves", *more)) == 0
    assert_equal(tmp_path / "whole", tmp_path / "halves")


def test_time_budget_ends_the_run_with_a_measured_router(manifest, tmp_path):
    assert main(arguments(manifest, tmp_path, "--time-budget", 1e-6)) == 0
    assert [row["step"] for row in state(tmp_path)[1]] == ["0"], "nothing is left for a step beside the validation"
    assert (tmp_path / "router.safetensors").exists()


def test_missing_validation_images_are_named(manifest, tmp_path, caplog):
    lines = [line for line in manifest.read_text().splitlines() if ",val," not in line]
    other = manifest.with_name("train-only.csv")
    other.write_text("\n".join(lines))
    assert main(arguments(other, tmp_path)) == 2
    assert "train-only.csv: no line has split 'val'" in caplog.text


@pytest.mark.parametrize("option", ["--validate-every=0", "--batch=0", "--epochs=-1"])
def test_numbers_that_cannot_be(manifest, tmp_path, capsys, option):
    with pytest.raises(SystemExit):
        main(arguments(manifest, tmp_path, option))
    assert "expected a whole number of at least" in capsys.readouterr().err


def test_a_time_budget_must_be_positive(manifest, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments(manifest, tmp_path, "--time-budget", -1))
    assert stopped.value.code == 2
    assert "must be more than 0 minutes" in capsys.readouterr().err


def test_the_resume_file_is_written_once_at_the_end(manifest, tmp_path, monkeypatch):
    steps, save = [], Trainer.save
    monkeypatch.setattr(Trainer, "save", lambda self: (steps.append(self.step), save(self)))
    assert main(arguments(manifest, tmp_path, "--epochs", 1, "--save-every", 0)) == 0
    assert steps == [1, 2, 3]


def test_a_loss_that_is_no_number_names_the_images(manifest, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(router_trainer, "router_loss", lambda out, *_: {"class": out.classes.sum() * math.nan})
    assert main(arguments(manifest, tmp_path)) == 2
    named = set(re.findall(r"(\d)\.png", caplog.text))
    assert "step 1: loss terms" in caplog.text
    assert 1 <= len(named) <= 2
    assert named <= set("456789")


def test_images_without_cells(manifest, tmp_path):
    """They have neither class nor size; the run ends with a router whose weights are numbers."""
    lines = manifest.read_text().splitlines()
    for number in range(4, 10):
        empty = manifest.with_name(f"{number}_empty.png")
        assert cv2.imwrite(str(empty), np.zeros((64, 64), np.uint8))
        lines.append(f"{number}.png,{empty.name},train,c")
    other = manifest.with_name("with-empty.csv")
    other.write_text("\n".join(lines))
    assert main(arguments(other, tmp_path, "--epochs", 1)) == 0
    assert all(
        value.isfinite().all() for value in load_checkpoint(tmp_path / "router.safetensors")[0].state_dict().values()
    )
