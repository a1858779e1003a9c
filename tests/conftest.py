"""Fixtures of all tests: real and made label images, and a weights folder whose networks are small and untrained."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.machine import THREADS, threads_give_way, usable_processors

# Before PyTorch is imported, and for the programs that tests start.
threads_give_way()  # as predict.py does: beside a busy program tests take ten times as long
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    for name in THREADS:
        os.environ.setdefault(name, str(max(1, usable_processors() // int(workers))))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """What tests have printed goes to another process as text; names of files need not be text."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with a manifest.csv of real labelled images, named by the environment variable CELLSEG_DATA."""
    folder = Path(os.environ.get("CELLSEG_DATA", ""))
    if not (folder / "manifest.csv").is_file():
        pytest.skip("needs real labelled images: set CELLSEG_DATA to a folder with a manifest.csv")
    return folder


@pytest.fixture(scope="session")
def untrained_weights(tmp_path_factory) -> Path:
    """Five networks with random weights, strong enough to find random cells, and a router that answers class 0 and 20
    pixels.
    """
    import torch

    from models.checkpoint import save_checkpoint
    from models.checksums import write_checksums
    from models.config import Config
    from models.hover import ConvNeXtHover
    from models.router import Router
    from models.stardist import ConvNeXtStarDist
    from models.weights_folder import FILES

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    router = Router()
    torch.nn.init.zeros_(router.network.fc.weight)
    router.network.fc.bias.data = torch.tensor([3.0, 0.0, 0.0, 0.0, 3.0])
    save_checkpoint(folder / "router.safetensors", router, Config())
    for stream, kind in enumerate((ConvNeXtStarDist, ConvNeXtHover, ConvNeXtStarDist, ConvNeXtStarDist)):
        network = kind("convnext_atto")
        for layer in (network.head.prob,) if stream != 1 else (network.head.cp, network.head.hv):
            layer.weight.data *= 30
        save_checkpoint(folder / f"class{stream}.safetensors", network, Config({"encoder": "convnext_atto"}, 28.0))
    write_checksums(folder, FILES)
    return folder


@pytest.fixture(scope="session")
def blobs():
    """Function that makes a label image by its seed: ellipses over one another, touching, cut by the border, some in
    pieces or slivers.
    """

    def draw(seed, shape=(96, 128), cells=20):
        rng = np.random.default_rng(seed)
        labels = np.zeros(shape, np.int32)
        for cell in range(1, cells + 1):
            centre, axes = rng.integers(0, shape[::-1]).tolist(), rng.integers(2, 16, 2).tolist()
            cv2.ellipse(labels, centre, axes, int(rng.integers(180)), 0, 360, cell, -1)
        return labels

    return draw


@pytest.fixture(scope="session")
def many_cells():
    """Labels of 90,000 cells of 3x3 on a 4-pixel grid, and a function that gives the axes (300, 4, 300, 4) to a map of
    their image.
    """
    numbers = 1 + np.arange(90_000, dtype=np.int32).reshape(300, 300)
    labels = np.zeros((300, 4, 300, 4), np.int32)
    labels[:, :3, :, :3] = numbers[:, None, :, None]
    return labels.reshape(1200, 1200), lambda array: array.reshape(300, 4, 300, 4, *array.shape[2:])
