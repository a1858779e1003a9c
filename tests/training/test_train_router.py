"""training.train_router on a handful of images: repeatable, resumable after a kill, selecting, and its tables."""

import csv
import os
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

from models.checkpoint import read_config
from training.train_router import RouterRun, confusion_rows, learning_rate, main, parse_arguments, router_loss

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Dark fluorescence with large cells and purple tissue with small ones: six images for training, four to validate."""
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    lines = ["image,label,split,source"]
    for number in range(10):
        labels = np.zeros((64, 64), np.uint8)
        radius, spacing = ((12, 32), (4, 16))[number % 2]
        for i, (y, x) in enumerate(np.ndindex(64 // spacing, 64 // spacing), start=1):
            cv2.circle(labels, (x * spacing + spacing // 2, y * spacing + spacing // 2), radius, i, -1)
        image = np.where(labels > 0, 180, 30) + rng.integers(0, 40, labels.shape)
        if number % 2:
            image = np.dstack([image, image // 4, image])
        assert cv2.imwrite(str(folder / f"{number}.png"), image.astype(np.uint8))
        assert cv2.imwrite(str(folder / f"{number}_label.png"), labels)
        lines.append(f"{number}.png,{number}_label.png,{'val' if number < 4 else 'train'},{'ab'[number % 2]}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder / "manifest.csv"


def arguments(manifest, out, *more):
    return ["--manifest", str(manifest), "--out", str(out), "--random-init", "--batch", "2", "--epochs", "2", "--device", "cpu",
            "--workers", "0", *map(str, more)]


def state(out):
    """Tensors of the resume file, and the log without the column that tells the time."""
    with open(out / "log.csv", newline="") as file:
        log = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]
    return load_file(out / "resume.safetensors"), log


def assert_equal(one, other):
    (tensors, log), (others, other_log) = state(one), state(other)
    assert log == other_log and tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_what_a_run_leaves(manifest, tmp_path, capsys):
    assert main(arguments(manifest, tmp_path)) == 0
    _, log = state(tmp_path)
    assert [(row["step"], row["epoch"]) for row in log] == [("3", "1.0"), ("6", "2.0")]
    config = read_config(tmp_path / "router.safetensors")[1]
    best = max(log, key=lambda row: float(row["accuracy"]))
    assert config["validation"]["accuracy"] == pytest.approx(float(best["accuracy"])) and config["validation"]["images"] == 4
    assert config["training"]["steps_done"] in (3, 6) and config["training"]["manifest"] == "manifest.csv"
    with open(tmp_path / "confusion.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert sum(int(n) for row in rows[1:] for n in row[1:5]) == 4
    printed = capsys.readouterr().out.splitlines()
    assert [line[:16].strip() for line in printed] == [row[0] for row in rows]


def test_two_runs_are_equal_and_so_is_one_that_was_killed(manifest, tmp_path):
    """SIGKILL after the first resume file; the same command ends where the undisturbed run does."""
    main(arguments(manifest, tmp_path / "whole"))
    main(arguments(manifest, tmp_path / "again"))
    assert_equal(tmp_path / "whole", tmp_path / "again")
    command = arguments(manifest, tmp_path / "killed", "--save-every", 0)
    process = subprocess.Popen([sys.executable, "-m", "training.train_router", *command], cwd=REPOSITORY,
                               stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())})
    while not (tmp_path / "killed" / "resume.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert main(command) == 0
    assert_equal(tmp_path / "whole", tmp_path / "killed")


def test_other_arguments_do_not_resume(manifest, tmp_path, caplog):
    main(arguments(manifest, tmp_path, "--epochs", 1))
    assert main(arguments(manifest, tmp_path, "--epochs", 1, "--seed", 5)) == 1
    assert "resume.safetensors: from a run with seed 0" in caplog.text


def test_time_budget_ends_the_run_with_a_measured_router(manifest, tmp_path):
    assert main(arguments(manifest, tmp_path, "--time-budget", 1e-6)) == 0
    assert [row["step"] for row in state(tmp_path)[1]] == ["1"]
    assert (tmp_path / "router.safetensors").exists()


def test_fewer_images_than_a_batch(manifest, tmp_path):
    run = RouterRun(parse_arguments(arguments(manifest, tmp_path, "--batch", 64)), images=6)
    assert run.steps_an_epoch == 1


def test_missing_validation_images_are_named(manifest, tmp_path, caplog):
    lines = [line for line in manifest.read_text().splitlines() if ",val," not in line]
    other = manifest.with_name("train-only.csv")
    other.write_text("\n".join(lines))
    assert main(arguments(other, tmp_path)) == 1
    assert "train-only.csv: no line has split 'val'" in caplog.text


def test_learning_rate_of_the_paper():
    rates = [learning_rate(epoch, 20, 1e-3, "steps") for epoch in (0, 6.99, 7, 13.9, 14, 19.9)]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])


def test_cosine_learning_rate_warms_up_and_ends_at_zero():
    assert learning_rate(0, 10, 1.0, "cosine") == pytest.approx(0.05)
    assert learning_rate(10, 10, 1.0, "cosine") == pytest.approx(0)


def test_loss_by_hand():
    """ln 4 for equal logits; the size counts half, and only where it is known."""
    out = type("Out", (), {"classes": torch.zeros(2, 4), "log_diameter": torch.tensor([3.0, 9.0])})
    known = router_loss(out, torch.tensor([0, 3]), torch.tensor([2.0, float("nan")]))
    assert float(known) == pytest.approx(np.log(4) + 0.5 * 0.5)
    assert float(router_loss(out, torch.tensor([0, 3]), torch.full((2,), float("nan")))) == pytest.approx(np.log(4))


def test_confusion_rows():
    rows = confusion_rows(np.array([[3, 1, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [1, 0, 0, 0]]))
    assert rows[1] == ["binary", 3, 1, 0, 0, "0.7500"]
    assert [row[-1] for row in rows[1:]] == ["0.7500", "0.0000", "1.0000", "0.0000"]
