"""Tables as CSV and JSON."""

import csv
import json

import pytest

from inference.outputs.table import write_table


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_a_table_in_both_forms(tmp_path, suffix):
    rows = [{"image": "a.png", "cells": 3}, {"image": "b.png", "status": "failed: x"}]
    path = tmp_path / f"r.{suffix}"
    write_table(path, rows)
    read = json.loads(path.read_text()) if suffix == "json" else list(csv.DictReader(path.open()))
    assert read[0]["image"] == "a.png" and int(read[0]["cells"]) == 3 and read[1]["status"] == "failed: x"
