"""Images a second, from reports, and of StarDist's pipeline with a small network."""

import sys

import pytest
import tifffile
import torch

from inference.network import Network
from training.measure.folder_speed import (
    images_a_second,
    main,
    make_folder,
    processor_time,
    stardist_pipeline,
)


def test_the_first_image_of_each_worker_does_not_count():
    rows = [{"seconds": seconds} for seconds in ("5.0", "0.5", "4.0", "0.5", "1.0")]
    assert images_a_second(rows, 2) == pytest.approx(2 * 3 / 2.0)
    assert images_a_second(rows, 1) == pytest.approx(4 / 6.0)


def test_processor_time_by_what_it_is_spent_on(tmp_path, untrained_weights):
    make_folder(tmp_path / "in", 128, 3)
    spent = processor_time(sorted((tmp_path / "in").iterdir()), untrained_weights)
    parts = [spent[name] for name in ("router (ms)", "measuring the cells", "network for the labels")]
    assert all(part > 0 for part in parts)
    assert sum(parts) < 1.5 * spent["all"]
    assert spent["windows measured"] >= 3
    assert spent["windows labelled"] >= 1


def test_stardists_pipeline_writes_labels(tmp_path, untrained_weights):
    make_folder(tmp_path / "in", 128, 3)
    images = sorted((tmp_path / "in").iterdir())
    assert tifffile.imread(images[0]).shape == (128, 128)
    network = Network.load(untrained_weights / "class0.safetensors", torch.device("cpu"))
    assert stardist_pipeline(images, network, tmp_path / "out") > 0
    written = list((tmp_path / "out").iterdir())
    assert len(written) == 3
    assert all(tifffile.imread(path).max() > 0 for path in written)


@pytest.mark.parametrize("options", [["--images", "2"], ["--before", "nowhere"]])
def test_what_cannot_be_measured(options):
    assert main(options) == 2


def test_without_stardist(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "csbdeep.utils", None)
    assert main([]) == 2
    assert "pip install stardist" in caplog.text
