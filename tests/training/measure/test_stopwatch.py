"""training.measure.stopwatch, as the benchmark starts it: seconds, memory and exit code of a command."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from training.measure import stopwatch


@pytest.mark.parametrize(
    "text, code",
    [
        ("print('said')", 0),
        ("print('said'); raise SystemExit(3)", 3),
        ("print('said', flush=True); import os; os.kill(os.getpid(), 15)", -15),
    ],
)
def test_a_command(tmp_path, text, code):
    words = [
        sys.executable,
        "-I",
        "-S",
        str(Path(stopwatch.__file__)),
        str(tmp_path / "log"),
        sys.executable,
        "-c",
        text,
    ]
    answer = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    assert answer["code"] == code
    assert answer["seconds"] > 0
    assert 1 < answer["peak_mb"] < 1000
    assert (tmp_path / "log").read_text() == "said\n"
