"""docs/formats.md names a test for each line, and there are these tests."""

import re
from pathlib import Path

HERE = Path(__file__).parent
TABLES = (HERE.parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")


def test_each_line_has_its_tests():
    lines = [
        line
        for line in TABLES.splitlines()
        if line.startswith("| ") and not line.startswith(("| ---", "| format", "| the file has |"))
    ]
    assert len(lines) > 40
    assert all(re.search(r"`test_\w+\.py::test_\w+`", line) for line in lines)


def test_every_test_exists():
    named = set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", TABLES))
    missing = [
        f"{file}::{name}"
        for file, name in sorted(named)
        if f"def {name}(" not in (HERE / file).read_text(encoding="utf-8")
    ]
    assert len(named) > 40
    assert not missing
