"""training.measure.launching.run_folder with a stand-in for predict.py; tests of `launch` are in test_benchmark.py."""

import pytest

from training.measure.launching import run_folder

PROGRAM = """import pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
out.mkdir(exist_ok=True)
report = pathlib.Path(sys.argv[sys.argv.index("--report") + 1])
"""
HEADER = "image,status,seconds,cells"


def start(tmp_path, body):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "predict.py").write_text(PROGRAM + body)
    return run_folder(tmp_path, tmp_path / "out", program=tmp_path / "old")


def test_a_program_is_run_where_it_lies_and_tells_what_is_done(tmp_path):
    lines = f"{HEADER}\\n{{pathlib.Path.cwd().name}},done,0.5,7\\nb,failed,,\\n"
    rows = start(tmp_path, f'report.write_text(f"{lines}")')
    assert rows == [{"image": "old", "status": "done", "seconds": "0.5", "cells": "7"}]


@pytest.mark.parametrize(
    "body, said",
    [
        ("sys.exit(3)", "exit code 3"),
        (f'report.write_text("{HEADER}")', "no image"),
        ('report.write_text("image")', "no column status"),
        ("", "report.csv: cannot be opened"),
    ],
)
def test_a_start_that_says_nothing(body, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        start(tmp_path, body)
