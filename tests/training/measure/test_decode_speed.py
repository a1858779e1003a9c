"""training.measure.decode_speed on small maps: what is made, what is compared, what is printed."""

import sys

import numpy as np
import pytest

from training.measure import decode_speed
from training.measure.decode_speed import decode, flooded, landscape, main, make_labels, make_maps, white_maps


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(decode_speed, "SIDE", 256)
    monkeypatch.setattr(decode_speed, "CELLS", 30)
    monkeypatch.setattr(decode_speed, "GROWTH_SIDES", (128, 256))
    monkeypatch.setattr(decode_speed, "WHITE_GRID", 30)
    monkeypatch.setattr(decode_speed, "machine", lambda: "here")


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


def test_tables_plot_and_exit_code(small, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    pytest.importorskip("stardist", reason="the comparison: pip install -r tests/requirements.txt")
    monkeypatch.setattr(decode_speed, "GOAL_DECODE", 0.0)
    monkeypatch.setattr(decode_speed, "GOAL_WATERSHED", 0.0)
    assert main(["--repeat", "1", "--plot", str(tmp_path / "new" / "growth.png")]) == 0
    output = capsys.readouterr().out
    assert "F1 1.0000 at IoU 0.5" in output
    assert "128x128" in output
    assert "NO" not in output
    assert (tmp_path / "new" / "growth.png").stat().st_size > 10_000
    monkeypatch.setattr(decode_speed, "GOAL_WHITE", 0.0)
    assert main(["--repeat", "1", "--no-growth"]) == 1
    output = capsys.readouterr().out
    assert "128x128" not in output
    assert output.count("NO") == 1


def test_without_stardist(small, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "stardist.geometry", None)
    assert main(["--no-growth"]) == 2
    assert "pip install stardist" in caplog.text
