"""training.parcel.device: what it refuses, what it sends, what comes back of a training that broke off."""

import json
import logging
import shutil
import sys
import time

import pytest

from training import train
from training.parcel import device
from training.parcel.device import main


@pytest.fixture
def there(tmp_path, monkeypatch, caplog):
    """An unpacked parcel without images; the training is what the test makes of `train.main`."""
    caplog.set_level(logging.INFO)
    work = tmp_path / "there"
    work.mkdir()
    (work / "options.json").write_text(json.dumps(["--batch", "2"]))
    for name, path in (("WORK", work), ("RUNS", work / "runs"), ("TRIAL", work / "trial")):
        monkeypatch.setattr(device, name, path)
    began(monkeypatch, 0)
    monkeypatch.chdir(tmp_path)
    return work


def began(monkeypatch, seconds):
    """The parcel's main program was started so long ago."""
    monkeypatch.setenv("PARCEL_BEGAN", str(time.time() - seconds))


class Trainings:
    """Stands for `train.main`: notes its arguments, writes what a training writes, and does what it is told to."""

    def __init__(self, *ends):
        self.ends, self.told = list(ends), []

    def __call__(self, words):
        self.told.append(words)
        out = device.Path(words[words.index("--out") + 1])
        out.mkdir(parents=True)
        (out / "log.csv").write_text("step,seconds,waiting\n10,5,0\n20,6.5,0.25\n")
        for name in ("stardist.safetensors", "resume.safetensors"):
            (out / name).write_bytes(bytes(1000))
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end


def run(*words, monkeypatch=None, trainings=None):
    if trainings:
        monkeypatch.setattr(train, "main", trainings)
    return main(["train", "--out", "out", "--device", "cpu", *words])


def test_the_time_is_divided(there, tmp_path, monkeypatch, caplog):
    """What the check took and what sending will take is not trained; later options win."""
    began(monkeypatch, 100)
    trainings = Trainings(0, 0)
    words = ("--seconds", "500", "--reserve", "40", "--", "--batch", "7")
    assert run(*words, monkeypatch=monkeypatch, trainings=trainings) == 0
    trial, training = trainings.told
    both = ["--batch", "2", "--device", "cpu", "--batch", "7", "--validate-images", "0"]
    assert training[:8] == trial[:8] == both, "without selection: the last network is what comes back"
    assert trial[trial.index("--steps") + 1] == "20"
    assert "--time-budget" not in trial
    assert 60 * float(training[-1]) == pytest.approx(360, abs=5)
    assert training[-2] == "--time-budget"
    assert "10 steps in 1.50 s, of which 0.25 s waiting for data" in caplog.text
    assert not (there / "trial").exists()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["SHA256SUMS", "device.log", "results.tar.000"]
    assert "10 steps in" in (tmp_path / "out/device.log").read_text()


@pytest.mark.parametrize("end", [1, RuntimeError("no such operation"), ValueError("no image")])
def test_a_trial_that_fails_ends_it(there, tmp_path, monkeypatch, caplog, end):
    assert run("--seconds", "500", monkeypatch=monkeypatch, trainings=Trainings(end)) == 3
    assert "nothing was trained" in caplog.text
    assert not (tmp_path / "out").exists()


def test_too_little_time(there, tmp_path, monkeypatch, caplog):
    assert run("--seconds", "79", monkeypatch=monkeypatch, trainings=Trainings(0)) == 3
    assert "of 79 s are left; give more --seconds" in caplog.text
    assert not (tmp_path / "out").exists()


def test_no_gpu(there, monkeypatch, caplog):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["train", "--out", "out", "--seconds", "500"]) == 3
    assert "PyTorch sees no GPU" in caplog.text


def test_what_a_broken_training_has_written_comes_back(there, tmp_path, monkeypatch, caplog):
    """And what a training was killed in comes back by `send`; resume files stay."""
    assert run("--seconds", "500", monkeypatch=monkeypatch, trainings=Trainings(0, RuntimeError("gone"))) == 1
    first = (tmp_path / "out/results.tar.000").read_bytes()
    assert b"joint/stardist.safetensors" in first
    assert b"resume" not in first
    assert main(["send", "--out", str(tmp_path / "again"), "--part-size", "0.001", "--parts", "2", "--first", "1"]) == 0
    assert sorted(p.name for p in (tmp_path / "again").glob("results*")) == ["results.tar.001", "results.tar.002"]
    assert "still there: send --first 3" in caplog.text
    parts = [(tmp_path / f"again/results.tar.00{n}").read_bytes() for n in (1, 2)]
    assert b"".join(parts) == first[1049:3147], "the same bytes as in the first call"


def test_networks_and_their_start_are_scored(there, manifest, networks, monkeypatch, caplog):
    """Once the results are sent, on as many images as wanted; not if the time is over."""
    shutil.copytree(networks, there / "runs/joint")
    (there / "runs/joint/resume.safetensors").write_bytes(b"")
    options = ["--manifest", str(manifest), "--init", str(networks / "stardist.safetensors")]
    args = device.parse_arguments(["train", "--out", "out", "--seconds", "500", "--device", "cpu", "--score", "2"])
    device.score_networks(args, options)
    scored = [message.partition(": F1 0.")[0] for message in caplog.messages]
    joint = there / "runs/joint"
    assert scored == [str(joint / "hover.safetensors"), str(joint / "stardist.safetensors"), options[-1]]
    assert all("on 2 images" in message for message in caplog.messages)
    caplog.clear()
    began(monkeypatch, 501)
    device.score_networks(args, options)
    assert [m.partition(": ")[2] for m in caplog.messages] == ["no time left to score it"] * 3


def test_a_score_that_fails_costs_nothing(there, tmp_path, monkeypatch, caplog):
    """The results are sent before, the training's exit code stands, and the log that comes back says why."""
    assert run("--seconds", "500", monkeypatch=monkeypatch, trainings=Trainings(0, 0)) == 0
    assert (tmp_path / "out/results.tar.000").exists()
    assert "the networks were not scored" in (tmp_path / "out/device.log").read_text()


def test_a_second_training_needs_another_name(there, monkeypatch, caplog):
    """The first one's seconds would count against its time."""
    trainings = Trainings(0, 0, 0, 0)
    assert run("--seconds", "500", monkeypatch=monkeypatch, trainings=trainings) == 0
    assert run("--seconds", "500", monkeypatch=monkeypatch, trainings=trainings) == 3
    assert "joint was trained here before; give another --name" in caplog.text
    assert len(trainings.told) == 2
    assert run("--seconds", "500", "--name", "more", monkeypatch=monkeypatch, trainings=trainings) == 0


def test_nothing_to_send(there, caplog):
    assert main(["send", "--out", "again"]) == 2
    assert "nothing was trained here" in caplog.text


def test_any_command_of_the_project(there):
    """In the unpacked folder, with its exit code."""
    (there / "hello.py").write_text("import os, sys; open('said', 'w').write(' '.join(sys.argv[1:])); sys.exit(7)")
    assert main(["run", "hello", "--device", "cuda", "x"]) == 7
    assert (there / "said").read_text() == "--device cuda x"


def test_little_shared_memory_is_named(monkeypatch, tmp_path, caplog):
    """Where it cannot be enlarged; a loader that dies of it says nothing."""
    monkeypatch.setattr(device.subprocess, "run", lambda command, **_: command)
    monkeypatch.setattr(device, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(device, "SHARED_ROOM", 2**62)
    with caplog.at_level(logging.WARNING):
        device.make_room()
    assert "train with -- --workers 0" in caplog.text


def test_the_interpreter_is_the_same(there, monkeypatch):
    seen = []
    monkeypatch.setattr(
        device.subprocess, "run", lambda command, **_: seen.append(command) or device.argparse.Namespace(returncode=0)
    )
    assert main(["run", "training.train"]) == 0
    assert seen == [[sys.executable, "-m", "training.train"]]
