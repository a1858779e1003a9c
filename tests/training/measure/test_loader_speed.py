"""training.measure.loader_speed: rates by a clock, and the command on a small data set."""

import re

import torch

from training.measure import loader_speed


def test_rate_counts_what_was_done(monkeypatch):
    """On a clock that goes on by a quarter of a second at every look: seven looks while the time lasts, and one at the
    end.
    """
    clock, done = iter(range(100)), []
    monkeypatch.setattr(loader_speed.time, "monotonic", lambda: next(clock) / 4)
    assert loader_speed.rate(lambda: done.append(1), 2.0, torch.device("cpu")) == len(done) / 2.25 == 8 / 2.25


def test_three_rates_and_their_ratio(manifest, capsys):
    """Nothing is written; the number of workers is the one that was asked for."""
    words = [
        "--manifest",
        str(manifest),
        "--encoder",
        "test_convnext",
        "--random-init",
        "--crop",
        "64",
        "--batch",
        "2",
        "--workers",
        "0",
        "--device",
        "cpu",
        "--seconds",
        "0.1",
        "--stream",
        "stardist",
    ]
    assert loader_speed.main(words) == 0
    said = capsys.readouterr().out
    loader, step, together, ratio = (float(n) for n in re.findall(r"^\S+(?: \S+)? +([\d.]+)", said, re.M))
    assert "(0 workers)" in said
    assert min(loader, step, together) > 0
    assert abs(ratio - loader / step) < 0.02 + 0.2 * ratio
