"""training.parcel.rehearse: the whole way of a parcel, with a Python that lacks packages."""

import zipfile

import pytest
import torch

from models.checkpoint import load_checkpoint
from training.parcel.rehearse import MISSING, main

OPTIONS = "--batch 4 --workers 1 --log-every 1"


def test_the_whole_way(parcel, networks, tmp_path, capfd):
    """Packed, unpacked elsewhere, trained for some seconds, sent in two calls and joined: both networks have seen what
    their starts had and their own crops; the checkpoints name the commit."""
    words = [str(parcel), "--out", str(tmp_path / "runs"), "--seconds", "4", "--part-size", "0.5", "--options", OPTIONS]
    words += ["--score", "0"]  # compiling takes long; tests/training/parcel/test_device.py does it
    assert main(words) == 0
    with zipfile.ZipFile(parcel) as content:
        commit = content.read("COMMIT").decode()
    for kind in ("stardist", "hover"):
        model, config = load_checkpoint(tmp_path / f"runs/joint/{kind}.safetensors")
        steps = config.training["steps_done"]  # none on a machine that is busy: the trial's are sure
        assert config.crops == 40 + 4 * steps
        assert config.git_commit == commit
        assert config.training["time_budget"] == pytest.approx(4 / 60, rel=1e-3)
        start = load_checkpoint(networks / f"{kind}.safetensors")[0]
        weights = list(zip(model.state_dict().values(), start.state_dict().values()))
        assert all(torch.equal(new, old) for new, old in weights) == (steps == 0)
    assert not (tmp_path / "runs/joint/resume.safetensors").exists()
    said = (tmp_path / "runs/device.log").read_text()
    assert "steps in" in said
    assert "still there: send --first 1" in said


def test_a_missing_package_ends_it_before_any_training(parcel, tmp_path, capfd):
    """So that nobody finds out on the borrowed machine."""
    words = [str(parcel), "--out", str(tmp_path / "runs"), "--seconds", "5", "--options", OPTIONS]
    assert main([*words, "--without", *MISSING, "tqdm"]) == 3
    said = capfd.readouterr().err
    assert "nothing was trained: ModuleNotFoundError: No module named 'tqdm'" in said
    assert not (tmp_path / "runs").exists()
