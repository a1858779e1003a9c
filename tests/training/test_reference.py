"""training.reference: from a manifest to a file beside the networks."""

import shutil

import cv2
import numpy as np
import pytest

from models.checksums import CheckpointError, read_checksums
from models.weights_folder import check_weights
from training.own.likeness import read_reference
from training.reference import main


@pytest.fixture
def manifest(tmp_path):
    """Three training images of two sources, and one to validate with."""
    lines = ["image,label,split,source"]
    for name, split, source in (("a", "train", "x"), ("b", "train", "x"), ("c", "train", "y"), ("d", "val", "x")):
        image = np.random.default_rng(ord(name)).integers(0, 255, (64, 64), np.uint8)
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
        cv2.imwrite(str(tmp_path / f"{name}_label.png"), (image > 250).astype(np.uint16))
        lines.append(f"{name}.png,{name}_label.png,{split},{source}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path / "manifest.csv"


@pytest.mark.parametrize("more, images", [((), 3), (("--leave-out", "y"), 2)])
def test_of_the_training_images(untrained_weights, manifest, tmp_path, more, images):
    weights = shutil.copytree(untrained_weights, tmp_path / "weights")
    assert main(["--weights", str(weights), "--manifest", str(manifest), *more]) == 0
    assert read_reference(weights).features.shape == (2 * images, 512)
    assert "reference.safetensors" in read_checksums(weights)
    check_weights(weights, verify=True)
    (weights / "reference.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="reference.safetensors: damaged"):
        read_reference(weights)


def test_what_is_no_weights_folder_is_refused(manifest, tmp_path, caplog):
    assert main(["--weights", str(tmp_path), "--manifest", str(manifest)]) == 2
    assert "router.safetensors" in caplog.text


def test_a_source_must_be_there(untrained_weights, manifest, caplog):
    assert main(["--weights", str(untrained_weights), "--manifest", str(manifest), "--leave-out", "z"]) == 2
    assert "--leave-out" in caplog.text
