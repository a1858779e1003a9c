"""training.measure.benchmark with small programs in place of the real one: numbers, tables, files, failures, exit
codes.

The programs are started by training.measure.launching.
"""

import argparse
import csv
import shlex
import sys

import cv2
import numpy as np
import pytest
import tifffile

from inference.reading import Regions, open_image, read_image
from inference.reading.stores import StoreSettings
from training.measure import benchmark, launching, machine, rigged
from training.measure.benchmark import main, parse_size, typical
from training.measure.launching import Launch, fill, image_record, split_command
from training.measure.mosaic import make_image

FAKE = """
import json, shutil, struct, sys, time
from pathlib import Path
source, output = map(Path, sys.argv[1:3])
rows = []
for path in sorted(source.iterdir()):
    time.sleep(0.2)
    width, height = struct.unpack(">II", path.read_bytes()[16:24])  # of a PNG file
    size = f"{width}x{height}" if path.suffix == ".png" else path.stem.split("_")[1]
    shutil.copy(Path(__file__).with_name(f"{size}.tiff"), output / (path.name.split(".")[0] + "_label.tiff"))
    rows.append({"image": path.name, "status": "done", "cells": 7, "seconds": 0.2, "tolerance_seconds": 10.0,
                 "read_seconds": 0.05, "load_seconds": 0.03, "network_seconds": 0.12})
if len(sys.argv) > 3:
    Path(sys.argv[3]).write_text(json.dumps(rows))
"""


@pytest.fixture(autouse=True)
def no_torch(monkeypatch):
    monkeypatch.setattr(machine, "gpu", lambda: "none")


@pytest.fixture
def program(tmp_path):
    """Writes a program, with label images of some sizes beside it; gives its command line."""
    for width, height in ((40, 30), (1000, 1200), (150, 100)):
        tifffile.imwrite(tmp_path / f"{width}x{height}.tiff", np.zeros((height, width), np.uint16))

    def write(text, arguments="{input} {output} {report}"):
        path = tmp_path / "program.py"
        path.write_text(text)
        return f"{{python}} {shlex.quote(str(path))} {arguments}"

    return write


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for name, shape in {"a.png": (30, 40), "b.x.png": (1200, 1000, 3)}.items():
        cv2.imwrite(str(folder / name), np.zeros(shape, np.uint8))
    return folder


def rows_of(output):
    """The printed table as a list of {column: text}."""
    header, *lines = (line.split("  ") for line in output.split("\n\n")[1].splitlines())
    columns, *lines = ([word.strip() for word in words if word] for words in (header, *lines))
    return [dict(zip(columns, line, strict=True)) for line in lines]


def test_a_folder_image_by_image(program, images, tmp_path, capsys):
    command = program(FAKE)
    assert main(["--images", str(images), "--command", command, "--csv", str(tmp_path / "new" / "times.csv")]) == 0
    output = capsys.readouterr().out
    assert output.startswith("machine: ")
    assert "cores available" in output
    assert f"command: {command}" in output
    a, b = rows_of(output)
    assert list(a) == [
        "image",
        "size",
        "Mpx",
        "tolerance",
        "real",
        "over",
        "peak MB",
        "start+imports",
        "read",
        "weights",
        "network",
        "cells",
    ]
    assert (a["image"], a["size"], a["tolerance"]) == ("a.png", "40x30", "10.00")
    assert (b["image"], b["size"], b["tolerance"]) == ("b.x.png", "1000x1200", "12.00")
    assert (a["over"], a["read"], a["weights"], a["network"], a["cells"]) == ("0.00", "0.050", "0.030", "0.120", "7")
    with open(tmp_path / "new" / "times.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["image"] for line in lines] == ["a.png", "b.x.png"]
    for line in lines:
        assert float(line["real"]) >= 0.2
        assert int(line["peak MB"]) > 0
        assert line["failure"] == ""
        assert float(line["start+imports"]) == pytest.approx(float(line["real"]) - 0.2, abs=2e-4)


def test_throughput(program, images, capsys):
    """One start for both images; sums of the stages."""
    assert main(["--images", str(images), "--throughput", "--command", program(FAKE)]) == 0
    (row,) = rows_of(capsys.readouterr().out)
    assert row["images"] == "2"
    assert row["Mpx"] == "1.20"
    assert row["network"] == "0.240"
    assert row["cells"] == "14"
    assert float(row["images/s"]) == pytest.approx(2 / float(row["real"]), rel=0.02, abs=0.001)
    assert float(row["Mpx/s"]) == pytest.approx(1.2012 / float(row["real"]), rel=0.02, abs=0.001)


def test_made_images_repeats_and_kept_files(program, tmp_path, capsys):
    """Without a report there are no stages; every run is in the CSV file, one in the table."""
    kept = tmp_path / "kept"
    assert (
        main(
            [
                "--sizes",
                "150x100",
                "--look",
                "both",
                "--repeat",
                "2",
                "--keep",
                str(kept),
                "--csv",
                str(tmp_path / "times.csv"),
                "--command",
                program(FAKE, "{input} {output}"),
            ]
        )
        == 0
    )
    colour, gray = rows_of(capsys.readouterr().out)
    assert (colour["image"], colour["size"], gray["image"]) == ("colour_150x100.tif", "150x100", "gray_150x100.tif")
    assert set(colour) == {"image", "size", "Mpx", "tolerance", "real", "over", "peak MB"}
    assert len((tmp_path / "times.csv").read_text().splitlines()) == 1 + 2 * 2
    assert [read_image(kept / "images" / r["image"]).pixels.shape for r in (colour, gray)] == [
        (100, 150, 3),
        (100, 150),
    ]
    assert tifffile.imread(kept / "gray_150x100.tif" / "run1" / "out" / "gray_150x100_label.tiff").shape == (100, 150)
    assert main(["--sizes", "150x100", "--keep", str(kept)]) == 2, "files would mix"


@pytest.mark.parametrize(
    "text, failure, said",
    [
        ("print('no such weights'); raise SystemExit(3)", "exit code 3", "no such weights"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9", "(it printed nothing)"),
        ("", "no a_label.tiff written", ""),
        ("import sys; open(sys.argv[2] + '/a_label.tiff', 'w').write('x' * 99)", "a_label.tiff is not a TIFF", ""),
        (
            "import shutil, sys; shutil.copy(sys.path[0] + '/150x100.tiff', sys.argv[2] + '/a_label.tiff')",
            "a_label.tiff has shape (100, 150), expected (30, 40)",
            "",
        ),
    ],
)
def test_failures(program, images, capsys, caplog, text, failure, said):
    (images / "b.x.png").unlink()
    assert main(["--images", str(images), "--command", program(text)]) == 1
    (row,) = rows_of(capsys.readouterr().out)
    assert row["failure"] == failure
    assert f"{failure}; the command's last lines" in caplog.text
    assert said in caplog.text


def test_an_unusable_report_is_left_out(program, images, capsys, caplog):
    assert main(["--images", str(images), "--command", program(FAKE.replace('"status"', '"state"'))]) == 0
    assert "start+imports" not in rows_of(capsys.readouterr().out)[0]
    assert "report.json: not a report" in caplog.text


def test_memory_is_that_of_the_largest_process_started_not_of_the_benchmark(program, images, capsys):
    """The 150 MB are in a child of the command; what this process holds does not count."""
    (images / "b.x.png").unlink()
    held = np.ones(150 * 2**20, np.uint8)
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'b = bytearray(%d * 2**20)'])\n"
    peaks = []
    for megabytes in (1, 150):
        assert main(["--images", str(images), "--command", program(child % megabytes)]) == 1, "writes no labels"
        peaks.append(int(rows_of(capsys.readouterr().out)[0]["peak MB"]))
    assert peaks[0] < 100
    assert 150 <= peaks[1] < 250
    assert held.size


def test_over_the_tolerance():
    """10 s up to a million pixels, in proportion above; only time beyond it counts."""

    def over(shape, seconds):
        record = image_record("a", shape, Launch(seconds, None))
        return record["tolerance"], record["over"]

    assert over((480, 640), 9.5) == (10, 0)
    assert over((480, 640), 12.5) == (10, 2.5)
    assert over((8415, 10496), 900) == pytest.approx((883.2384, 16.7616))


def test_exit_code_of_a_late_image(program, images, monkeypatch, capsys):
    monkeypatch.setattr(launching, "time_tolerance", lambda height, width: 0.05)
    assert main(["--images", str(images), "--command", program(FAKE)]) == 1
    over = [float(row["over"]) for row in rows_of(capsys.readouterr().out)]
    assert len(over) == 2
    assert min(over) >= 0.15


def test_typical_run():
    records = [{"real": seconds, "failure": ""} for seconds in (5.0, 1.0, 3.0)]
    assert typical(records)["real"] == 3
    assert typical(records[:2])["real"] == 1
    assert typical([*records, {"real": 9.0, "failure": "exit code 1"}])["real"] == 9


def test_the_typical_run_beside_another_version():
    """Each has its own median, whichever runs they are of."""
    records = [{"real": r, "before": b, "ratio": r / b, "failure": ""} for r, b in ((5.0, 1.0), (1.0, 2.0), (3.0, 4.0))]
    assert typical(records) == {"real": 3.0, "before": 2.0, "ratio": 1.5, "failure": ""}
    assert typical([*records, {"real": 9.0, "before": 9.0, "ratio": 1.0, "failure": "before: exit code 1"}])["failure"]


@pytest.fixture
def versions(program, tmp_path):
    """This version's command, and the folder of an older one that writes no report and takes longer. Both say in a file
    when they were started.
    """
    told = f"\nopen({str(tmp_path / 'starts')!r}, 'a').write(%r)\n"
    (tmp_path / "old").mkdir()
    for size in ("40x30", "1000x1200"):
        (tmp_path / "old" / f"{size}.tiff").write_bytes((tmp_path / f"{size}.tiff").read_bytes())
    slow = FAKE.replace("sleep(0.2)", "sleep(0.6)").partition("if len(sys.argv)")[0]
    (tmp_path / "old" / "predict.py").write_text(slow + told % "b")
    program(FAKE + told % "a")
    (tmp_path / "program.py").rename(tmp_path / "predict.py")
    return f"{{python}} {shlex.quote(str(tmp_path / 'predict.py'))} {{input}} {{output}} {{report}}", tmp_path / "old"


def test_another_version_is_timed_in_turn(versions, images, tmp_path, capsys):
    command, old = versions
    options = ["--images", str(images), "--command", command, "--before", str(old)]
    assert main([*options, "--repeat", "2", "--csv", str(tmp_path / "times.csv")]) == 0
    assert (tmp_path / "starts").read_text() == "abababab"
    for row in rows_of(capsys.readouterr().out):
        assert 0.2 <= float(row["real"]) < float(row["before"]) - 0.2
        assert float(row["ratio"]) == pytest.approx(float(row["real"]) / float(row["before"]), abs=0.02)
        assert row["network"] == "0.120", "the stages are this version's"
    with open(tmp_path / "times.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 2 * 2
    for line in lines:
        assert float(line["ratio"]) == pytest.approx(float(line["real"]) / float(line["before"]), abs=1e-3)
    assert main([*options, "--throughput"]) == 0
    (row,) = rows_of(capsys.readouterr().out)
    assert float(row["real"]) + 0.5 < float(row["before"])


def test_a_version_that_fails(versions, images, capsys):
    command, old = versions
    (old / "predict.py").write_text("raise SystemExit(3)")
    assert main(["--images", str(images), "--command", command, "--before", str(old)]) == 1
    assert [row["failure"] for row in rows_of(capsys.readouterr().out)] == ["before: exit code 3"] * 2


@pytest.mark.parametrize(
    "command, folder, said", [(None, "nowhere", "no predict.py there"), ("sh", "old", "exchanges")]
)
def test_a_version_that_cannot_be_timed(versions, images, tmp_path, caplog, command, folder, said):
    options = ["--command", f"{command} {{input}} {{output}}"] if command else []
    assert main(["--images", str(images), "--before", str(tmp_path / folder), *options]) == 2
    assert said in caplog.text


def test_a_container_has_unknown_memory(images, monkeypatch, capsys):
    monkeypatch.setattr(launching.shutil, "which", lambda program: sys.executable)
    monkeypatch.setattr(launching, "fill", lambda words, source, output: ["true"])
    assert (
        main(["--images", str(images), "--command", "docker run -v {input}:/inputs -v {output}:/outputs cellseg"]) == 1
    )
    assert [row["peak MB"] for row in rows_of(capsys.readouterr().out)] == ["unknown"] * 2


def test_placeholders(tmp_path, monkeypatch):
    monkeypatch.setattr(launching.shutil, "which", lambda program: program)
    words = split_command("docker run -v {input}/:/in -v '{output}:/out dir' --format {{json}} image")
    assert fill(words, tmp_path / "a b", tmp_path / "o") == [
        "docker",
        "run",
        "-v",
        f"{tmp_path}/a b/:/in",
        "-v",
        f"{tmp_path}/o:/out dir",
        "--format",
        "{{json}}",
        "image",
    ]
    assert fill(["{python}", "-r={report}"], tmp_path, tmp_path / "o") == [
        sys.executable,
        f"-r={tmp_path}/o/report.json",
    ]


@pytest.mark.parametrize(
    "command, message",
    [
        ("{python} x.py -o {output}", "no {input} in it"),
        ("{python} x.py -i {input}", "no {output} in it"),
        ("no-such-program {input} {output}", "no program 'no-such-program' on this machine"),
    ],
)
def test_unusable_commands(images, caplog, command, message):
    assert main(["--images", str(images), "--command", command]) == 2
    assert message in caplog.text


def test_encoder(images, monkeypatch, capsys, caplog):
    """The program gets a folder of untrained networks of that size, with a command of one's own or with the default
    one.
    """
    monkeypatch.setattr(
        rigged, "write_rigged_weights", lambda folder, encoder: (folder.mkdir(), (folder / encoder).touch())
    )
    look = '{python} -c "import os, sys; print(os.listdir(sys.argv[1]))" {weights} {input} {output}'
    assert main(["--images", str(images), "--encoder", "convnext_tiny", "--command", look]) == 1, "writes no labels"
    assert "['convnext_tiny']" in caplog.text
    assert main(["--images", str(images), "--command", look]) == 2
    assert main(["--images", str(images), "--encoder", "convnext_tiny", "--command", "true {input} {output}"]) == 2
    assert caplog.text.count("give both, or neither") == 2
    assert "{weights}" in benchmark.ENCODER_COMMAND
    assert "{weights}" not in launching.DEFAULT_COMMAND


def test_sizes():
    assert parse_size("640x480") == parse_size("640*480") == (480, 640)
    for text in ("640", "0x480", "640x-1", "640x480x3", "6.5x4"):
        with pytest.raises(argparse.ArgumentTypeError, match="WIDTHxHEIGHT"):
            parse_size(text)
    assert benchmark.parse_arguments(["--paper-sizes"]).sizes[-1] == (8415, 10496)
    assert benchmark.parse_arguments(["--sizes", "3x2", "5x4"]).sizes == [(2, 3), (4, 5)]
    with pytest.raises(SystemExit):
        benchmark.parse_arguments([])


def test_plot(program, images, tmp_path):
    pytest.importorskip("matplotlib")
    assert (
        main(["--images", str(images), "--command", program(FAKE), "--plot", str(tmp_path / "new" / "times.png")]) == 0
    )
    both = read_image(tmp_path / "new" / "times.png").pixels
    record = {"Mpx": 1.0, "real": 2.0, "peak MB": None, "failure": ""}
    benchmark.write_plot(tmp_path / "alone.png", [record], "a container")
    alone = read_image(tmp_path / "alone.png").pixels
    assert both.shape[2] == 3
    assert both.shape[1] > 1.5 * alone.shape[1], "a panel for the memory, where it is known"


def test_large_images_are_made_in_tiles_and_read_by_region(tmp_path):
    """Equal to the image in one piece; nothing but its tiles is read for a region."""
    sources, _ = benchmark.read_cells(benchmark.ROOT / "tests/images", "colour")
    args = benchmark.parse_arguments(["--sizes", "700x1100", "--seed", "3"])
    benchmark.make_images(args, tmp_path / "made")
    made = tmp_path / "made" / "colour_700x1100.tif"
    pixels = open_image(made, settings=StoreSettings(whole_bytes=0)).pixels
    image = make_image(sources, 1100, 700, 3)
    assert isinstance(pixels, Regions)
    assert np.array_equal(pixels[:, :], image)
    assert np.array_equal(pixels[513:1000, 100:650], image[513:1000, 100:650])


def test_plot_without_matplotlib(images, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["--images", str(images), "--plot", "times.png"]) == 2
    assert "pip install matplotlib" in caplog.text
