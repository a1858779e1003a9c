"""training.measure.number_formats: equal networks agree, a spoilt one does not."""

import cv2
import numpy as np
import pytest
import torch

from inference.network import Network
from training.measure import number_formats
from training.measure.number_formats import find_images, main
from training.measure.rigged import spots


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for n in range(2):
        cv2.imwrite(
            str(folder / f"{n}.png"), np.round(spots(160, seed=n)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
        )
    return folder


def test_bfloat16_of_untrained_networks_agrees_roughly(images, untrained_weights, capsys):
    code = main([str(images), "--weights", str(untrained_weights), "--device", "cpu", "--dtype", "bfloat16"])
    f1 = float(capsys.readouterr().out.split("images: ")[1].split()[0])
    assert f1 > 0.5
    assert code == int(f1 <= 0.995)


def test_a_wrong_format_is_found_out(images, untrained_weights, monkeypatch, capsys):
    """Float32 in both runs agrees fully; with noise on one of the maps of the second run it does not."""
    monkeypatch.setattr(torch, "bfloat16", torch.float64)
    run, spoil = Network.__call__, []

    def spoilt(self, windows):
        prob, dist = run(self, windows)
        return (np.roll(prob, 5, axis=2), dist) if spoil and self.dtype == torch.float64 else (prob, dist)

    monkeypatch.setattr(Network, "__call__", spoilt)
    options = [str(images), "--weights", str(untrained_weights), "--device", "cpu", "--dtype", "bfloat16"]
    assert main(options) == 0
    assert "over 2 images: 1.0000" in capsys.readouterr().out
    spoil.append(True)
    assert main(options) == 1


def test_nothing_to_compare(tmp_path, untrained_weights, monkeypatch, caplog):
    weights = ["--weights", str(untrained_weights), "--device", "cpu"]
    assert main([str(tmp_path), *weights, "--dtype", "bfloat16"]) == 2
    assert "no images" in caplog.text
    monkeypatch.setattr(number_formats, "best_dtype", lambda device: torch.float32)
    assert main([str(tmp_path), *weights]) == 2
    assert "no faster number format" in caplog.text


def test_images_are_evenly_spread(tmp_path):
    for n in range(10):
        (tmp_path / f"{n}.png").touch()
    (tmp_path / "0_label.tiff").touch()
    assert [p.stem for p in find_images(tmp_path, 4)] == ["0", "3", "6", "9"]
    assert len(find_images(tmp_path, 99)) == 10
