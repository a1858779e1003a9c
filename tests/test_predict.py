"""The command line, from files to files, with untrained networks: contract, errors, exit codes."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from skimage.data import coins, immunohistochemistry

import predict

ROOT = Path(predict.__file__).parent


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Five good files of different kinds; two of them share their name up to the first dot."""
    folder = tmp_path_factory.mktemp("images")
    tissue = immunohistochemistry()
    tifffile.imwrite(folder / "coins.16bit.tif", coins().astype(np.uint16) * 200, compression="zlib")
    cv2.imwrite(str(folder / "coins.png"), coins()[:97, :131])
    tifffile.imwrite(folder / "float.tiff", coins()[:64, :64].astype(np.float32) / 255)
    cv2.imwrite(str(folder / "tissue.jpg"), tissue[:300, :200, ::-1])
    cv2.imwrite(str(folder / "TINY.PNG"), tissue[:3, :5, ::-1])
    return folder


EXPECTED = {"coins_label.tiff": (303, 384), "coins.png_label.tiff": (97, 131), "float_label.tiff": (64, 64),
            "tissue_label.tiff": (300, 200), "TINY_label.tiff": (3, 5)}


def run(*arguments):
    return predict.main([str(a) for a in arguments])


def check_labels(path, shape):
    labels = tifffile.imread(path)
    assert labels.shape == shape and labels.dtype == np.uint16
    assert set(np.unique(labels)) - {0} == set(range(1, int(labels.max()) + 1)), "cells are not numbered 1..n"
    return labels


def test_a_folder(images, tmp_path, untrained_weights):
    """One label image for each file, with its height and width, and nothing else in the folder."""
    assert run("-i", images, "-o", tmp_path / "new" / "out", "--weights", untrained_weights, "-q") == 0
    written = {p.name: p for p in (tmp_path / "new" / "out").iterdir()}
    assert set(written) == set(EXPECTED)
    cells = {name: check_labels(written[name], shape).max() for name, shape in EXPECTED.items()}
    assert cells["tissue_label.tiff"] > 10 and cells["coins_label.tiff"] > 10, "the rigged networks find cells"


def test_alone_and_in_a_batch_are_equal(images, tmp_path, untrained_weights):
    """The same file gives the same labels, whatever else is in the run; an output folder may be used again."""
    run("-i", images, "-o", tmp_path, "--weights", untrained_weights, "-q")
    batch = (tmp_path / "tissue_label.tiff").read_bytes()
    assert run("-i", images / "tissue.jpg", "-o", tmp_path, "--weights", untrained_weights, "-q") == 0
    assert (tmp_path / "tissue_label.tiff").read_bytes() == batch


def test_bad_files_among_good_ones(images, tmp_path, untrained_weights, caplog):
    """Exit code 1; each bad file is named once with its reason, the others are done."""
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy(images / "float.tiff", source / "good.tiff")
    (source / "broken.png").write_bytes(b"\x89PNG nothing")
    (source / "empty.tif").touch()
    (source / "stack.tif").write_bytes(b"")
    tifffile.imwrite(source / "stack.tif", np.zeros((9, 20, 30), np.uint8), metadata={"axes": "ZYX"}, imagej=True)
    (source / "notes.txt").write_text("not an image")
    (source / "zlast.bmp").write_bytes((images / "coins.png").read_bytes())
    assert run("-i", source, "-o", tmp_path / "out", "--weights", untrained_weights, "--report", tmp_path / "r.json") == 1
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["good_label.tiff", "zlast_label.tiff"]
    errors = [r.getMessage() for r in caplog.records if r.levelname.lower() == "error"]
    for name in ("broken.png", "empty.tif", "stack.tif"):
        assert sum(name in e for e in errors) == 1
    assert "9 z planes" in caplog.text and "notes.txt: skipped" in caplog.text and "3 of 5 images failed" in caplog.text
    report = {row["image"]: row for row in json.loads((tmp_path / "r.json").read_text())}
    assert report["good.tiff"]["status"] == "done" and report["stack.tif"]["status"].startswith("failed: ")


@pytest.mark.parametrize("make, words", [
    (lambda p: p / "nowhere", "no such file or folder"), (lambda p: p, "no images in this folder"),
])
def test_nothing_to_do(tmp_path, caplog, make, words):
    assert run("-i", make(tmp_path), "-o", tmp_path / "out") == 2 and words in caplog.text


def test_missing_weights(images, tmp_path, caplog):
    assert run("-i", images, "-o", tmp_path / "out", "--weights", tmp_path) == 2
    assert "router.safetensors" in caplog.text and "--weights" in caplog.text


def test_no_gpu(images, tmp_path, caplog, untrained_weights):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert run("-i", images, "-o", tmp_path / "out", "--weights", untrained_weights, "--device", "cuda") == 2
    assert "--device cpu" in caplog.text


def test_output_folder_that_cannot_be_made(images, tmp_path, caplog):
    (tmp_path / "file").touch()
    assert run("-i", images, "-o", tmp_path / "file") == 2 and "file" in caplog.text


@pytest.mark.parametrize("route", "0123")
def test_route(images, tmp_path, untrained_weights, route):
    report = tmp_path / "r.csv"
    assert run("-i", images / "float.tiff", "-o", tmp_path, "--weights", untrained_weights, "--route", route, "--report", report) == 0
    (row,) = csv.DictReader(report.open())
    assert row["class"] == route and row["class_probability"] == ""


def test_report_and_overlay(images, tmp_path, untrained_weights):
    out, report = tmp_path / "o", tmp_path / "r.csv"
    assert run("-i", images / "tissue.jpg", "-o", out, "--weights", untrained_weights, "--overlay", "--report", report) == 0
    (row,) = csv.DictReader(report.open())
    labels = tifffile.imread(out / row["labels"])
    assert int(row["cells"]) == labels.max() and (row["height"], row["width"], row["class"]) == ("300", "200", "0")
    assert row["axes"] == "YXS (RGB)" and float(row["class_probability"]) > 0.8 and float(row["tolerance_seconds"]) == 10
    assert cv2.imread(str(out / "tissue_overlay.png")).shape == (300, 200, 3)


def test_diameter(images, tmp_path, untrained_weights, caplog):
    """The working size follows the given diameter: the networks of the tests want 28 pixels."""
    report = tmp_path / "r.csv"
    common = ("-i", images / "tissue.jpg", "-o", tmp_path / "o", "--weights", untrained_weights, "--report", report)
    assert run(*common, "--diameter", "56") == 0
    (row,) = csv.DictReader(report.open())
    assert float(row["cell_diameter_px"]) == 56 and float(row["scale"]) == 0.5
    assert run(*common, "--diameter", "0") == 2 and "--diameter must be at least 1" in caplog.text


def test_tolerance():
    assert predict.time_tolerance(480, 640) == 10 and predict.time_tolerance(3000, 3000) == 90


def test_label_images_of_an_earlier_run_in_the_input_folder_are_not_segmented(images, tmp_path, untrained_weights, caplog):
    shutil.copy(images / "coins.png", tmp_path)
    for _ in range(2):
        assert run("-i", tmp_path, "-o", tmp_path, "--weights", untrained_weights) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["coins.png", "coins_label.tiff"]


def test_interrupt_leaves_no_broken_file(images, tmp_path, untrained_weights, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(tifffile, "imwrite", interrupted)
    assert run("-i", images, "-o", tmp_path / "out", "--weights", untrained_weights) == 130
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("error, words", [
    (MemoryError(), "not enough memory"), (OSError(28, "No space left on device"), "No space left on device; check the free space"),
    (RuntimeError("odd"), "RuntimeError: odd; run it again with -v"),
])
def test_whatever_happens_to_one_image_the_others_are_done(images, tmp_path, untrained_weights, monkeypatch, caplog, error, words):
    write = predict.write_labels

    def fails_once(path, *args):
        if path.name.startswith("float"):
            raise error
        write(path, *args)

    monkeypatch.setattr(predict, "write_labels", fails_once)
    assert run("-i", images, "-o", tmp_path, "--weights", untrained_weights) == 1
    assert f"float.tiff: {words}" in caplog.text and len(list(tmp_path.iterdir())) == 4


def test_help_is_instant_and_version():
    done = subprocess.run([sys.executable, "-X", "importtime", ROOT / "predict.py", "-h"], capture_output=True, text=True)
    assert done.returncode == 0 and "-i" in done.stdout and "torch" not in done.stderr
    done = subprocess.run([sys.executable, ROOT / "predict.py", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("multistream-cellseg ")


def test_predict_sh(images, tmp_path, untrained_weights):
    """Plain sh; two folders and options as arguments, from another working directory."""
    source = tmp_path / "my images"
    source.mkdir()
    shutil.copy(images / "float.tiff", source)
    environment = os.environ | {"PYTHON": sys.executable}
    command = ["sh", ROOT / "predict.sh", source, tmp_path / "my labels", "--weights", untrained_weights, "-q"]
    assert subprocess.run(command, cwd=tmp_path, env=environment).returncode == 0
    check_labels(tmp_path / "my labels" / "float_label.tiff", (64, 64))
    if not Path("/workspace/inputs").exists() and not Path("/inputs").exists():
        done = subprocess.run(["sh", ROOT / "predict.sh"], env=environment, capture_output=True, text=True)
        assert done.returncode == 2 and "/inputs" in done.stderr
