"""Fixtures of all tests: real labelled images, and a weights folder whose networks are small and untrained."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with a manifest.csv of real labelled images, named by the environment variable CELLSEG_DATA."""
    folder = Path(os.environ.get("CELLSEG_DATA", ""))
    if not (folder / "manifest.csv").is_file():
        pytest.skip("needs real labelled images: set CELLSEG_DATA to a folder with a manifest.csv")
    return folder


@pytest.fixture(scope="session")
def untrained_weights(tmp_path_factory) -> Path:
    """Five networks with random weights, strong enough to find random cells, and a router that answers class 0 and 20 pixels."""
    import torch

    from models.checkpoint import save_checkpoint
    from models.hover import ConvNeXtHover
    from models.router import Router
    from models.stardist import ConvNeXtStarDist

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("weights")
    router = Router()
    torch.nn.init.zeros_(router.network.fc.weight)
    router.network.fc.bias.data = torch.tensor([3.0, 0.0, 0.0, 0.0, 3.0])
    save_checkpoint(folder / "router.safetensors", router, {"network": {}})
    for stream, kind in enumerate((ConvNeXtStarDist, ConvNeXtHover, ConvNeXtStarDist, ConvNeXtStarDist)):
        network = kind("convnext_atto")
        for layer in (network.head.prob,) if stream != 1 else (network.head.cp, network.head.hv):
            layer.weight.data *= 30
        save_checkpoint(folder / f"class{stream}.safetensors", network, {"network": {"encoder": "convnext_atto"}, "diameter": 28.0})
    return folder
