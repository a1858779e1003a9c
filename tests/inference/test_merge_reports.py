"""Reports of the parts of a run become that of the whole."""

import csv
import json

import pytest

from inference.merge_reports import by_number, main, merge
from inference.running.report import Report, ReportRow


def write(path, rows, part=None):
    with Report(path, brief=True, part=part) as report:
        for row in rows:
            report.add(row)


def rows_of(*images, status="done"):
    return [ReportRow(status, image, cells=3) for image in images]


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_the_parts_are_the_whole(tmp_path, suffix):
    """Seven images in three parts, one of them with two lines, and a skipped file that each part tells of."""
    images = [f"{i}.tif" for i in range(7)]
    lines = {image: rows_of(image) for image in images}
    lines["2.tif"] = rows_of("2.tif", "2.tif")
    skipped = rows_of("x.txt", status="skipped: not an image")
    write(tmp_path / f"whole.{suffix}", [row for image in images for row in lines[image]] + skipped)
    parts = []
    for part in (1, 2, 3):
        parts.append(tmp_path / f"part-{part}.{suffix}")
        write(parts[-1], [row for image in images[part - 1 :: 3] for row in lines[image]] + skipped, f"{part}/3 of 7")
    assert main([str(tmp_path / f"merged.{suffix}"), *map(str, reversed(parts))]) == 0
    read = (
        (lambda p: json.loads(p.read_text()))
        if suffix == "json"
        else lambda p: list(csv.reader(p.read_text().splitlines()))
    )
    assert read(tmp_path / f"merged.{suffix}") == read(tmp_path / f"whole.{suffix}")


def test_numbers_in_names_count(tmp_path):
    names = [tmp_path / f"r{i}.csv" for i in (1, 2, 10, 11)]
    assert sorted(reversed(names), key=by_number) == names != sorted(names)


@pytest.mark.parametrize("status, code", [(("done", "done"), 0), (("done", "failed: x"), 1), (("failed: x",) * 2, 2)])
def test_exit_code_is_that_of_the_whole_run(tmp_path, status, code):
    for part, own in enumerate(status):
        write(tmp_path / f"{part}.csv", rows_of(f"{part}.tif", status=own))
    assert main([str(tmp_path / "all.csv"), str(tmp_path / "0.csv"), str(tmp_path / "1.csv")]) == code


def test_no_other_file_is_written_over(tmp_path, capsys):
    """A part in the place of the merged report, and a file of another kind; the merged report itself is."""
    for part in range(3):
        write(tmp_path / f"{part}.csv", rows_of(f"{part}.tif"))
    (tmp_path / "x.tif").write_bytes(b"II*")
    parts = [str(tmp_path / f"{part}.csv") for part in range(3)]
    before = (tmp_path / "0.csv").read_bytes()
    assert main(parts) == 2
    assert (tmp_path / "0.csv").read_bytes() == before
    assert main([str(tmp_path / "x.tif"), *parts]) == 2
    assert (tmp_path / "x.tif").read_bytes() == b"II*"
    capsys.readouterr()
    assert main([str(tmp_path / "all.csv"), *parts]) == main([str(tmp_path / "all.csv"), *parts]) == 0


def test_a_part_that_was_resumed_is_merged_once_more(tmp_path):
    """What was done is then kept, and what failed may be done."""
    before = rows_of("0.tif") + rows_of("2.tif", status="failed: 2.tif: damaged")
    write(tmp_path / "1.csv", before, "1/2 of 4")
    write(tmp_path / "2.csv", rows_of("1.tif", "3.tif"), "2/2 of 4")
    words = [str(tmp_path / name) for name in ("all.csv", "1.csv", "2.csv")]
    assert main(words) == 1
    write(tmp_path / "1.csv", rows_of("0.tif", status="kept") + rows_of("2.tif"), "1/2 of 4")
    assert main(words) == 0
    assert "kept,0.tif" in (tmp_path / "all.csv").read_text()


@pytest.mark.parametrize("left", [(3, 2, 2), (3, 1, 2), (3, 2, 0), (3, 2, None), (2, 2, 2)])
def test_parts_that_did_not_come_to_their_end_are_named(tmp_path, capsys, left):
    images = [f"{i}.tif" for i in range(7)]
    for part, count in enumerate(left, start=1):
        if count is not None:  # else the part was never started
            write(tmp_path / f"part-{part}.csv", rows_of(*images[part - 1 :: 3][:count]), f"{part}/3 of 7")
    code = main([str(tmp_path / "all.csv"), *map(str, tmp_path.glob("part-*.csv"))])
    said = capsys.readouterr().err
    short = [f"part {p}/3 has {n or 0} of {w} images" for p, n, w in zip((1, 2, 3), left, (3, 2, 2)) if n != w]
    assert [line.split(": ")[1].split(";")[0] for line in said.splitlines()] == short
    assert code == bool(short)
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 1 + sum(n or 0 for n in left)


def test_parts_of_different_runs(tmp_path, capsys):
    write(tmp_path / "1.csv", rows_of("a.tif"), "1/2 of 2")
    write(tmp_path / "2.csv", rows_of("b.tif"), "2/3 of 3")
    assert main([str(tmp_path / "all.csv"), str(tmp_path / "1.csv"), str(tmp_path / "2.csv")]) == 2
    assert "parts of 2, 3" in capsys.readouterr().err


def test_what_does_not_belong_together(tmp_path, capsys):
    with pytest.raises(ValueError, match="a.tif is in two"):
        merge([[{"status": "done", "image": "a.tif"}], [{"status": "done", "image": "a.tif"}]])
    for text in ("name,size\na,1\n", ""):
        (tmp_path / "x.csv").write_text(text)
        assert main([str(tmp_path / "all.csv"), str(tmp_path / "x.csv")]) == 2
        assert "x.csv: no report" in capsys.readouterr().err
    assert not (tmp_path / "all.csv").exists()
    assert main([]) == 2
    assert main(["-v"]) == 2


def test_help_is_no_error(capsys):
    assert main(["-h"]) == 0
    assert "python -m inference.merge_reports" in capsys.readouterr().out


def test_a_part_that_ended_amid_a_file_of_several_images_is_named(tmp_path, capsys):
    lines = [ReportRow("done", "a.czi", series=str(n), images=3) for n in (1, 2, 3)]
    write(tmp_path / "part-2.csv", rows_of("b.tif"), "2/2 of 2")
    for left, code in ((2, 1), (3, 0)):
        write(tmp_path / "part-1.csv", lines[:left], "1/2 of 2")
        assert main([str(tmp_path / "all.csv"), str(tmp_path / "part-1.csv"), str(tmp_path / "part-2.csv")]) == code
        assert ("part 1/2 has 0 of 1 images" in capsys.readouterr().err) == bool(code)
