"""A parcel of the small data set, with the two networks of a joint training to start from."""

import pytest
import torch

from models.checkpoint import save_checkpoint
from models.config import Config
from models.hover import ConvNeXtHover
from models.stardist import ConvNeXtStarDist
from training.parcel import pack

ENCODER = "test_convnext"


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """Checkpoints that have seen 40 crops, of both kinds."""
    folder = tmp_path_factory.mktemp("networks")
    for kind in (ConvNeXtStarDist, ConvNeXtHover):
        torch.manual_seed(1)
        config = Config({"encoder": ENCODER}, 20.0, training={"steps_done": 5, "batch": 8})
        save_checkpoint(folder / f"{kind.kind}.safetensors", kind(ENCODER), config)
    return folder


@pytest.fixture(scope="session")
def parcel(manifest, networks, tmp_path_factory):
    path = tmp_path_factory.mktemp("packed") / "parcel.zip"
    options = f"--init {networks}/stardist.safetensors --init-head {networks}/hover.safetensors --stream both --crop 64"
    words = ["--train-options", f"{options} --batch 4 --log-every 1 --validate-images 2"]
    assert pack.main(["--manifest", str(manifest), "--out", str(path), "--limit", "4", *words]) == 0
    return path
