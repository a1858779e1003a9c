"""training.measure.plots: what is left where a plot succeeds, and where it does not."""

import sys

import pytest

from training.measure.plots import import_pyplot, plot_file


def test_a_plot_is_written_and_closed(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "new" / "a.png"
    with plot_file(path, "a machine", panels=2) as axes:
        assert len(axes) == 2
        axes[0].plot([1, 2], [3, 4])
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert import_pyplot().get_fignums() == []


def test_a_plot_that_fails_leaves_no_file_and_no_figure(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(ZeroDivisionError):
        with plot_file(tmp_path / "a.png", "a machine"):
            raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    assert import_pyplot().get_fignums() == []


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match="pip install matplotlib, or leave --plot out"):
        import_pyplot()
