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


def test_no_cell_of_a_csv_file_is_a_formula(tmp_path):
    write_table(tmp_path / "r.csv", [{"image": "=HYPERLINK(1).png", "value": -3}])
    assert read(tmp_path / "r.csv") == [{"image": "'=HYPERLINK(1).png", "value": "-3"}]
    write_table(tmp_path / "r.json", [{"image": "=HYPERLINK(1).png"}])
    assert read(tmp_path / "r.json") == [{"image": "=HYPERLINK(1).png"}]


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_no_lines(tmp_path, suffix):
    write_table(tmp_path / f"r.{suffix}", [])
    assert read(tmp_path / f"r.{suffix}") == []
