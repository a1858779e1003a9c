"""Tables as CSV and JSON."""

import csv
import json

import pytest

from inference.outputs.table import GrowingTable, write_table


def read(path):
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else list(csv.DictReader(text.splitlines()))


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_table_in_both_forms(tmp_path, suffix):
    path = tmp_path / f"r.{suffix}"
    write_table(path, [{"image": "a.png", "cells": 3}, {"image": "b.png", "status": "failed: x"}])
    first, second = read(path)
    assert first["image"] == "a.png"
    assert int(first["cells"]) == 3
    assert second["status"] == "failed: x"


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_growing_table_is_whole_after_each_line(tmp_path, suffix):
    path = tmp_path / f"r.{suffix}"
    with GrowingTable(path, ["image", "cells"]) as table:
        assert read(path) == []
        for n in range(3):
            table.add({"image": f"é{n}", "cells": n})
            assert [(row["image"], int(row["cells"])) for row in read(path)] == [(f"é{m}", m) for m in range(n + 1)]


@pytest.mark.parametrize("suffix", ["csv", "json"])
@pytest.mark.parametrize("lines", [0, 2])
def test_a_full_disk_leaves_the_lines_before_whole(tmp_path, suffix, lines):
    """Part of the line had room; when there is more, the next one comes behind those before."""
    path = tmp_path / f"r.{suffix}"
    with GrowingTable(path, ["image"]) as table:
        for n in range(lines):
            table.add({"image": str(n)})
        table._file = Full(table._file, 100)
        with pytest.raises(OSError, match="No space"):
            table.add({"image": "x" * 200})
        assert [row["image"] for row in read(path)] == ["0", "1"][:lines]
        table.add({"image": "y"})
        assert [row["image"] for row in read(path)] == [*["0", "1"][:lines], "y"]


class Full:
    """A file on a disk that has room for so many bytes more."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def write(self, data):
        if not self.room:
            self.room = 100  # somebody has tidied up
            raise OSError(28, "No space left on device")
        written = self.file.write(data[: self.room])
        self.room -= written
        return written

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_no_cell_of_a_csv_file_is_a_formula(tmp_path):
    write_table(tmp_path / "r.csv", [{"image": "=HYPERLINK(1).png", "value": -3}])
    assert read(tmp_path / "r.csv") == [{"image": "'=HYPERLINK(1).png", "value": "-3"}]
    write_table(tmp_path / "r.json", [{"image": "=HYPERLINK(1).png"}])
    assert read(tmp_path / "r.json") == [{"image": "=HYPERLINK(1).png"}]


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_no_lines(tmp_path, suffix):
    write_table(tmp_path / f"r.{suffix}", [])
    assert read(tmp_path / f"r.{suffix}") == []
