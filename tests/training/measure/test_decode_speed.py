"""training.measure.decode_speed and training.measure.decoding on small maps: what is made, compared and printed."""

import sys

import numpy as np
import pytest

from training.measure.decode_speed import (
    decode,
    flooded,
    landscape,
    main,
    make_maps,
    white_maps,
)
from training.measure.decoding import make_labels

SMALL = {"SIDE": 256, "CELLS": 30, "GROWTH_SIDES": (128, 256), "WHITE_GRID": 30}
EASY = {"DECODE_GOAL": 0.0, "WATERSHED_GOAL": 0.0}


@pytest.fixture
def timed(monkeypatch):
    """The command with small cases and easy goals, or others."""

    def run(*words, **others):
        for name, value in (SMALL | EASY | others).items():
            monkeypatch.setattr(f"training.measure.decode_speed.{name}", value)
        return main([*words])

    return run


def test_made_maps_are_those_of_cells():
    labels = make_labels(256, 30)
    prob, dist = make_maps(labels)
    assert labels.max() == 30
    assert prob.shape == (1, 64, 64)
    assert dist.shape == (32, 64, 64)
    assert np.all(dist[:, prob[0] == 0] == 0)
    assert 0.9 < dist[:, prob[0] > 0.5].mean() / 17 < 1.3  # 0.43 * 256 / 6 is 18
    assert decode(prob, dist, labels.shape).max() == 30
    energy, markers, mask = landscape(labels)
    assert np.array_equal(mask, labels > 0)
    assert markers.max() >= 25
    assert energy[mask].max() > 100
    assert np.array_equal(flooded(energy, markers, mask) > 0, mask)


def test_all_points_of_a_white_image_are_candidates():
    prob, dist = white_maps(20)
    assert prob.shape == (1, 20, 20)
    assert prob.min() > 0.5
    assert dist.shape == (32, 20, 20)
    assert dist.min() > 0


def test_tables_plot_and_exit_code(timed, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("stardist", reason="the comparison: pip install -r tests/requirements.txt")
    assert timed("--repeat", "1", "--plot", str(tmp_path / "new" / "growth.png")) == 0
    output = capsys.readouterr().out
    assert "F1 1.0000 at IoU 0.5" in output
    assert "128x128" in output
    assert "NO" not in output
    assert (tmp_path / "new" / "growth.png").stat().st_size > 10_000
    assert timed("--repeat", "1", "--no-growth", WHITE_GOAL=0.0) == 1
    output = capsys.readouterr().out
    assert "128x128" not in output
    assert output.count("NO") == 1


def test_without_stardist(timed, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "stardist.geometry", None)
    assert timed("--no-growth") == 2
    assert "pip install stardist" in caplog.text
