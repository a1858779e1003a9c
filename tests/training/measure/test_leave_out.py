"""Runs without some sources: what each one trains on, which network scores what, and what is refused."""

import csv

import pytest

from models.checkpoint import read_config
from training.measure import leave_out
from training.measure.leave_out import groups_of, main, parse_arguments

OPTIONS = "--encoder test_convnext --random-init --crop 64 --batch 2 --workers 0 --device cpu"


def run(manifest, out, *more):
    return main(
        [
            "--manifest",
            str(manifest),
            "--out",
            str(out),
            "--steps",
            "2",
            "--device",
            "cpu",
            "--train-options",
            OPTIONS,
            *more,
        ]
    )


def test_each_source_is_scored_by_networks_with_and_without_it(manifest, tmp_path, monkeypatch, capsys):
    """The network that has seen all sources scores 0.8 on any image, one without `a` 0.5, one without `b` 0.6."""
    seen = []

    def validate(network, samples):
        (sample,) = samples
        left_out = network.config.training["leave_out"]
        seen.append((network.kind, sample.record.source, *left_out))
        return {(): 0.8, ("a",): 0.5, ("b",): 0.6}[tuple(left_out)]

    monkeypatch.setattr(leave_out, "validate", validate)
    assert run(manifest, tmp_path, "--at-least", "3") == 0
    table = list(csv.DictReader((tmp_path / "left_out.csv").read_text().splitlines()))
    assert [list(row.values()) for row in table] == [["a", "2", "0.8", "0.5", "0.3"], ["b", "2", "0.8", "0.6", "0.2"]]
    assert sorted(seen) == sorted([("stardist", s, *left) for s in "ab" for left in ((), (s,)) for _ in range(2)])
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1].split() == ["all", "of", "them", "4", "0.800", "0.550", "0.250"]


def test_a_run_that_is_there_is_not_repeated(manifest, tmp_path, caplog):
    assert run(manifest, tmp_path, "--leave-out", "b") == 0
    files = [tmp_path / folder / "stardist.safetensors" for folder in ("all", "b")]
    assert [read_config(f)[1].training["leave_out"] for f in files] == [[], ["b"]]
    logs = [(f.parent / "resume.safetensors").read_bytes() for f in files]
    assert run(manifest, tmp_path, "--leave-out", "b") == 0
    assert all(read_config(f)[1].training["steps_done"] == 2 for f in files)
    assert logs == [(f.parent / "resume.safetensors").read_bytes() for f in files]
    assert run(manifest, tmp_path, "--leave-out", "b", "--steps", "3") == 2
    assert "all: from a run of 2 steps; give --steps 2, or another --out" in caplog.text


def test_groups(manifest, tmp_path):
    def groups(*more):
        args = parse_arguments(["--manifest", str(manifest), "--out", str(tmp_path), *more])
        return groups_of(args.manifest, args.leave_out, args.at_least)

    assert groups("--at-least", "3") == [["a"], ["b"]]
    assert groups("--leave-out", "a,b") == [["a", "b"]]
    with pytest.raises(ValueError, match="no source has 4 training images .* lower --at-least"):
        groups("--at-least", "4")
    with pytest.raises(ValueError, match="source 'c' has no training or no validation images.*Sources here: a, b"):
        groups("--leave-out", "a", "b,c")


def test_a_training_that_fails_ends_the_command(manifest, tmp_path, caplog):
    assert run(manifest, tmp_path, "--leave-out", "a,b") == 1
    assert "no image with labelled cells" in caplog.text
    assert "ended with exit code 2" in caplog.text
