"""Plots in files. matplotlib is not among the program's requirements and is imported where a plot is asked for."""

from contextlib import contextmanager
from pathlib import Path


def import_pyplot():
    """matplotlib's, for files only. Raises ValueError if it is not installed."""
    try:
        import matplotlib
    except ImportError:
        raise ValueError(
            "--plot needs matplotlib, which is not among the program's requirements: pip install matplotlib, "
            "or leave --plot out"
        ) from None
    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot


@contextmanager
def plot_file(path: Path, title: str, panels: int = 1, width: float = 7):
    """A figure's axes, side by side, to draw on within a `with` block; at its end they get a grid and are written to
    the file.
    """
    pyplot = import_pyplot()
    figure, (axes,) = pyplot.subplots(1, panels, figsize=(width, 5), layout="constrained", squeeze=False)
    try:
        yield axes
        figure.suptitle(title, fontsize=8)
        for panel in axes:
            panel.grid(True, which="both", alpha=0.3)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150)
    finally:
        pyplot.close(figure)
