"""The command line where files, folders, streams and weights are not as they should be: nothing is lost, and all is
said.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from skimage.data import coins

from inference.command_line import main
from models.checksums import write_checksums
from models.weights_folder import FILES
from tests.helpers.tags import ASCII, FLOAT, write_with_tags
from tests.inference.reading.test_safe_reading import CRASHING_PNG

ROOT = Path(__file__).parents[1]
COINS = coins()[:96, :128]


@pytest.fixture
def run(tmp_path, untrained_weights):
    """Function that runs the program from tmp_path / "in" to tmp_path / "out"; exit code, and status of each image in
    the report.
    """
    (tmp_path / "in").mkdir()

    def call(*options, out="out", weights=untrained_weights, report=tmp_path / "r.json"):
        code = main(
            [
                *map(
                    str,
                    (
                        "-i",
                        tmp_path / "in",
                        "-o",
                        tmp_path / out,
                        "--weights",
                        weights,
                        "--report",
                        report,
                        "--diameter",
                        28,
                        *options,
                    ),
                )
            ]
        )
        return code, {
            row["image"]: row["status"] for row in json.loads(report.read_text())
        } if report.suffix == ".json" else None

    return call


@pytest.fixture
def image(tmp_path):
    """Function that writes an image to tmp_path / "in"."""

    def write(name, pixels=COINS):
        cv2.imwrite(str(tmp_path / "in" / name), pixels)
        return tmp_path / "in" / name

    return write


@pytest.fixture
def labels(tmp_path):
    """Function that reads the labels of an image."""
    return lambda name: tifffile.imread(tmp_path / "out" / f"{name}_label.tiff")


# Resuming


def test_an_image_that_was_replaced_is_done_anew(tmp_path, run, image, labels):
    image("a.png"), image("b.png", np.fliplr(COINS))
    assert run()[0] == 0
    a, b = labels("a"), labels("b")
    (tmp_path / "in" / "a.png").rename(tmp_path / "c"), (tmp_path / "in" / "b.png").rename(tmp_path / "in" / "a.png")
    assert run("--resume") == (0, {"a.png": "done"})
    assert np.array_equal(labels("a"), b)
    (tmp_path / "c").rename(tmp_path / "in" / "a.png")
    assert run("--resume") == (0, {"a.png": "done"})
    assert np.array_equal(labels("a"), a)
    assert run("--resume") == (0, {"a.png": "kept"})


@pytest.mark.parametrize(
    "option",
    [
        ("--route", "1"),
        ("--sensitivity", "high"),
        ("--quick",),
        ("--exclude-border",),
        ("--min-size", "40"),
        ("--overlay",),
    ],
)
def test_other_options_are_done_anew(run, image, option):
    image("a.png")
    run()
    assert run("--resume", *option)[1] == {"a.png": "done"}
    assert run("--resume", *option)[1] == {"a.png": "kept"}


def test_other_weights_are_done_anew(tmp_path, run, image, untrained_weights):
    image("a.png")
    run()
    other = shutil.copytree(untrained_weights, tmp_path / "other")
    assert run("--resume", weights=other)[1] == {"a.png": "kept"}, "the same weights in another place"
    shutil.copy(other / "class2.safetensors", other / "class3.safetensors")
    shutil.copy(other / "class1.safetensors", other / "class0.safetensors")
    write_checksums(other, FILES)
    assert run("--resume", weights=other)[1] == {"a.png": "done"}


def test_the_report_of_a_resumed_run_is_that_of_the_whole(tmp_path, run, image):
    image("a.png")
    run("--max-size", "400")
    (before,) = json.loads((tmp_path / "r.json").read_text())
    image("b.png")
    assert run("--max-size", "400", "--resume")[1] == {"a.png": "kept", "b.png": "done"}
    rows = json.loads((tmp_path / "r.json").read_text())
    for name in ("class", "class_probability", "doubts", "cell_diameter_px", "removed_cells", "tiles", "weights"):
        assert [row[name] for row in rows] == [before[name]] * 2
    assert before["removed_cells"] is not None


def test_labels_that_were_damaged_are_done_anew(tmp_path, run, image, labels):
    image("a.png")
    run()
    path, right = tmp_path / "out" / "a_label.tiff", labels("a")
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].dataoffsets[0] + tiff.pages[0].databytecounts[0] // 2
    data = bytearray(path.read_bytes())
    data[place : place + 9] = bytes(9)
    path.write_bytes(data)
    assert run("--resume") == (0, {"a.png": "done"})
    assert np.array_equal(labels("a"), right)


# Files of others


def test_ground_truth_beside_the_images_is_not_written_over(tmp_path, run, image, caplog):
    image("a.png"), image("b.png")
    truth = tmp_path / "in" / "a_label.tiff"
    tifffile.imwrite(truth, np.ones((96, 128), np.uint16))
    before = truth.read_bytes()
    code, told = run(out="in")
    assert code == 1
    assert told["b.png"] == "done"
    assert "not written by this version of this program; --overwrite" in told["a.png"]
    assert truth.read_bytes() == before
    assert run("--overwrite", out="in")[0] == 0
    assert truth.read_bytes() != before
    assert run(out="in")[0] == 0, "now it is ours"


BESIDE = ("--cellpose", "--rois", "--geojson", "--table", "--outlines", "--png", "--overlay")


def test_a_correction_is_not_written_over(tmp_path, run, image):
    """Of any file beside the labels, also by options that are others; the image's other files stay, too."""
    image("a.png"), image("b.png")
    assert run(*BESIDE, "--route", "1")[0] == run(*BESIDE)[0] == 0
    out = tmp_path / "out"
    files = sorted(path for path in out.iterdir() if path.name.startswith("a"))
    assert len(files) == 1 + len(BESIDE)
    before = {path: path.read_bytes() for path in files}
    for path in files:
        if path.name == "a_label.tiff":
            continue
        path.write_bytes(before[path][:-1] + b"!")
        code, told = run(*BESIDE, "--dry-run", report=tmp_path / "dry.json")
        assert code == 1
        assert f"{path} was changed after this program wrote it; move it away to keep it" in told["a.png"]
        assert told["b.png"] == "to be done"
        path.write_bytes(before[path])
    path = out / "a_seg.npy"
    path.write_bytes(b"by hand")
    assert run(*BESIDE, "--resume")[1] == {"a.png": "kept", "b.png": "kept"}
    code, told = run(*BESIDE, "--route", "1")
    assert code == 1
    assert "a_seg.npy was changed" in told["a.png"]
    assert told["b.png"] == "done"
    assert {other for other in files if other.read_bytes() != before[other]} == {path}
    assert path.read_bytes() == b"by hand"
    assert run("--table")[0] == 0, "without --cellpose it is in nobody's way"
    assert run("--cellpose")[0] == 1
    path.rename(tmp_path / "a_seg.npy")
    assert run("--cellpose")[0] == 0
    path.write_bytes(b"by hand")
    assert run("--cellpose", "--overwrite")[0] == 0
    assert path.read_bytes() != b"by hand"
    assert run("--cellpose")[0] == 0, "now it is ours"


def test_an_image_of_another_part_is_not_written_over(tmp_path, untrained_weights, run, image, caplog):
    image("a.png")
    other = tmp_path / "in" / "a_label.tiff"
    tifffile.imwrite(other, COINS)
    before = other.read_bytes()
    words = ["-i", tmp_path / "in/a.png", other, "-o", tmp_path / "in", "--weights", untrained_weights, "--overwrite"]
    assert main([*map(str, words), "--part", "1/2"]) == 2
    assert other.read_bytes() == before
    assert "a_label.tiff" in caplog.text


def test_each_part_has_a_report_of_its_own(tmp_path, run, image, caplog):
    image("a.png"), image("b.png")
    (tmp_path / "report.json").write_text("[]")
    assert run("--part", "2/2", report=tmp_path / "report.json") == (2, {})
    assert "put the part's number into the name, such as report-2.json" in caplog.text
    (tmp_path / "disk2" / "all").mkdir(parents=True)
    (tmp_path / "disk2/all/report.json").write_text("[]")
    assert run("--part", "2/2", report=tmp_path / "disk2/all/report.json") == (2, {})
    (tmp_path / "part-2").mkdir()
    for name in ("report-2.json", "report-002.json", "part-2/report.json"):
        assert run("--part", "2/2", report=tmp_path / name) == (0, {"b.png": "done"})


def test_a_part_warns_of_its_own_names_alone(tmp_path, run, image, caplog):
    """Though they depend on those of the other parts."""
    image("a.x.png"), image("a.y.png"), image("a.z.png")
    report = tmp_path / "report-2.json"
    assert run("--part", "2/3", "--challenge-names", report=report) == (0, {"a.y.png": "done"})
    assert "a.y.png: another image has the same name" in caplog.text
    assert "a.z.png" not in caplog.text
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.y_label.tiff"]


def test_two_calls_do_not_write_over_each_other(tmp_path, run, image, labels):
    image("exp1.png")
    run()
    first = labels("exp1")
    (tmp_path / "in" / "exp1.png").unlink()
    image("exp1.bmp", np.fliplr(COINS))
    code, told = run()
    assert code == 2
    assert "exp1_label.tiff holds the labels of another image" in told["exp1.bmp"]
    assert np.array_equal(labels("exp1"), first)


# Files that are not as they should be


def test_the_others_are_done(tmp_path, run, image, labels):
    """A crash of a decoder, a pipe, a device, links: each is its file's error, and the exit code tells."""
    image("a.png"), image("z.png")
    source = tmp_path / "in"
    (source / "crash.png").write_bytes(CRASHING_PNG)
    os.mkfifo(source / "pipe.tif")
    (source / "zero.tif").symlink_to("/dev/zero")
    (source / "gone.tif").symlink_to("nowhere")
    (source / "circle.tif").symlink_to("circle.tif")
    code, told = run()
    assert code == 1
    assert {name for name, status in told.items() if status == "done"} == {"a.png", "z.png"}
    failed = {name: status for name, status in told.items() if status.startswith("failed: ")}
    assert set(failed) == {"crash.png", "pipe.tif", "zero.tif", "gone.tif", "circle.tif"}
    assert all(name in status for name, status in failed.items())
    assert labels("a").max() > 3
    assert labels("z").max() > 3


def test_half_an_ome_tiff_and_a_missing_partner(tmp_path, run):
    source = tmp_path / "in"
    tifffile.imwrite(source / "half.ome.tif", np.stack([COINS] * 3), metadata={"axes": "CYX"}, photometric="minisblack")
    content = (source / "half.ome.tif").read_bytes()
    (source / "half.ome.tif").write_bytes(content[: len(content) // 2])
    data = '<TiffData IFD="0" FirstC="{n}" PlaneCount="1"><UUID FileName="{n}.ome.tif">urn:uuid:{n}</UUID></TiffData>'
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0"><Image '
        'ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYCZT" Type="uint8" SizeX="128" SizeY="96" SizeC="2" SizeZ="1" SizeT="1"><Channel '
        'ID="Channel:0:0" SamplesPerPixel="1"/><Channel ID="Channel:0:1" '
        f'SamplesPerPixel="1"/>{data.format(n=0)}{data.format(n=1)}</Pixels></Image></OME>'
    )
    tifffile.imwrite(source / "0.ome.tif", COINS, description=xml, metadata=None)
    code, told = run()
    assert code == 2
    assert all("a part of the image is missing" in status for status in told.values())
    assert len(told) == 2


@pytest.mark.parametrize(
    "tags",
    [
        {282: ((4 * 10**9, 1), None), 283: ((4 * 10**9, 1), None)},
        {282: (1e12, FLOAT), 283: (1e12, FLOAT)},
        {282: (float("nan"), FLOAT), 283: ((1, 0), None)},
        {296: (0, None)},
        {296: (77, None)},
        {282: ("odd", ASCII)},
    ],
)
def test_harmless_metadata_costs_no_labels(tmp_path, run, labels, tags):
    write_with_tags(tmp_path / "in" / "a.tif", COINS, tags)
    code, told = run()
    assert code == 0
    assert told == {"a.tif": "done"}
    assert labels("a").shape == COINS.shape


def test_names_that_are_no_text_or_play_tricks(tmp_path, run, image, capfd):
    cv2.imwrite(str(tmp_path / "x.png"), COINS)
    for name in (b"\xff.png", b"a\x1b[2J\n.png", b"=1+1.png"):
        shutil.copy(tmp_path / "x.png", os.fsencode(tmp_path / "in") + b"/" + name)
    assert run("--page", tmp_path / "p.html")[0] == 0
    assert run(report=tmp_path / "r.csv")[0] == 0
    assert "'=1+1.png" in (tmp_path / "r.csv").read_text()
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_limits_of_the_user(run, image):
    image("a.png"), image("small.png", COINS[:30])
    code, told = run("--max-pixels", "1e4")
    assert code == 1
    assert told["small.png"] == "done"
    assert "128x96 pixels are more than the 10000 of --max-pixels" in told["a.png"]
    code, told = run("--timeout", "1e-3", "--overwrite")
    assert code == 2


# Where a report goes


@pytest.mark.parametrize("place", ["in/a.png", "/dev/stdout", "notes.csv", "in"])
def test_a_report_does_not_go_over_what_is_there(tmp_path, run, image, caplog, place):
    image("a.png")
    (tmp_path / "notes.csv").write_text("my notes")
    before = (tmp_path / "in" / "a.png").read_bytes()
    arguments = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--report", str(tmp_path / place)]
    assert main(arguments) == 2
    assert main([*arguments, "--dry-run"]) == 2
    assert "--report" in caplog.text
    assert (tmp_path / "in" / "a.png").read_bytes() == before
    assert (tmp_path / "notes.csv").read_text() == "my notes"


# Weights


def test_weights_that_were_exchanged(tmp_path, run, image, untrained_weights, caplog):
    image("a.png")
    weights = shutil.copytree(untrained_weights, tmp_path / "weights")
    router, other = (weights / "router.safetensors").read_bytes(), (weights / "class0.safetensors").read_bytes()
    (weights / "router.safetensors").write_bytes(other), (weights / "class0.safetensors").write_bytes(router)
    assert main(["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--weights", str(weights)]) == 2
    (said,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert "router.safetensors: a stardist network in the place of a router one" in said


def test_weights_that_changed(tmp_path, run, image, untrained_weights, caplog):
    """Found when all are verified, or when the network is loaded."""
    image("a.png")
    weights = shutil.copytree(untrained_weights, tmp_path / "weights")
    content = bytearray((weights / "class0.safetensors").read_bytes())
    content[-9] ^= 1
    (weights / "class0.safetensors").write_bytes(content)
    arguments = ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--weights", str(weights), "--route", "0"]
    for options in ([], ["--verify-weights"]):
        caplog.clear()
        assert main(arguments + options) == 2
        assert "class0.safetensors: damaged or another weights file" in caplog.text


# Streams


@pytest.mark.parametrize("redirection", ["2>&-", ">/dev/full 2>&1", "<&- >&- 2>&-", "2>&1 | head -c 1"])
def test_the_work_goes_on_whatever_becomes_of_the_streams(tmp_path, image, run, untrained_weights, redirection):
    image("a.png"), image("b.png")
    options = f"-v -i {tmp_path / 'in'} -o {tmp_path / 'out'} --weights {untrained_weights} --diameter 28"
    command = f"{sys.executable} {ROOT / 'predict.py'} {options}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} {redirection}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert done.returncode == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "a_label.tiff",
        "b_label.tiff",
    ]
