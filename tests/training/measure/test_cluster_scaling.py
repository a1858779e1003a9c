"""The measurement of a cluster, on one worker and a handful of tasks."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("distributed")

from inference.cluster.shipping import pack_file
from inference.running.finding import Found
from training.measure.cluster_scaling import alone, main, tiny, wire_bytes


def test_bytes_are_those_of_the_file_and_a_little(tmp_path):
    file = tmp_path / "a.tif"
    file.write_bytes(bytes(100_000))
    assert 100_000 < wire_bytes(pack_file(Found(file))) < 102_000


def test_a_table_of_tiny_tasks(capsys):
    assert main(["--tasks", "20", "--workers", "1"]) == 0
    header, line = capsys.readouterr().out.splitlines()[1:3]
    assert header.split()[:2] == ["workers", "tasks"]
    assert line.split()[:2] == ["1", "20"]


def test_what_is_done_by_one_worker_alone():
    numbers = alone(256)
    assert list(numbers) == ["look, gray (ns)", "look, colour (ns)", "labels written (ns)", "strips (bytes)"]
    assert all(number > 0 for number in numbers.values())


def test_the_tiny_task_answers_as_an_image_does():
    from inference.cluster.file import File

    done = tiny("0", [File(7, Found(Path("a")), Path("a"))])
    assert done.rows[0][0] == 7
    assert done.rows[0][1].status == "done"


def test_without_dask(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert main([]) == 2
    assert "pip install distributed" in caplog.text
