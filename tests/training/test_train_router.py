"""training.train_router on a handful of images: repeatable, resumable after a kill, selecting by class and size; its views."""

import csv
import dataclasses
import math
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

from inference.routing import Route
from models.checkpoint import load_checkpoint, read_config, save_checkpoint
from models.config import Config
from models.router import Router
from training import router_views, train_router
from training.datasets import Record, Sample, load_samples, read_manifest
from training.resume import decisive, save_run
from training.router_views import NO_CLASS, ViewDataset, class_balanced_weights
from training.train_router import Measurement, RouterRun, confusion_rows, learning_rate, main, measure, parse_arguments, router_loss

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
    best = max(log, key=lambda row: float(row["score"]))
    assert {name: config.validation[name] for name in ("score", "accuracy", "diameter_factor", "mean_diameter_factor")} == {
        name: float(best[name]) for name in ("score", "accuracy", "diameter_factor", "mean_diameter_factor")}
    assert config.validation["images"] == 4 and config.validation["step"] == int(best["step"])
    assert config.training["steps_done"] in (3, 6) and config.training["manifest"] == "manifest.csv"
    with open(tmp_path / "confusion.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert sum(int(n) for row in rows[1:] for n in row[1:5]) == 4
    printed = capsys.readouterr().out.splitlines()
    assert [line[:16].strip() for line in printed] == [row[0] for row in rows]


class ScriptedMeasurements:
    """Stands for `measure`: gives (accuracy of four images, size error) in turn, and keeps a weight of each router it is shown."""

    def __init__(self, *figures):
        self.figures, self.seen = list(figures), []

    def __call__(self, model, samples):
        self.seen.append(model.network.fc.bias.detach().clone())
        right, error = self.figures.pop(0)
        confusion = np.zeros((4, 4), int)
        confusion[0, 0], confusion[0, 1] = right, 4 - right
        return Measurement(confusion, np.full(4, error))


def test_size_counts_in_the_selection(manifest, tmp_path, monkeypatch):
    """The second one has equal accuracy and a better size; the third one more accuracy, but a size off by a factor of 3."""
    scripted = ScriptedMeasurements((3, 0.4), (3, 0.1), (4, math.log(3)))
    monkeypatch.setattr(train_router, "measure", scripted)
    assert main(arguments(manifest, tmp_path, "--epochs", 3)) == 0
    model, config = load_checkpoint(tmp_path / "router.safetensors")
    assert config.validation["step"] == 6 and config.validation["score"] == pytest.approx(0.75 - 0.05)
    assert torch.equal(model.network.fc.bias, scripted.seen[1])


def test_a_start_that_is_never_beaten_comes_out_again(manifest, tmp_path, monkeypatch):
    """Measured before the first step; --validate-every 2 leaves out the epochs between."""
    start = tmp_path / "start.safetensors"
    save_checkpoint(start, Router(), Config())
    monkeypatch.setattr(train_router, "measure", ScriptedMeasurements((4, 0.1), (3, 0.1), (3, 0.0)))
    assert main(arguments(manifest, tmp_path, "--init", start, "--epochs", 4, "--validate-every", 2)) == 0
    assert [row["step"] for row in state(tmp_path)[1]] == ["0", "6", "12"]
    one, other = (load_checkpoint(path)[0].state_dict() for path in (start, tmp_path / "router.safetensors"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_measurement_by_hand():
    """One of two images right; errors of ln 1, ln 2 and ln 100, the last of which counts ln 4 in the score."""
    confusion = np.diag([1, 0, 0, 0]) + np.roll(np.diag([0, 1, 0, 0]), 1, axis=1)
    measurement = Measurement(confusion, np.log([1, 2, 100]))
    assert measurement.accuracy == 0.5
    assert measurement.score == pytest.approx(0.5 - 0.5 * (math.log(2) + math.log(4)) / 3)
    figures = measurement.figures()
    assert figures["diameter_factor"] == pytest.approx(2) and figures["mean_diameter_factor"] == pytest.approx(200 ** (1 / 3), rel=1e-3)


def test_measure_takes_the_path_of_inference(manifest, monkeypatch):
    """Class and diameter are those of inference.routing, which is told what the image cannot be; without cells there is no size error."""
    class Known(train_router.RouterNetwork):
        def __call__(self, image, excluded):
            return Route((0.0, 0.0, 0.0, 1.0) if 1 in excluded else (1.0, 0.0, 0.0, 0.0), 10.0)

    monkeypatch.setattr(train_router, "RouterNetwork", Known)
    samples = load_samples(read_manifest(manifest, "val"))
    samples.append(Sample(Record(Path("e"), Path("e"), "val", "c"), np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8),
                          math.nan, 0))
    found = measure(Router(), samples)
    assert np.diag(found.confusion).tolist() == [3, 0, 0, 2] and found.confusion.sum() == 5
    assert sorted(found.errors) == pytest.approx(sorted(abs(math.log(10 / s.diameter)) for s in samples[:4]))


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


def test_damaged_resume_file(manifest, tmp_path, caplog):
    (tmp_path / "resume.safetensors").write_bytes(b"cut off")
    assert main(arguments(manifest, tmp_path)) == 1
    assert "resume.safetensors: not a resume file" in caplog.text and "remove it" in caplog.text


def test_resume_file_of_another_version(manifest, tmp_path, caplog):
    """One that holds no moving average."""
    args = parse_arguments(arguments(manifest, tmp_path))
    run = RouterRun(args, images=6)
    save_run(tmp_path, {"model": run.model}, run.optimiser, decisive(args, train_router.DECISIVE), {"step": 1})
    assert main(arguments(manifest, tmp_path)) == 1
    assert "resume.safetensors: of another version of this program" in caplog.text


def test_adamw_is_resumed_too(manifest, tmp_path):
    """Two epochs at once, and one that was stopped after the first, with the moments of both."""
    more = ("--optimiser", "adamw", "--lr", 1e-3)
    assert main(arguments(manifest, tmp_path / "whole", *more)) == 0
    stopped = RouterRun.train_step

    def interrupted(self, *batch):
        if self.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        stopped(self, *batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RouterRun, "train_step", interrupted)
        assert main(arguments(manifest, tmp_path / "halves", *more)) == 143
    assert main(arguments(manifest, tmp_path / "halves", *more)) == 0
    assert_equal(tmp_path / "whole", tmp_path / "halves")


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
    """ln 4 for equal logits, smoothed or not; an error of 1 costs 1 - 0.1, and only where the size is known."""
    out = type("Out", (), {"classes": torch.zeros(2, 4), "log_diameter": torch.tensor([3.0, 9.0])})
    known = router_loss(out, torch.tensor([0, 3]), torch.tensor([2.0, float("nan")]))
    assert known.tolist() == pytest.approx([np.log(4), 0.9])
    assert router_loss(out, torch.tensor([0, 3]), torch.full((2,), float("nan"))).tolist() == pytest.approx([np.log(4), 0])
    near = router_loss(out, torch.tensor([NO_CLASS, NO_CLASS]), torch.tensor([3.0, 9.1]))  # below the knee: square / (2 * 0.2)
    assert near.tolist() == pytest.approx([0, 0.1**2 / 0.4 / 2], rel=1e-4)


def disks(side, radius, cue_class, channels=3):
    """A Sample of a source of its own with four disks of equal size, brighter than the background."""
    labels = np.zeros((side, side), np.uint16)
    for i, centre in enumerate(np.ndindex(2, 2), start=1):
        cv2.circle(labels, tuple(int((c + 0.5) * side / 2) for c in centre), radius, i, -1)
    pixels = np.where(labels > 0, 200, 50).astype(np.uint8)
    pixels = pixels if channels == 1 else np.dstack([pixels, pixels // 4, pixels])
    return Sample(Record(Path("x"), Path("y"), "train", f"class{cue_class}"), pixels, labels, float(2 * radius), cue_class)


def test_views_know_their_size():
    """In a view without intensity changes the bright area of four disks is that of the diameter that comes with it."""
    views = ViewDataset([disks(256, 20, 0, channels=1)], seed=3)
    checked = 0
    for number in range(60):
        view, label, log_diameter = views[number]
        bright = float((view[0] > view[0].mean()).float().mean()) * 224**2
        cells = bright / (math.pi / 4 * math.exp(log_diameter) ** 2)
        assert view.shape == (3, 224, 224) and label in (0, NO_CLASS)
        checked += label == 0 and 3 < cells < 5  # noise, gain and the like blur the threshold in some views
    assert checked >= 15


def test_close_ups_have_no_class_and_all_sizes():
    """Cells of 40 pixels fill views at up to 160; a close-up is never wider than the whole view, which empty surroundings make
    2.5 times smaller at most."""
    views = ViewDataset([disks(1000, 20, 3)], seed=0)
    drawn = [views[number][1:] for number in range(80)]
    whole = [math.exp(size) for label, size in drawn if label == 3]
    close = [math.exp(size) for label, size in drawn if label == NO_CLASS]
    assert 20 <= len(close) <= 45 and min(close) >= 40 * 0.256 * 0.875 and max(close) <= 160 and np.ptp(close) > 80
    assert 40 * 0.256 * 0.875 / math.sqrt(6) <= min(whole) and max(whole) <= 40 * 0.256 * 1.2


def test_empty_surroundings(monkeypatch):
    """An image in a view of six times its area: a sixth of the view shows it, the rest is nearly of one colour."""
    monkeypatch.setattr(router_views, "SURROUNDED", 1.0)
    monkeypatch.setattr(router_views, "SURROUNDINGS", (6.0, 6.001))
    monkeypatch.setattr(router_views, "CLOSE_UPS", 0.0)
    monkeypatch.setattr(router_views, "WHOLE_VIEW_CHANGES", ())
    views = ViewDataset([disks(256, 20, 0, channels=1)], seed=0)
    view, label, log_diameter = views[0]
    level = float(view[0].median())
    assert label == 0 and np.mean(np.abs(view[0].numpy() - level) < 20 / 255) > 0.75
    assert math.exp(log_diameter) == pytest.approx(40 / math.sqrt(6), rel=0.25)


def test_images_without_cells_teach_no_class_and_no_size():
    empty = disks(64, 10, 3)
    empty = dataclasses.replace(empty, labels=np.zeros_like(empty.labels), diameter=math.nan)
    drawn = [ViewDataset([empty], 0)[number] for number in range(5)]
    assert all(label == NO_CLASS and math.isnan(size) for _, label, size in drawn)


def test_whole_views_keep_the_cues():
    """Gray stays gray and colour colour, however the intensities change."""
    gray, colour = ViewDataset([disks(64, 10, 0, channels=1)], 0), ViewDataset([disks(64, 10, 3)], 0)
    for number in range(40):
        view, label, _ = gray[number]
        assert label == NO_CLASS or torch.equal(view[0], view[1]) and torch.equal(view[0], view[2])
        view, label, _ = colour[number]
        saturation = float(((view.amax(0) - view.amin(0)) / view.amax(0).clamp(min=1e-3)).mean())
        assert label == NO_CLASS or saturation > 0.1


def test_views_are_repeatable():
    one, other = (ViewDataset([disks(64, 10, 0, channels=1), disks(128, 10, 3)], seed) for seed in (4, 5))
    first, again = one[7], one[7]
    assert torch.equal(first[0], again[0]) and first[1:] == again[1:]
    assert not torch.equal(first[0], other[7][0])


def test_classes_come_equally_often():
    samples = [disks(16, 2, 0)] * 8 + [disks(16, 2, 2)] + [disks(16, 2, 3)] * 2
    weights = class_balanced_weights(samples)
    assert [weights[:8].sum(), weights[8], weights[9:].sum()] == pytest.approx([1 / 3] * 3)


def test_confusion_rows():
    rows = confusion_rows(np.array([[3, 1, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [1, 0, 0, 0]]))
    assert rows[1] == ["binary", 3, 1, 0, 0, "0.7500"]
    assert [row[-1] for row in rows[1:]] == ["0.7500", "0.0000", "1.0000", "0.0000"]
