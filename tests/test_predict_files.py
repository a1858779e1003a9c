"""The command line's options for what is read and how results are named, from files to label files."""

import csv
import json
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
from inference.outputs import cell_table
from inference.running import run as running

ROOT = Path(__file__).parents[1]
COINS = coins()[:96, :128]


@pytest.fixture
def run(tmp_path, untrained_weights):
    """Function that runs the program into tmp_path / "out" and returns the exit code, the label files and the lines of
    the report. Cells are not measured, which with untrained networks takes long, unless it is asked for."""

    def call(*arguments, measured=False):
        report = tmp_path / "report.json"
        report.unlink(missing_ok=True)
        measured = measured or "--diameter" in arguments or "--same-diameter" in arguments
        code = main(
            [
                *map(str, arguments),
                *([] if measured else ["--diameter", "28"]),
                "-o",
                str(tmp_path / "out"),
                "--weights",
                str(untrained_weights),
                "--report",
                str(report),
            ]
        )
        written = {
            str(p.relative_to(tmp_path / "out")): tifffile.imread(p) for p in sorted((tmp_path / "out").rglob("*.tiff"))
        }
        return code, written, json.loads(report.read_text()) if report.exists() else []

    return call


def write_positions(path, *pixels, axes="YX"):
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for one in pixels:
            tiff.write(one, metadata={"axes": axes}, photometric="minisblack")
    return path


def test_several_inputs_a_pattern_and_a_list(tmp_path, run):
    for name in ("a.png", "b1.png", "b2.png", "c.png"):
        cv2.imwrite(str(tmp_path / name), COINS)
    (tmp_path / "list.txt").write_text("c.png\nlost.png\n")
    code, written, rows = run("-i", tmp_path / "a.png", tmp_path / "b?.png", "--list", tmp_path / "list.txt")
    assert code == 1
    assert list(written) == [f"{n}_label.tiff" for n in ("a", "b1", "b2", "c")]
    assert {row["image"]: row["status"][:6] for row in rows} == {
        "a.png": "done",
        "b1.png": "done",
        "b2.png": "done",
        "c.png": "done",
        "lost.png": "failed",
    }
    assert len({labels.tobytes() for labels in written.values()}) == 1


def test_recursive_keeps_the_structure_and_skips_are_in_the_report(tmp_path, run, caplog):
    (tmp_path / "in" / "day 1").mkdir(parents=True)
    for name in ("a.png", "day 1/a.png", "a_cp_masks.png"):
        cv2.imwrite(str(tmp_path / "in" / name), COINS)
    (tmp_path / "in" / "notes.txt").write_text("x")
    code, written, rows = run("-i", tmp_path / "in")
    assert code == 0
    assert list(written) == ["a_label.tiff"]
    assert sorted(row["status"].split(":")[0] for row in rows) == ["done", "skipped", "skipped", "skipped"]
    assert "3 files and folders skipped" in caplog.text
    assert "--recursive" in caplog.text
    code, written, rows = run("-i", tmp_path / "in", "--recursive")
    assert code == 0
    assert list(written) == ["a_label.tiff", "day 1/a_label.tiff"]
    assert {row["image"] for row in rows if row["status"] == "done"} == {"a.png", "day 1/a.png"}


def test_names(tmp_path, run, caplog):
    """Each file alone and all together: the same names; two that differ in the ending alone stop the run before it
    begins."""
    for name in ("a.b.png", "a.c.png"):
        cv2.imwrite(str(tmp_path / name), COINS)
        assert run("-i", tmp_path / name)[0] == 0
    assert list(run("-i", tmp_path / "a.b.png")[1]) == ["a.b_label.tiff", "a.c_label.tiff"]
    tifffile.imwrite(tmp_path / "a.b.tif", COINS)
    shutil.rmtree(tmp_path / "out")
    assert run("-i", tmp_path / "*.*") == (2, {}, [])
    assert "a.b.png and" in caplog.text
    assert "--full-names" in caplog.text
    assert list(run("-i", tmp_path / "*.*", "--full-names")[1]) == [
        f"{n}_label.tiff" for n in ("a.b.png", "a.b.tif", "a.c.png")
    ]
    shutil.rmtree(tmp_path / "out")
    assert list(run("-i", tmp_path / "*.*", "--challenge-names")[1]) == [f"{n}_label.tiff" for n in ("a.b", "a.c", "a")]


def test_every_position(tmp_path, run):
    pixels = [COINS.astype(np.uint16), np.zeros((50, 60), np.uint16), COINS[:60].astype(np.uint16)]
    path = write_positions(tmp_path / "a.ome.tif", *pixels)
    code, written, rows = run("-i", path)
    assert code == 0
    assert [labels.shape for labels in written.values()] == [(96, 128), (50, 60), (60, 128)]
    assert list(written) == ["a_s1_label.tiff", "a_s2_label.tiff", "a_s3_label.tiff"]
    assert [row["images"] for row in rows] == [3, 3, 3]
    before = written.pop("a_s3_label.tiff")
    shutil.rmtree(tmp_path / "out")
    code, written, rows = run("-i", path, "--series", "3")
    assert code == 0
    assert list(written) == ["a_s3_label.tiff"]
    assert np.array_equal(written["a_s3_label.tiff"], before)
    assert rows[0]["series"].startswith("3")


def test_channels(tmp_path, run, caplog):
    """A chosen channel has the labels of a file of this channel alone; what is not there is a failed image."""
    path = tmp_path / "a.ome.tif"
    stack = np.stack([np.zeros_like(COINS), COINS, COINS // 3, COINS // 5])
    tifffile.imwrite(
        path, stack, metadata={"axes": "CYX", "Channel": {"Name": ["w", "x", "y", "z"]}}, photometric="minisblack"
    )
    tifffile.imwrite(tmp_path / "b.tif", COINS)
    _, written, _ = run("-i", path, "--channels", "x")
    _, alone, _ = run("-i", tmp_path / "b.tif")
    assert np.array_equal(written["a_label.tiff"], alone["b_label.tiff"])
    assert written["a_label.tiff"].max() > 5
    assert "a.ome.tif: read as OME-TIFF, CYX (x of 4), 128x96 pixels of uint8" in caplog.text
    code, _, rows = run("-i", path)
    assert code == 2
    assert "4 channels (1 w, 2 x, 3 y, 4 z)" in rows[0]["status"]
    assert "--channels" in rows[0]["status"]
    assert run("-i", path, "--channels", "y+z,x")[0] == 0


def test_a_stack_of_labels(tmp_path, run):
    """As many pages as planes, cells numbered on, the second run keeps it; projections and planes are single images."""
    stack = np.stack([COINS, np.zeros_like(COINS), np.fliplr(COINS)])
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "ZYX"}, photometric="minisblack")
    code, written, rows = run("-i", tmp_path / "a.ome.tif", "--z", "each", "--overlay")
    labels = written["a_label.tiff"]
    assert code == 0
    assert labels.shape == stack.shape
    assert labels[1].max() == 0
    assert rows[0]["planes"] == 3
    assert rows[0]["cells"] == labels.max() == len(np.unique(labels)) - 1
    assert labels[2][labels[2] > 0].min() == labels[0].max() + 1
    assert {p.name for p in (tmp_path / "out").glob("*.png")} == {f"a_z{z}_overlay.png" for z in (1, 2, 3)}
    assert run("-i", tmp_path / "a.ome.tif", "--z", "each", "--resume")[2][0]["status"] == "kept"
    for how in ("1", "max", "mean"):
        code, written, _ = run("-i", tmp_path / "a.ome.tif", "--z", how, "--resume")
        assert code == 0
        assert written["a_label.tiff"].shape == COINS.shape
        (tmp_path / "out" / "a_label.tiff").unlink()
    assert run("-i", tmp_path / "a.ome.tif")[0] == 2


def test_outlines_lie_in_the_plane_of_the_file_that_was_chosen(tmp_path, run):
    stack = np.stack([[COINS] * 2] * 3)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "TZYX"}, photometric="minisblack")
    for z, name in (("2", "a.geojson"), ("each", "a_z2.geojson")):
        assert run("-i", tmp_path / "a.ome.tif", "--t", "3", "--z", z, "--geojson")[0] == 0
        first = json.loads((tmp_path / "out" / name).read_text())["features"][0]
        assert first["geometry"]["plane"] == {"c": -1, "z": 1, "t": 2}


def test_a_stack_keeps_the_files_of_all_its_planes(tmp_path, run):
    """When it is done anew, and where files are written over."""
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([COINS] * 3), metadata={"axes": "ZYX"}, photometric="minisblack")
    words = ("-i", tmp_path / "a.ome.tif", "--z", "each", "--table")
    for more in ((), (), ("--overwrite",)):
        assert run(*words, *more)[0] == 0
        assert {p.name for p in (tmp_path / "out").glob("*.csv")} == {f"a_z{z}_cells.csv" for z in (1, 2, 3)}


@pytest.mark.parametrize(
    "module, name, left",
    [(running, "check_memory", []), (cell_table, "write_cell_table", ["a_z1_cells.csv"])],
    ids=["between its planes", "amid their tables"],
)
def test_a_stack_that_was_stopped_is_done_by_the_next_run(tmp_path, run, monkeypatch, module, name, left):
    path, true, calls = tmp_path / "a.ome.tif", getattr(module, name), []
    stack = np.stack([COINS, np.fliplr(COINS), np.flipud(COINS)])
    tifffile.imwrite(path, stack, metadata={"axes": "ZYX"}, photometric="minisblack")
    words = ("-i", path, "--z", "each", "--table")

    def stop(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return true(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, stop)
        assert run(*words)[0] == 130
    assert [p.name for p in (tmp_path / "out").glob("*.csv")] == left
    code, written, _ = run(*words, "--resume")
    assert code == 0
    texts = [(tmp_path / "out" / f"a_z{z}_cells.csv").read_text().splitlines() for z in (1, 2, 3)]
    tables = [list(csv.DictReader(lines)) for lines in texts]
    areas = np.bincount(written["a_label.tiff"].ravel())[1:].tolist()
    assert [int(row["area"]) for table in tables for row in table] == areas
    assert [int(row["label"]) for table in tables for row in table] == list(range(1, len(areas) + 1))


def test_corrections_of_a_stacks_planes_are_not_written_over(tmp_path, run):
    """Nor those of its projection, whose labels those of the planes have replaced."""
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([COINS] * 3), metadata={"axes": "ZYX"}, photometric="minisblack")
    words = ("-i", tmp_path / "a.ome.tif", "--cellpose", "--diameter", "28", "--z")
    for z in ("max", "each", "max", "each"):
        assert run(*words, z)[0] == 0
    for name, z in (("a_z2_seg.npy", "each"), ("a_seg.npy", "max")):
        path = tmp_path / "out" / name
        before = path.read_bytes()
        path.write_bytes(b"by hand")
        code, _, (row,) = run(*words, z)
        assert code == 2
        assert f"{name} was changed after this program wrote it" in row["status"]
        assert path.read_bytes() == b"by hand"
        path.write_bytes(before)
    assert run(*words, "each")[0] == run(*words, "max")[0] == 0


def test_a_plane_of_a_stack_is_segmented_as_it_is_alone(tmp_path, run):
    """With the class, sizes and doubts of the middle one."""
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([COINS] * 3), metadata={"axes": "ZYX"}, photometric="minisblack")
    _, alone, (one,) = run("-i", tmp_path / "a.ome.tif", "--z", "2", measured=True)
    (tmp_path / "out" / "a_label.tiff").unlink()
    _, stack, (row,) = run("-i", tmp_path / "a.ome.tif", "--z", "each", measured=True)
    assert np.array_equal(stack["a_label.tiff"][0], alone["a_label.tiff"])
    assert one["class_probability"] is not None
    for name in ("class", "class_probability", "uncertain_route", "doubts", "size_agreement", "second_diameter_px"):
        assert row[name] == one[name], name
    assert one["warnings"]
    assert row["warnings"] == one["warnings"], "once for all planes"


def test_a_table_of_other_labels_is_told(tmp_path, run):
    """Not one of the same labels, nor one that is gone."""
    cv2.imwrite(str(tmp_path / "a.png"), COINS)
    run("-i", tmp_path / "a.png", "--table")
    (same,) = run("-i", tmp_path / "a.png", "--overlay")[2]
    assert "other labels" not in (same["warnings"] or "")
    (other,) = run("-i", tmp_path / "a.png", "--overlay", "--max-size", "400")[2]
    assert "a.png: a_cells.csv is of other labels" in other["warnings"]
    (tmp_path / "out" / "a_cells.csv").unlink()
    (gone,) = run("-i", tmp_path / "a.png", "--overlay", "--max-size", "300")[2]
    assert "other labels" not in (gone["warnings"] or "")


def test_files_of_other_planes_are_told(tmp_path, run):
    """Of a projection beside the labels of all planes, and the other way round; not those of another image."""
    tifffile.imwrite(tmp_path / "a.ome.tif", np.stack([COINS] * 2), metadata={"axes": "ZYX"}, photometric="minisblack")
    words = ("-i", tmp_path / "a.ome.tif", "--table", "--diameter", "28")
    (row,) = run(*words, "--z", "max")[2]
    assert "other labels" not in (row["warnings"] or "")
    (row,) = run(*words, "--z", "each")[2]
    assert row["warnings"].count("other labels") == row["warnings"].count("a_cells.csv is of other labels") == 1
    (tmp_path / "out" / "a_cells.csv").unlink()
    (row,) = run(*words, "--z", "each", "--max-size", "400")[2]
    assert "other labels" not in (row["warnings"] or "")
    (row,) = run(*words, "--z", "max")[2]
    assert "a_z1_cells.csv is of other labels than these; make" in row["warnings"]
    tifffile.imwrite(tmp_path / "out" / "a_z1_label.tiff", COINS)  # of a_z1.tif
    (row,) = run(*words, "--z", "mean")[2]
    assert "other labels" not in (row["warnings"] or "")


def test_a_planes_files_are_not_those_of_another_image(tmp_path, run):
    """Also where files are written over; the stack's are there."""
    stack = np.stack([COINS] * 2)
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "ZYX"}, photometric="minisblack")
    cv2.imwrite(str(tmp_path / "a_z1.png"), np.zeros_like(COINS))
    code, written, rows = run(
        "-i", tmp_path / "a.ome.tif", tmp_path / "a_z1.png", "--z", "each", "--table", "--overwrite"
    )
    assert code == 1
    assert f"a_z1_cells.csv is already that of {tmp_path / 'a.ome.tif'}; run this file alone" in rows[1]["status"]
    assert list(written) == ["a_label.tiff"]
    assert len((tmp_path / "out" / "a_z1_cells.csv").read_text().splitlines()) > 1


def test_links_to_one_file_are_images_of_their_own(tmp_path, run):
    cv2.imwrite(str(tmp_path / "a.png"), COINS)
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    code, written, rows = run("-i", tmp_path / "a.png", tmp_path / "b.png", tmp_path / "a.png")
    assert code == 0
    assert sorted(written) == ["a_label.tiff", "b_label.tiff"]
    assert len(rows) == 2


def test_a_damaged_plane_fails_its_stack_and_nothing_is_left(tmp_path, run):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(
        path, np.stack([COINS] * 4), metadata={"axes": "TYX"}, photometric="minisblack", compression="zlib"
    )
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages[2]
        offset, count = page.dataoffsets[0], page.databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    cv2.imwrite(str(tmp_path / "b.png"), COINS)
    code, written, rows = run("-i", path, tmp_path / "b.png", "--t", "each")
    assert code == 1
    assert list(written) == ["b_label.tiff"]
    assert [row["status"][:4] for row in rows] == ["fail", "done"]
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["b_label.tiff"]


def test_a_diameter_in_micrometres(tmp_path, run):
    tifffile.imwrite(tmp_path / "a.ome.tif", COINS, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    cv2.imwrite(str(tmp_path / "b.png"), COINS)
    code, _, rows = run("-i", tmp_path / "a.ome.tif", tmp_path / "b.png", "--diameter", "14um")
    assert code == 1
    assert rows[0]["cell_diameter_px"] == 28
    assert "size of its pixels" in rows[1]["status"]
    with tifffile.TiffFile(tmp_path / "out" / "a_label.tiff") as tiff:
        assert tiff.pages[0].tags["XResolution"].value == (20_000, 1)
        assert tiff.pages[0].tags["ResolutionUnit"].value == 3


def test_a_dry_run_writes_nothing_but_the_report(tmp_path, run, capsys):
    cv2.imwrite(str(tmp_path / "a.png"), COINS)
    code, written, rows = run("-i", tmp_path / "a.png", "--dry-run")
    assert code == 0
    assert not (tmp_path / "out").exists()
    assert rows[0]["status"] == "to be done"
    assert "a.png: PNG, YX (gray), 128x96 pixels of uint8 -> a_label.tiff" in capsys.readouterr().out
    program = [
        sys.executable,
        "-X",
        "importtime",
        ROOT / "predict.py",
        "-i",
        tmp_path / "a.png",
        "-o",
        tmp_path / "out",
        "--dry-run",
    ]
    assert "torch" not in subprocess.run(program, capture_output=True, text=True, check=True).stderr


def test_a_dry_run_fails_where_the_run_would_and_keeps_what_it_would(tmp_path, untrained_weights, capsys, caplog):
    cv2.imwrite(str(tmp_path / "a.png"), COINS)
    (tmp_path / "file").touch()

    def code(*options, out="out"):
        words = ("-i", tmp_path / "a.png", "-o", tmp_path / out, "--weights", untrained_weights, *options)
        return main([*map(str, words)])

    for more in ((), ("--dry-run",)):
        assert code(*more, out="file") == 2
        assert "file: not a folder but a file" in caplog.text
        caplog.clear()
    assert code("--table") == 0
    capsys.readouterr()
    report = tmp_path / "r.json"
    for more, status in (
        (("--table", "--resume"), "to be kept"),
        (("--resume",), "to be kept"),
        (("--table",), "to be done"),
        (("--geojson", "--resume"), "to be done"),
        (("--quick", "--resume"), "to be done"),
    ):
        assert code("--dry-run", "--report", report, *more) == 0
        assert [row["status"] for row in json.loads(report.read_text())] == [status]
        assert capsys.readouterr().out.splitlines()[0].endswith("; to be kept") == (status == "to be kept")


def test_a_dry_run_leaves_the_report_of_a_run(tmp_path, untrained_weights, caplog):
    cv2.imwrite(str(tmp_path / "a.png"), COINS)
    report = tmp_path / "r.csv"
    words = ["-i", tmp_path / "a.png", "-o", tmp_path / "out", "--weights", untrained_weights, "--report", report]
    assert [main([*map(str, words), *more]) for more in (["--dry-run"], [])] == [0, 0]
    before = report.read_bytes()
    for more in ([], ["--overwrite"]):
        assert main([*map(str, words), "--dry-run", *more]) == 2
        assert "r.csv: the report of a run that was no dry one is there; give another name" in caplog.text
        assert report.read_bytes() == before


@pytest.mark.parametrize(
    "arguments, words",
    [
        (("--channels", "1,2,3,4"), "one to three"),
        (("--z", "sum"), "max, mean, or each"),
        (("--axes", "QYX"), "such as CYX"),
        (("--series", "0"), "numbers from 1"),
        (("--diameter", "0"), "expected 1 to 100000 pixels"),
        (("--full-names", "--challenge-names"), "not allowed"),
    ],
)
def test_wrong_options(tmp_path, run, capsys, arguments, words):
    with pytest.raises(SystemExit) as error:
        run("-i", tmp_path, *arguments)
    assert error.value.code == 2
    assert words in capsys.readouterr().err


def test_no_input_at_all(run, capsys):
    with pytest.raises(SystemExit):
        run()
    assert "-i" in capsys.readouterr().err
