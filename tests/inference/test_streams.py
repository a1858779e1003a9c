"""Streams that are closed, full or broken, and names with control characters."""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference.streams import EscapingFormatter, SafeStream, escaped

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("zellen é 细胞 µ.tif", "zellen é 细胞 µ.tif"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\r\nerror: b", "a\\r\\nerror: b"),
        ("a\u202egpj.exe", "a\\u202egpj.exe"),
        ("a\udcff", "a\\udcff"),
        ("a\u2028b", "a\\u2028b"),
    ],
)
def test_escaped(text, expected):
    assert escaped(text) == expected
    assert escaped(text).encode()


def test_a_log_line_is_one_line_and_a_traceback_is_not_garbled():
    try:
        raise ValueError("in\ntwo lines")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "%s: failed", ("a\nb.tif",), sys.exc_info())
    lines = EscapingFormatter("%(message)s").format(record).splitlines()
    assert lines[0] == "a\\nb.tif: failed"
    assert lines[1].startswith("Traceback")
    assert lines[-1] == "two lines"


class Broken(io.StringIO):
    def write(self, text):
        raise BrokenPipeError

    def flush(self):
        raise OSError(28, "No space left on device")


def test_a_broken_stream():
    stream = SafeStream(Broken())
    assert stream.write("abc") == 3
    stream.flush()
    assert stream.isatty() is False, "everything else is the stream's own"


PROGRAM = """
import sys
from inference.streams import secure_streams
secure_streams()
file = open(sys.argv[1], "w")
assert file.fileno() > 2
print("x" * 100_000)
print("y" * 100_000, file=sys.stderr)
sys.stdout.flush()
file.write("whole")
"""


@pytest.mark.parametrize("redirection", ["2>&-", ">&-", "<&- >&- 2>&-", "2>/dev/full", ">/dev/full", "2>&1 | true", ""])
def test_a_program_goes_on(tmp_path, redirection):
    """And its files are not those that libraries write their complaints to."""
    program = f"{sys.executable} -c '{PROGRAM}' {tmp_path / 'file'}"
    subprocess.run(
        ["bash", "-c", f"set -o pipefail; {program} {redirection}"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "file").read_text() == "whole"
