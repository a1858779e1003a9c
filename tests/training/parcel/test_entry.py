"""training.parcel.entry: a parcel unpacks itself once; another parcel goes elsewhere."""

import ast
import sys
import zipfile
from pathlib import Path

import pytest

from training.parcel import entry
from training.parcel.entry import unpack


def make(path, text):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("training/x.py", text)
    return path


def test_it_is_unpacked_once(tmp_path):
    parcel = make(tmp_path / "parcel.zip", "1")
    first = unpack(parcel, tmp_path / "work")
    (first / "runs").mkdir()
    assert unpack(parcel, tmp_path / "work") == first
    assert (first / "runs").exists()
    assert (first / "training/x.py").read_text() == "1"
    other = unpack(make(parcel, "2"), tmp_path / "work")
    assert other != first
    assert (other / "training/x.py").read_text() == "2"


def test_it_is_whole_or_not_there(tmp_path):
    """Another call begins anew after one that was killed while it unpacked."""
    parcel = make(tmp_path / "parcel.zip", "1" * 100)
    good = parcel.read_bytes()
    parcel.write_bytes(good[:40] + bytes(8) + good[48:])
    with pytest.raises(zipfile.BadZipFile):
        unpack(parcel, tmp_path / "work")
    assert not [p for p in (tmp_path / "work").iterdir() if not p.name.endswith(".part")]


def test_it_needs_nothing_but_the_standard_library():
    """It runs before the modules of the parcel can be found."""
    found = set()
    for node in ast.walk(ast.parse(Path(entry.__file__).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    assert found
    assert found <= sys.stdlib_module_names
