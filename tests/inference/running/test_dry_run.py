"""What a dry run says: reading, results, collisions, time and memory."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from inference.outputs.units import Area
from inference.reading import ReadOptions
from inference.reading.options import DEFAULT
from inference.running.claims import Claims, NotOurs
from inference.running.dry_run import PROGRAM_MB, check_report, dry_run
from inference.running.finding import Found
from inference.running.lengths import Length
from inference.running.naming import result_names
from inference.running.report import Report, ReportRow
from inference.running.request import Request
from tests.helpers.readers import InThisProcess


def said(folder, capsys, options=DEFAULT, out="out", **more):
    files = [Found(path) for path in sorted(folder.iterdir()) if path.is_file()]
    request = Request([folder], folder / out, folder, reading=options, **more)
    claims = Claims({str(found.path) for found in files}, "1", "", request.overwrite)
    rows = dry_run(request, files, result_names(files), claims, InThisProcess())
    return rows, capsys.readouterr().out.splitlines()


def test_images_positions_stacks_and_what_cannot_be_read(tmp_path, capsys):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((1000, 2000), np.uint8))
    tifffile.imwrite(tmp_path / "b.ome.tif", np.zeros((4, 20, 30), np.uint16), metadata={"axes": "ZYX"})
    (tmp_path / "c.png").write_bytes(b"nothing")
    with tifffile.TiffWriter(tmp_path / "d.ome.tif") as tiff:
        for _ in range(2):
            tiff.write(np.zeros((20, 30), np.uint8), metadata={"axes": "YX"})
    rows, lines = said(tmp_path, capsys, ReadOptions(z="each"), products=("overlay",))
    assert [(row.image, row.status[:10], row.labels, row.planes) for row in rows] == [
        ("a.tif", "to be done", "a_label.tiff", 1),
        ("b.ome.tif", "to be done", "b_label.tiff", 4),
        ("c.png", "failed: c.", None, None),
        ("d.ome.tif", "to be done", "d_s1_label.tiff", 1),
        ("d.ome.tif", "to be done", "d_s2_label.tiff", 1),
    ]
    assert lines[0] == (
        f"a.tif: TIFF, YX (gray), 2000x1000 pixels of uint8 -> a_label.tiff, a_overlay.png; about 2.4 s, "
        f"{PROGRAM_MB + 12} MB"
    ), "2 megapixels: 0.8 and 1.6 s, 6 bytes a pixel"
    assert "4 planes -> b_label.tiff, b_z1_overlay.png to b_z4_overlay.png;" in lines[1]
    assert lines[2].startswith("cannot be done: c.png: not a readable image")
    assert lines[-1].startswith("5 images, about 9.2 s and 842 MB")


def test_a_position_with_the_name_of_another_file(tmp_path, capsys):
    with tifffile.TiffWriter(tmp_path / "x.ome.tif") as tiff:
        for _ in range(2):
            tiff.write(np.zeros((20, 30), np.uint8), metadata={"axes": "YX"})
    tifffile.imwrite(tmp_path / "x_s2.tif", np.zeros((20, 30), np.uint8))
    rows, _ = said(tmp_path, capsys)
    assert [row.failed for row in rows] == [False, False, True]
    assert "x_s2_label.tiff is also that of x.ome.tif" in rows[2].status


def test_a_plane_with_the_name_of_another_file(tmp_path, capsys):
    """Its table would be that file's, also where files are written over."""
    tifffile.imwrite(tmp_path / "x.ome.tif", np.zeros((2, 20, 30), np.uint8), metadata={"axes": "ZYX"})
    tifffile.imwrite(tmp_path / "x_z2.tif", np.zeros((20, 30), np.uint8))
    rows, _ = said(tmp_path, capsys, ReadOptions(z="each"), products=("table",), overwrite=True)
    assert [row.failed for row in rows] == [False, True]
    assert "x_z2_cells.csv is also that of x.ome.tif" in rows[1].status
    rows, _ = said(tmp_path, capsys, ReadOptions(z="each"))
    assert not any(row.failed for row in rows), "only labels, whose names differ"


def test_what_the_run_would_fail_at(tmp_path, capsys):
    """Of two images, one that has a pixel size: labels and a table of others, and sizes that ask for one."""
    tifffile.imwrite(
        tmp_path / "a.ome.tif", np.zeros((20, 30), np.uint8), metadata={"PhysicalSizeX": 1, "PhysicalSizeY": 1}
    )
    tifffile.imwrite(tmp_path / "b.tif", np.zeros((20, 30), np.uint8))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a_label.tiff").write_bytes(b"ground truth")
    (tmp_path / "out" / "b_cells.csv").write_bytes(b"notes")
    rows, lines = said(tmp_path, capsys, products=("table",))
    assert "a_label.tiff is there and not written by" in rows[0].status
    assert "b_cells.csv is there and not made by this program" in rows[1].status
    assert all(row.failed and row.status in line for row, line in zip(rows, lines))
    assert not any(row.failed for row in said(tmp_path, capsys, products=("table",), overwrite=True)[0])
    for option in ({"diameter": Length(12, True)}, {"min_size": Area(5, True)}):
        rows, _ = said(tmp_path, capsys, out="other", **option)
        assert [row.failed for row in rows] == [False, True]
        assert "b.tif: the file " in rows[1].status


def test_nothing_is_read_but_what_tells_the_shape(tmp_path, capsys):
    """The pixels are broken, and nobody notices."""
    path = Path(tmp_path / "a.tif")
    tifffile.imwrite(path, np.zeros((300, 300), np.uint8), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        offset, count = tiff.pages[0].dataoffsets[0], tiff.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    rows, _ = said(tmp_path, capsys)
    assert rows[0].status == "to be done"


@pytest.mark.parametrize("name", ["r.csv", "r.json"])
@pytest.mark.parametrize("brief", [False, True])
def test_a_report_of_a_true_run_is_not_replaced(tmp_path, name, brief):
    """One of a dry run is, and one without a line."""
    path = tmp_path / name
    check_report(path)
    for rows, true in (
        ([], False),
        ([ReportRow("to be done", "a.tif"), ReportRow("failed: x", "b.tif"), ReportRow("skipped: x", "c")], False),
        ([ReportRow("done", "a.tif")], True),
        ([ReportRow("failed: x", "a.tif", version="1")], True),
    ):
        with Report(path, brief) as report:
            for row in rows:
                report.add(row)
        if true:
            with pytest.raises(NotOurs, match=f"--report .*{name}: the report of a run that was no dry one"):
                check_report(path)
        else:
            check_report(path)
    path.write_text("notes")
    check_report(path)


def test_names_that_play_tricks(tmp_path, capsys):
    np.save(tmp_path / "x", np.zeros((9, 9), np.uint8))
    (tmp_path / "x.npy").rename(tmp_path / "a\x1b[2J\n.npy")
    (tmp_path / "b\x1b[2J.png").write_bytes(b"nothing")
    _, lines = said(tmp_path, capsys)
    assert len(lines) == 3
    assert all("\\x1b[2J" in line and "\x1b" not in line for line in lines[:2])
