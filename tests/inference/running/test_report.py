"""The report."""

import csv
import json

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


def test_no_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Report(None) as report:
        report.add(ReportRow("done", "a.png"))
    assert not list(tmp_path.iterdir())
