"""The report."""

import csv
import json
from dataclasses import replace

import pytest

from inference.running.report import STAGE_COLUMNS, Report, ReportRow, time_tolerance


def test_tolerance():
    assert time_tolerance(480, 640) == 10
    assert time_tolerance(3000, 3000) == 90


def test_the_stopwatchs_columns_are_the_last_ones_and_left_out_of_a_brief_report():
    row = ReportRow("done", "a.png", cells=3, stages={"read": 1.23456}, seconds=4.5, weights="0f41")
    names, brief = list(row.columns()), list(row.columns(brief=True))
    assert names[: len(brief)] == brief
    assert {"seconds", "peak_memory_mb", *STAGE_COLUMNS.values()} <= set(names[len(brief) :])
    assert row.columns()["read_seconds"] == 1.235
    assert row.columns()["write_seconds"] is None
    assert names.index("warnings") < names.index("tolerance_seconds")
    assert "class" in brief


@pytest.mark.parametrize("suffix", ["csv", "json"])
@pytest.mark.parametrize("brief", [False, True])
def test_a_stopped_run_has_a_report(tmp_path, suffix, brief):
    path = tmp_path / "new" / f"r.{suffix}"
    with pytest.raises(KeyboardInterrupt), Report(path, brief) as report:
        report.add(ReportRow("done", "=a.png", cells=3, seconds=1.0))
        report.add(ReportRow("failed: damaged", "b.png"))
        raise KeyboardInterrupt
    with open(path, newline="") as file:
        first, second = json.load(file) if suffix == "json" else csv.DictReader(file)
    assert first["image"].endswith("=a.png")
    assert int(first["cells"]) == 3
    assert second["status"] == "failed: damaged"
    assert ("seconds" in first) != brief


DONE = ReportRow(
    "done", "=a.png", "a_label.tiff", 96, 128, cells=0, removed_cells=3, class_="gray", doubts="size",
    cell_diameter_px=28.5, device="cpu", version="1", stages={"network": 1.5}, seconds=2.0, peak_memory_mb=900,
)  # fmt: skip
KEPT = ReportRow("kept", "=a.png", "a_label.tiff", 96, 128, cells=0, version="1", seconds=0.1)


def report_again(path, *rows, resume=True, brief=False):
    """The lines of a report that replaces another one."""
    with Report(path, brief, resume=resume) as report:
        for row in rows:
            report.add(row)
    with open(path, newline="") as file:
        return json.load(file) if path.suffix == ".json" else list(csv.DictReader(file))


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_what_is_known_of_an_image_that_is_kept_is_kept_too(tmp_path, suffix):
    """Also after a second time; not its times, which are of the run that reports."""
    path = tmp_path / f"r.{suffix}"
    (true,) = report_again(path, DONE, resume=False)
    for _ in range(2):
        (row,) = report_again(path, KEPT)
        for name in ("image", "removed_cells", "class", "doubts", "cell_diameter_px", "device", "weights"):
            assert row[name] == true[name], name
        assert (row["status"], float(row["seconds"])) == ("kept", 0.1)
        assert not row["network_seconds"] and not row["peak_memory_mb"]
    with Report(path, resume=True) as report:
        report.replace([KEPT])
    assert "gray" in path.read_text()
    assert "gray" not in json.dumps(report_again(path, KEPT, resume=False))


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_lines_that_a_stopped_run_did_not_reach_are_known_to_the_next_one(tmp_path, suffix):
    path = tmp_path / f"r.{suffix}"
    report_again(path, DONE, resume=False)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), Report(path, resume=True):
            raise KeyboardInterrupt
    (row,) = report_again(path, KEPT)
    assert row["class"] == "gray"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "other", [{"cells": 1}, {"image": "b.png"}, {"width": 9}, {"version": "2"}, {"series": "2 x"}, {"status": "done"}]
)
def test_lines_of_other_labels_are_not_taken(tmp_path, other):
    report_again(tmp_path / "r.csv", DONE, resume=False)
    (row,) = report_again(tmp_path / "r.csv", replace(KEPT, **other))
    assert not row["class"]


def test_reports_that_tell_nothing(tmp_path):
    """One that cannot be read, and one with fewer columns."""
    (tmp_path / "r.csv").write_text("notes")
    assert not report_again(tmp_path / "r.csv", KEPT)[0]["class"]
    (tmp_path / "r.json").write_text(json.dumps([KEPT.columns() | {"status": "done"}]))
    assert report_again(tmp_path / "r.json", KEPT, brief=True)[0]["class"] is None


def test_no_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Report(None) as report:
        report.add(ReportRow("done", "a.png"))
    assert not list(tmp_path.iterdir())
