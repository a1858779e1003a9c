"""The command line, from files to files, with untrained networks: contract, errors, exit codes.

What it starts is in inference.running.batch and inference.running.run, its exit codes in inference.exit_codes; the
settings of inference.limits are changed here.
"""

import csv
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import zarr
from skimage.data import coins, immunohistochemistry

from inference.command_line import main, parse_arguments, request_of
from inference.door import Segmenter
from inference.limits import Limits
from inference.outputs import page
from inference.outputs.label_rows import LabelRows
from inference.outputs.label_tiff import holds_labels, write_label_tiff
from inference.reading.stores import StoreSettings
from inference.running import batch
from inference.running import run as running
from inference.running.provenance import Provenance
from models.checksums import sha256
from models.classes import CLASSES
from tests.helpers.own import everywhere, with_own
from tests.helpers.readers import InThisProcess

ROOT = Path(__file__).parents[1]


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


EXPECTED = {
    "coins.16bit_label.tiff": (303, 384),
    "coins_label.tiff": (97, 131),
    "float_label.tiff": (64, 64),
    "tissue_label.tiff": (300, 200),
    "TINY_label.tiff": (3, 5),
}


def run(*arguments):
    return main([str(a) for a in arguments])


def run_within(limits, *arguments, **more):
    """A run in which other images count as large."""
    return batch.run(replace(request_of(parse_arguments([str(a) for a in arguments])), limits=limits, **more))


def check_labels(path, shape):
    labels = tifffile.imread(path)
    assert labels.shape == shape
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) - {0} == set(range(1, int(labels.max()) + 1)), "cells are not numbered 1..n"
    return labels


def test_a_folder(images, tmp_path, untrained_weights):
    """One label image for each file, with its height and width, and nothing else in the folder."""
    assert run("-i", images, "-o", tmp_path / "new" / "out", "--weights", untrained_weights, "-q") == 0
    written = {p.name: p for p in (tmp_path / "new" / "out").iterdir()}
    assert set(written) == set(EXPECTED)
    cells = {name: check_labels(written[name], shape).max() for name, shape in EXPECTED.items()}
    assert cells["tissue_label.tiff"] > 10, "the rigged networks find cells"
    assert cells["coins_label.tiff"] > 10, "the rigged networks find cells"


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
    assert (
        run("-i", source, "-o", tmp_path / "out", "--weights", untrained_weights, "--report", tmp_path / "r.json") == 1
    )
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["good_label.tiff", "zlast_label.tiff"]
    errors = [r.getMessage() for r in caplog.records if r.levelname.lower() == "error"]
    for name in ("broken.png", "empty.tif", "stack.tif"):
        assert sum(name in e for e in errors) == 1
    assert "9 z planes" in caplog.text
    assert "notes.txt: skipped" in caplog.text
    assert "3 of 5 images failed" in caplog.text
    report = {row["image"]: row for row in json.loads((tmp_path / "r.json").read_text())}
    assert report["good.tiff"]["status"] == "done"
    assert report["stack.tif"]["status"].startswith("failed: ")


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda p: p / "nowhere", "no such file or folder"),
        (lambda p: p, "no images in this folder"),
    ],
)
def test_nothing_to_do(tmp_path, caplog, make, words):
    assert run("-i", make(tmp_path), "-o", tmp_path / "out") == 2
    assert words in caplog.text


def test_missing_weights(images, tmp_path, caplog):
    assert run("-i", images, "-o", tmp_path / "out", "--weights", tmp_path) == 2
    assert "router.safetensors" in caplog.text
    assert "--weights" in caplog.text


def test_no_gpu(images, tmp_path, caplog, untrained_weights):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert run("-i", images, "-o", tmp_path / "out", "--weights", untrained_weights, "--device", "cuda") == 2
    assert "--device cpu" in caplog.text


def test_output_folder_that_cannot_be_made(images, tmp_path, caplog):
    (tmp_path / "file").touch()
    assert run("-i", images, "-o", tmp_path / "file") == 2
    assert "file" in caplog.text


@pytest.mark.parametrize("route", "0123")
def test_route(images, tmp_path, untrained_weights, route):
    report = tmp_path / "r.csv"
    assert (
        run(
            "-i",
            images / "float.tiff",
            "-o",
            tmp_path,
            "--weights",
            untrained_weights,
            "--route",
            route,
            "--report",
            report,
        )
        == 0
    )
    (row,) = csv.DictReader(report.read_text().splitlines())
    assert row["class"] == CLASSES[int(route)].name
    assert row["class_probability"] == ""


def test_report_and_overlay(images, tmp_path, untrained_weights):
    out, report = tmp_path / "o", tmp_path / "r.csv"
    assert (
        run("-i", images / "tissue.jpg", "-o", out, "--weights", untrained_weights, "--overlay", "--report", report)
        == 0
    )
    (row,) = csv.DictReader(report.read_text().splitlines())
    labels = tifffile.imread(out / row["labels"])
    assert int(row["cells"]) == labels.max()
    assert (row["height"], row["width"]) == ("300", "200")
    # This router says binary, which colour cannot be.
    assert (row["class"], float(row["class_probability"])) == ("large colour", 0.5)
    assert row["axes"] == "YXS (RGB)"
    assert float(row["tolerance_seconds"]) == 10
    assert cv2.imread(str(out / "tissue_overlay.png")).shape == (300, 200, 3)


def test_a_network_for_images_of_ones_own(images, tmp_path, untrained_weights):
    """The report says for which images it ran, and whose network that was."""
    rows, sums = {}, {}
    for holds in (True, False):
        weights = with_own(untrained_weights, tmp_path / f"weights{holds}", 0, 1, everywhere(holds))
        report = tmp_path / f"{holds}.csv"
        options = ("--weights", weights, "--diameter", "28", "--report", report)
        assert run("-i", images / "float.tiff", "-o", tmp_path / f"{holds}", *options) == 0
        (rows[holds],) = csv.DictReader(report.read_text().splitlines())
        sums[holds] = sha256(weights / ("class0-own.safetensors" if holds else "class0.safetensors"))[:12]
    assert [rows[holds]["own_network"] for holds in (True, False)] == ["1", ""]
    assert rows[True]["class"] == rows[False]["class"] == "binary"
    assert [rows[holds]["weights"] for holds in (True, False)] == [*sums.values()]
    assert Segmenter(tmp_path / "weightsTrue", "cpu").facts.weights["binary, own"] == sums[True]


def test_diameter(images, tmp_path, untrained_weights):
    """The working size follows the given diameter: the networks of the tests want 28 pixels."""
    report = tmp_path / "r.csv"
    common = ("-i", images / "tissue.jpg", "-o", tmp_path / "o", "--weights", untrained_weights, "--report", report)
    assert run(*common, "--diameter", "56") == 0
    (row,) = csv.DictReader(report.read_text().splitlines())
    assert float(row["cell_diameter_px"]) == 56
    assert float(row["scale"]) == 0.5


def test_label_images_of_an_earlier_run_in_the_input_folder_are_not_segmented(
    images, tmp_path, untrained_weights, caplog
):
    shutil.copy(images / "coins.png", tmp_path)
    for _ in range(2):
        assert run("-i", tmp_path, "-o", tmp_path, "--weights", untrained_weights) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["coins.png", "coins_label.tiff"]


def test_interrupt_leaves_no_broken_file(images, tmp_path, untrained_weights, monkeypatch):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(tifffile.TiffWriter, "write", interrupted)
    assert run("-i", images, "-o", tmp_path / "out", "--weights", untrained_weights) == 130
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "error, words",
    [
        (MemoryError(), "not enough memory"),
        (OSError(28, "No space left on device"), "No space left on device; check the free space"),
        (RuntimeError("odd"), "RuntimeError: odd; run it again with -v"),
    ],
)
def test_whatever_happens_to_one_image_the_others_are_done(
    images, tmp_path, untrained_weights, monkeypatch, caplog, error, words
):
    write = running.write_label_tiff

    def fails_once(path, *args, **options):
        if path.name.startswith("float"):
            raise error
        write(path, *args, **options)

    monkeypatch.setattr(running, "write_label_tiff", fails_once)
    assert run("-i", images, "-o", tmp_path, "--weights", untrained_weights, "--diameter", "28") == 1
    assert f"float.tiff: {words}" in caplog.text
    assert len(list(tmp_path.iterdir())) == 4


def test_help_is_instant_and_version():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", ROOT / "predict.py", "-h"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "-i" in done.stdout
    assert "torch" not in done.stderr
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


@pytest.mark.parametrize("option", ["-h", "--version"])
def test_predict_sh_needs_no_folders_to_tell_about_itself(option):
    environment = os.environ | {"PYTHON": sys.executable}
    commands = [["sh", ROOT / "predict.sh", option], [sys.executable, ROOT / "predict.py", option]]
    said = [subprocess.run(c, env=environment, capture_output=True, check=True).stdout for c in commands]
    assert said[0] == said[1]


@pytest.mark.skipif(any(Path(p).exists() for p in ("/workspace/inputs", "/inputs")), reason="the folder is there")
def test_predict_sh_names_the_folder_that_is_missing():
    environment = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(["sh", ROOT / "predict.sh"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert "/inputs" in done.stderr


# Outputs, and which cells are in them


PRODUCT_NAMES = {
    "overlay": "tissue_overlay.png",
    "table": "tissue_cells.csv",
    "rois": "tissue_rois.zip",
    "geojson": "tissue.geojson",
    "cellpose": "tissue_seg.npy",
    "outlines": "tissue_cp_outlines.txt",
    "png": "tissue_label.png",
}


@pytest.mark.parametrize("in_memory", [True, False])
def test_all_outputs_at_once_tell_of_the_same_cells(images, tmp_path, untrained_weights, nothing_is_small, in_memory):
    out, options = tmp_path / "out", [f"--{option}" for option in PRODUCT_NAMES]
    arguments = (
        "-i",
        images / "tissue.jpg",
        "-o",
        out,
        "--weights",
        untrained_weights,
        "--diameter",
        "28",
        "--exclude-border",
        "--min-size",
        "30",
        "--page",
        tmp_path / "page.html",
        "--report",
        tmp_path / "r.json",
        *options,
    )
    assert run_within(Limits() if in_memory else nothing_is_small, *arguments) == 0
    assert {p.name for p in out.iterdir()} == {"tissue_label.tiff", *PRODUCT_NAMES.values()}
    labels = check_labels(out / "tissue_label.tiff", (300, 200))
    areas = np.bincount(labels.ravel())[1:]
    assert len(areas) > 3
    assert areas.min() >= 30
    assert not labels[[0, -1]].any(), "no cell touches the border"
    assert not labels[:, [0, -1]].any(), "no cell touches the border"
    with open(out / "tissue_cells.csv", newline="") as file:
        assert [int(row["area"]) for row in csv.DictReader(file)] == areas.tolist()
    features = json.loads((out / "tissue.geojson").read_text())["features"]
    assert [feature["properties"]["measurements"][0]["value"] for feature in features] == areas.tolist()
    assert len(zipfile.ZipFile(out / "tissue_rois.zip").namelist()) == len(areas)
    assert len((out / "tissue_cp_outlines.txt").read_text().splitlines()) == len(areas)
    assert np.array_equal(np.load(out / "tissue_seg.npy", allow_pickle=True).item()["masks"], labels)
    assert np.array_equal(cv2.imread(str(out / "tissue_label.png"), cv2.IMREAD_UNCHANGED), labels)
    assert cv2.imread(str(out / "tissue_overlay.png")).shape == (300, 200, 3)
    (row,) = json.loads((tmp_path / "r.json").read_text())
    assert row["cells"] == len(areas)
    assert row["removed_cells"] > 0
    assert len(row["weights"]) == 12
    assert row["version"]
    assert f"1 image, {len(areas)} cells" in (tmp_path / "page.html").read_text()


def test_results_are_not_taken_for_images(images, tmp_path, untrained_weights, caplog):
    """A folder may be the output folder too."""
    shutil.copy(images / "float.tiff", tmp_path)
    arguments = (
        "-i",
        tmp_path,
        "-o",
        tmp_path,
        "--weights",
        untrained_weights,
        "--diameter",
        "28",
        "--overlay",
        "--png",
    )
    assert run(*arguments) == 0
    assert run(*arguments, "--report", tmp_path / "r.json") == 0
    rows = json.loads((tmp_path / "r.json").read_text())
    assert [row["image"] for row in rows if not row["status"].startswith("skipped")] == ["float.tiff"]


def test_the_log_tells_what_was_found_and_ends_with_a_summary(images, tmp_path, untrained_weights, caplog):
    source = tmp_path / "in"
    source.mkdir()
    shutil.copy(images / "float.tiff", source)
    (source / "z.png").write_bytes(b"nothing")
    assert (
        run("-i", source, "-o", tmp_path / "out", "--weights", untrained_weights, "--diameter", "28", "--route", "gray")
        == 1
    )
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    assert re.fullmatch(r"float.tiff: \d+ cells of 28 px, gray, float_label.tiff, [\d.]+ s", lines[-2])
    assert re.fullmatch(r"2 images, \d+ cells, 1 failed; results are in .*out", lines[-1])


def test_a_resumed_run_keeps_the_page_of_the_earlier_one(images, tmp_path, untrained_weights):
    """Which has the pictures of the images that are kept; no other run does."""
    words = f"-o {tmp_path} --page {tmp_path / 'p.html'} --weights {untrained_weights}".split()
    arguments = ("-i", images / "float.tiff", *words)
    assert run(*arguments) == 0
    first = (tmp_path / "p.html").read_text()
    assert run(*arguments) == 0
    assert [path.name for path in tmp_path.glob("*.html")] == ["p.html"]
    for n in (1, 2):
        assert run(*arguments, "--resume") == 0
        assert (tmp_path / f"p-earlier-{n}.html").exists()
    assert (tmp_path / "p-earlier-1.html").read_text() == first
    assert "kept as an earlier run has left it" in (tmp_path / "p.html").read_text()


def test_a_folder_without_a_name_is_not_this_one(images, capsys):
    with pytest.raises(SystemExit):
        run("-i", images / "float.tiff", "-o", "")
    assert "an empty name (an unset variable?); give a folder" in capsys.readouterr().err


def test_warnings_are_in_report_and_page(images, tmp_path, untrained_weights):
    """One of a format that cannot hold the image, which is not a failure."""
    arguments = (
        "-i",
        images / "float.tiff",
        "-o",
        tmp_path,
        "--weights",
        untrained_weights,
        "--diameter",
        "28",
        "--png",
    )
    tables = ("--page", tmp_path / "p.html", "--report", tmp_path / "r.json")
    assert run_within(Limits(png_pixels=10), *arguments, *tables) == 0
    (row,) = json.loads((tmp_path / "r.json").read_text())
    assert row["status"] == "done"
    assert "float_label.png is not written: a PNG has no room" in row["warnings"]
    assert "a PNG has no room" in (tmp_path / "p.html").read_text()
    assert not (tmp_path / "float_label.png").exists()


def test_a_page_that_cannot_be_written_is_in_the_exit_code(images, tmp_path, untrained_weights, monkeypatch, caplog):
    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(page.Page, "write", full)
    arguments = ("-i", images / "coins.png", "-o", tmp_path, "--weights", untrained_weights, "--diameter", "28")
    assert run(*arguments, "--page", tmp_path / "p.html") == 1
    assert "the page cannot be written (No space left on device)" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["coins_label.tiff"]


def test_a_size_in_micrometres_needs_a_pixel_size(images, tmp_path, untrained_weights, caplog):
    arguments = ("-o", tmp_path, "--weights", untrained_weights, "--diameter", "28", "--max-size", "5um2")
    assert run("-i", images / "float.tiff", *arguments) == 2
    assert "float.tiff" in caplog.text
    assert "no pixel size" in caplog.text
    tifffile.imwrite(tmp_path / "a.tif", coins()[:64, :64], resolution=(10_000, 10_000), resolutionunit="CENTIMETER")
    assert run("-i", tmp_path / "a.tif", *arguments) == 0
    assert np.bincount(tifffile.imread(tmp_path / "a_label.tiff").ravel())[1:].max(initial=0) <= 5


@pytest.mark.parametrize(
    "option, value", [("--min-size", "few"), ("--overlay-colour", "pinkish"), ("--sensitivity", "5")]
)
def test_options_that_make_no_sense(images, tmp_path, capsys, option, value):
    with pytest.raises(SystemExit) as stopped:
        run("-i", images, "-o", tmp_path, option, value)
    assert stopped.value.code == 2
    assert value in capsys.readouterr().err


def test_all_images_of_a_run_are_treated_alike(tmp_path, untrained_weights):
    source = tmp_path / "in"
    source.mkdir()
    for n, brightness in enumerate((1.0, 0.2, 0.7)):
        cv2.imwrite(str(source / f"{n}.png"), (coins()[:96, :96] * brightness).astype(np.uint8))
    arguments = (
        "-i",
        source,
        "-o",
        tmp_path / "out",
        "--weights",
        untrained_weights,
        "--report",
        tmp_path / "r.json",
        "--brief",
    )
    assert run(*arguments, "--same-diameter", "--same-contrast") == 0
    rows = json.loads((tmp_path / "r.json").read_text())
    assert len({row["cell_diameter_px"] for row in rows}) == 1
    assert {row["diameter_from"] for row in rows} == {"all images"}
    assert len({row["contrast"] for row in rows}) == 1
    assert " to " in rows[0]["contrast"]
    assert "seconds" not in rows[0]


# Large images, and runs that are stopped


@pytest.fixture
def nothing_is_small(monkeypatch):
    """Images of more than 1,000 pixels are read by region; limits by which they are normalised and their labels written
    so.
    """
    monkeypatch.setattr(batch, "SafeReader", partial(InThisProcess, settings=StoreSettings(whole_bytes=1000)))
    return Limits(whole_pixels=1000, labels_in_memory=1000)


def write_zarr(path, pixels):
    """An OME-Zarr of channels, rows and columns."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", shape=pixels.shape, chunks=(1, 128, 128), dtype=pixels.dtype)[...] = pixels
    group.attrs["multiscales"] = [{"axes": [{"name": n} for n in "cyx"], "datasets": [{"path": "0"}]}]


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Three files that can be read by region, some windows high."""
    folder = tmp_path_factory.mktemp("slides")
    tissue = np.tile(immunohistochemistry(), (3, 1, 1))[:1300, :300]
    tifffile.imwrite(folder / "a.tif", tissue, photometric="rgb", tile=(128, 128), compression="zlib")
    tifffile.imwrite(folder / "b.tif", np.tile(coins(), (4, 1)).astype(np.uint16) * 200)
    write_zarr(folder / "c.ome.zarr", np.moveaxis(tissue[:600], 2, 0))
    return folder


SLIDES = {"a_label.tiff": (1300, 300), "b_label.tiff": (1212, 384), "c_label.tiff": (600, 300)}


@pytest.mark.parametrize("route", ["0", "1"])
def test_a_large_image_has_the_labels_of_a_small_one(slides, tmp_path, untrained_weights, request, route):
    """Both kinds of network; Hover's labels may be numbered in another order."""
    arguments = ("-i", slides, "--weights", untrained_weights, "--route", route, "--diameter", "28", "-q")
    assert run(*arguments, "-o", tmp_path / "whole") == 0
    limits = request.getfixturevalue("nothing_is_small")
    assert run_within(limits, *arguments, "-o", tmp_path / "rows", "--report", tmp_path / "r.json") == 0
    assert sorted(p.name for p in (tmp_path / "rows").iterdir()) == sorted(SLIDES)
    report = json.loads((tmp_path / "r.json").read_text())
    assert len(report) == len(SLIDES)
    for row in report:
        whole, labels = (
            check_labels(tmp_path / kind / row["labels"], SLIDES[row["labels"]]) for kind in ("whole", "rows")
        )
        assert np.array_equal(labels, whole)
        assert labels.max() > 2
        assert row["cells"] == labels.max()
        assert row["tiles"] > row["empty_tiles"] >= 0
        assert row["seam_cells"] >= 0 == row["cut_cells"]


def test_cells_across_seams_are_in_the_report(slides, tmp_path, untrained_weights):
    low_bands = Limits(decoded_pixels=1, fewest_decoded_rows=40)
    for route in ("0", "1"):
        assert (
            run_within(
                low_bands,
                "-i",
                slides / "a.tif",
                "-o",
                tmp_path,
                "--weights",
                untrained_weights,
                "--route",
                route,
                "--diameter",
                "28",
                "--report",
                tmp_path / f"{route}.csv",
            )
            == 0
        )
        (row,) = csv.DictReader((tmp_path / f"{route}.csv").read_text().splitlines())
        assert 0 < int(row["seam_cells"]) < int(row["cells"])


def test_a_zarr_folder_is_an_image(slides, tmp_path, untrained_weights):
    assert run("-i", slides / "c.ome.zarr", "-o", tmp_path, "--weights", untrained_weights, "--diameter", "28") == 0
    check_labels(tmp_path / "c_label.tiff", (600, 300))


def test_the_overlay_of_a_large_image_is_reduced(images, tmp_path, untrained_weights, nothing_is_small):
    limits = replace(nothing_is_small, shown_pixels=1000, small_pixels=7000)
    options = ("--weights", untrained_weights, "--overlay", "--overlay-colour", "yellow", "--diameter", "28")
    assert run_within(limits, "-i", images / "tissue.jpg", "-o", tmp_path, *options) == 0
    drawn = cv2.imread(str(tmp_path / "tissue_overlay.png"))
    labels = tifffile.imread(tmp_path / "tissue_label.tiff")
    assert drawn.shape == (100, 66, 3)
    outlined = (drawn == (0, 255, 255)).all(axis=2)
    assert outlined.any()
    assert not outlined[labels[::3, ::3][:, :66] == 0].any()


def test_progress_of_a_large_image_is_logged_where_there_is_no_terminal(slides, tmp_path, untrained_weights, caplog):
    arguments = ("-i", slides / "a.tif", "-o", tmp_path, "--weights", untrained_weights, "--diameter", "28")
    assert run(*arguments) == 0
    assert " left" not in caplog.text, "a quick image needs no such lines"
    assert run_within(Limits(), *arguments, seconds_between_lines=0.0) == 0
    lines = [r.getMessage() for r in caplog.records if r.getMessage().endswith(" left")]
    assert len(lines) == 4
    assert all(re.fullmatch(r"a\.tif: \d+ %, about \d+ min \d\d s left", line) for line in lines)
    assert [int(line.split()[1]) for line in lines] == [25, 50, 75, 100]
    assert lines[-1].endswith("about 0 min 00 s left")


def test_resume(slides, tmp_path, untrained_weights, caplog):
    """What is complete and fits is kept as it is; everything else is done again."""
    shutil.copytree(slides, tmp_path / "in")
    for name in ("d", "e", "f"):
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), coins()[:97, :131])
    arguments = (
        "-i",
        tmp_path / "in",
        "-o",
        tmp_path / "out",
        "--weights",
        untrained_weights,
        "--report",
        tmp_path / "r.json",
        "--diameter",
        "28",
        "--resume",
    )
    assert run(*arguments) == 0
    assert {row["status"] for row in json.loads((tmp_path / "r.json").read_text())} == {"done"}, (
        "there was nothing to keep"
    )
    out = tmp_path / "out"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    tags = {name: str(Provenance.of(out / f"{name}_label.tiff")) for name in "ad"}
    # No run would write it.
    write_label_tiff(out / "a_label.tiff", [LabelRows.of(np.zeros((1300, 300), np.int32))], software=tags["a"])
    (out / "b_label.tiff").write_bytes(before["b_label.tiff"][:-500])
    write_label_tiff(out / "d_label.tiff", [LabelRows.of(np.zeros((131, 97), np.int32))], software=tags["d"])
    (out / "e_label.tiff").unlink()
    (out / "f_label.tiff").write_bytes(b"")
    (out / ".0123456789abcdef.part").write_bytes(b"half")
    assert run(*arguments) == 0
    report = {row["image"]: row for row in json.loads((tmp_path / "r.json").read_text())}
    assert {name: row["status"] for name, row in report.items()} == {
        "a.tif": "kept",
        "b.tif": "done",
        "c.ome.zarr": "kept",
        "d.png": "done",
        "e.png": "done",
        "f.png": "done",
    }
    assert report["a.tif"]["labels"] == "a_label.tiff"
    assert (report["a.tif"]["height"], report["a.tif"]["width"]) == (
        1300,
        300,
    )
    assert tifffile.imread(out / "a_label.tiff").max() == 0
    assert "a.tif: kept" in caplog.text
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before | {
        "a_label.tiff": (out / "a_label.tiff").read_bytes()
    }
    assert run(*arguments[:-1]) == 0
    assert tifffile.imread(out / "a_label.tiff").max() > 0, "without --resume nothing is kept"


def start(*arguments, code=None):
    """The program in a process of its own, or a Python program that ends up in it."""
    program = [ROOT / "predict.py"] if code is None else ["-c", code, ROOT / "predict.py"]
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_killed_run_resumes(tmp_path, untrained_weights):
    """Killed as soon as there is a label file, nothing can be tidied up; the next run finishes the work and keeps what
    was done.
    """
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    for n in range(12):
        cv2.imwrite(str(source / f"{n:02}.png"), coins()[:200, :131])
    process = start("-i", source, "-o", out, "--weights", untrained_weights)
    while process.poll() is None and not list(out.glob("[0-9]*_label.tiff")):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "killed before it was done"
    process.communicate()
    left = {path.name for path in out.glob("[0-9]*_label.tiff")}
    assert 1 <= len(left) < 12
    assert all(holds_labels(out / name, (200, 131)) for name in left)
    assert (
        run("-i", source, "-o", out, "--weights", untrained_weights, "--resume", "--report", tmp_path / "r.json") == 0
    )
    assert sorted(p.name for p in out.iterdir()) == [f"{n:02}_label.tiff" for n in range(12)]
    rows = json.loads((tmp_path / "r.json").read_text())
    assert {row["labels"] for row in rows if row["status"] == "kept"} == left
    assert len({tifffile.imread(out / f"{n:02}_label.tiff").tobytes() for n in range(12)}) == 1, (
        "the same image, the same labels"
    )


BEGUN = """
import runpy, signal, sys
from inference.image import scaling
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
rows = scaling.WorkingImage.rows

def told(self, *arguments):
    print("begun", flush=True)
    return rows(self, *arguments)

scaling.WorkingImage.rows = told
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_a_large_image_at_once(tmp_path, untrained_weights, name):
    """Exit code 130 after less than two seconds of work, one line that says so, and nothing is left in the output
    folder.

    67 megapixels: the labels go to the disk as they come.
    """
    array = zarr.open_array(tmp_path / "slide.zarr", mode="w", shape=(8200, 8200), chunks=(512, 512), dtype="u1")
    array[:1024, :4096] = np.random.default_rng(0).integers(0, 255, (1024, 4096), np.uint8)
    out = tmp_path / "out"
    process = start(
        "-i", tmp_path / "slide.zarr", "-o", out, "--weights", untrained_weights, "--diameter", "28", code=BEGUN
    )
    assert process.stdout.readline() == "begun\n"

    def work():  # user and system time so far, in seconds; other programs on the machine do not count
        return sum(
            map(int, Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
        ) / os.sysconf("SC_CLK_TCK")

    before = after = work()
    process.send_signal(getattr(signal, name))
    while process.poll() is None:
        after = work()
        time.sleep(0.02)
    _, said = process.communicate()
    assert process.returncode == 130
    assert after - before < 2
    assert said.splitlines()[-1] == "error: interrupted; finished label files are complete"
    assert "Traceback" not in said
    assert list(out.iterdir()) == []
