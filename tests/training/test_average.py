"""training.average and training.averaging: the mean of networks, and what it refuses."""

from dataclasses import replace

import pytest
import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import Config
from models.hover import ConvNeXtHover
from models.stardist import ConvNeXtStarDist
from training.average import main
from training.averaging import average

SEEN = {"images": 2, "terms": "MIT"}
ENCODER = "efficientnet_lite0"  # has running averages, and a whole number among its tensors


def write(path, seed, kind=ConvNeXtStarDist, diameter=28.0, **training):
    torch.manual_seed(seed)
    model = kind(ENCODER)
    save_checkpoint(
        path, model, Config({"encoder": ENCODER}, diameter, {"prob_threshold": 0.1 * seed}, training=training)
    )
    return path


def test_weights_and_running_averages_are_means(tmp_path):
    paths = [write(tmp_path / f"{n}.safetensors", n, steps_done=n, batch=8) for n in (1, 2)]
    assert main([*map(str, paths), "--out", str(tmp_path / "new" / "mean.safetensors")]) == 0
    one, two, mean = (load_checkpoint(path)[0].state_dict() for path in (*paths, tmp_path / "new" / "mean.safetensors"))
    for name, value in mean.items():
        torch.testing.assert_close(value.float(), (one[name].float() + two[name].float()) / 2, rtol=2e-3, atol=1e-4)
    assert any(not torch.equal(one[name], two[name]) for name in one)
    config = load_checkpoint(tmp_path / "new" / "mean.safetensors")[1]
    assert config.training["averaged"] == ["1.safetensors", "2.safetensors"]
    assert config.crops == 16
    assert config.decoder == {"prob_threshold": 0.2}


def test_sources_of_all_are_named(tmp_path):
    paths = []
    for name in "ab":
        model, config = load_checkpoint(write(tmp_path / f"{name}.safetensors", 1))
        save_checkpoint(tmp_path / f"{name}.safetensors", model, replace(config, sources={name: SEEN}))
        paths.append(tmp_path / f"{name}.safetensors")
    assert average(paths)[1].sources == {"a": SEEN, "b": SEEN}


def test_shares(tmp_path):
    paths = [write(tmp_path / f"{n}.safetensors", n) for n in (1, 2)]
    one, two = (load_checkpoint(path)[0].state_dict() for path in paths)
    for name, value in average(paths, [0.75, 0.25])[0].state_dict().items():
        expected = one[name].double() * 0.75 + two[name].double() * 0.25
        torch.testing.assert_close(value, expected.to(value.dtype))


@pytest.mark.parametrize("other", [{"kind": ConvNeXtHover}, {"diameter": 30.0}])
def test_networks_that_do_not_belong_together(tmp_path, caplog, other):
    paths = [write(tmp_path / "1.safetensors", 1), write(tmp_path / "2.safetensors", 2, **other)]
    assert main([*map(str, paths), "--out", str(tmp_path / "mean.safetensors")]) == 2
    assert "1.safetensors: another kind" in caplog.text
    assert not (tmp_path / "mean.safetensors").exists()
