"""training.own.arguments: which images the options name, and how many of them cannot be read."""

import argparse

import cv2
import numpy as np
import pytest

from inference.outputs.cellpose_seg import write_cellpose_seg
from inference.outputs.label_rows import LabelRows
from inference.outputs.label_tiff import write_label_tiff
from inference.running.provenance import Provenance
from training.own.arguments import add_data, own_images


def images_of(*words):
    parser = argparse.ArgumentParser()
    add_data(parser)
    return own_images(parser.parse_args([*map(str, words)]))


@pytest.fixture
def data(tmp_path):
    """An image with its labels beside it, and one whose labels are damaged."""
    for name, value in (("a", 9), ("a_label", 3), ("b", 9)):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((6, 8), value, np.uint8))
    (tmp_path / "b_label.png").write_bytes(b"nothing")
    return tmp_path


def test_labels_lie_beside_the_images_and_problems_are_counted_and_named(data, caplog):
    images, problems = images_of("--images", data, "--partial")
    assert [(image.name, image.cells, image.partial) for image in images] == [("a", 1, True)]
    assert problems == 1
    assert "b_label.png" in caplog.text


def test_labels_that_nobody_corrected_are_named(data, caplog):
    labels = [LabelRows.of(np.ones((6, 8), np.uint16))]
    (data / "a_label.png").unlink()
    write_label_tiff(data / "a_label.tiff", labels, software=str(Provenance("1.0", "ab", "cd", "ef")))
    images, _ = images_of("--images", data)
    assert [image.label.name for image in images] == ["a_label.tiff"]
    assert "1 label files are as predict.py wrote them" in caplog.text
    caplog.clear()
    write_label_tiff(data / "a_label.tiff", labels, software="napari")
    images_of("--images", data)
    assert "as predict.py wrote them" not in caplog.text
    (data / "a_label.tiff").unlink()
    write_cellpose_seg(data / "a_seg.npy", labels[0], data / "a.png", 9.0)
    images_of("--images", data)
    assert "1 label files are as predict.py wrote them" in caplog.text
    assert "a_seg.npy" in caplog.text


def test_a_manifest(manifest):
    images, problems = images_of("--manifest", manifest)
    assert len(images) == 10
    assert problems == 0


def test_images_or_a_manifest(data, manifest):
    for words in ((), ("--images", data, "--manifest", manifest)):
        with pytest.raises(ValueError, match="give either --images .* or --manifest"):
            images_of(*words)
