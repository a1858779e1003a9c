"""The ways in which a network is timed, and that each one runs."""

from dataclasses import asdict

import torch

from inference.network import best_dtype
from training.measure import network_speed
from training.measure.network_speed import main, measure, ways


def test_each_way_changes_one_thing():
    own, *others = ways(torch.device("cpu"))
    assert own.dtype == best_dtype(torch.device("cpu"))
    assert own.channels_last
    assert own.batch == 1
    assert not own.compiled
    assert all(sum(a != b for a, b in zip(asdict(own).values(), asdict(other).values())) == 1 for other in others)
    assert len(set(others)) == len(others) >= 5


def test_times_are_those_of_one_window(monkeypatch):
    """A clock on which every call takes a second."""
    ticks = iter(range(1000))
    monkeypatch.setattr(network_speed.time, "perf_counter", lambda: next(ticks))
    own = next(ways(torch.device("cpu")))
    row = measure("convnext_atto", torch.device("cpu"), network_speed.replace(own, batch=4), 3, window=32)
    assert row["ms/window"] == 250
    assert row["first s"] == 1
    assert row["windows"] == 4


def test_table(capsys):
    threads = torch.get_num_threads()
    options = ["--repeat", "1", "--no-compile", "--device", "cpu", "--window", "32"]
    assert main(["--encoder", "convnext_atto", "test_convnext", *options]) == 0
    assert torch.get_num_threads() == threads
    printed = capsys.readouterr().out
    lines = [line.split() for line in printed.splitlines() if "convnext" in line]
    assert [line[1:5] for line in lines[: len(lines) // 2]] == [line[1:5] for line in lines[len(lines) // 2 :]], (
        "the same ways for both"
    )
    assert printed.startswith("machine: ")
    assert "float32" in printed
    assert "ms/window" in printed
    assert "yes" not in printed


def test_what_is_no_encoder_is_an_error():
    assert main(["--encoder", "nothing_like_it", "--no-compile", "--device", "cpu"]) == 2
