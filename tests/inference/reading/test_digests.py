"""inference.reading.digests: which changes of a file are seen."""

import os

import pytest

from inference.reading.digests import file_digest


def test_content_decides_and_not_name_or_time(tmp_path):
    for name, content in (("a.png", b"1" * 1000), ("b.png", b"1" * 1000), ("c.png", b"1" * 999 + b"2")):
        (tmp_path / name).write_bytes(content)
    os.utime(tmp_path / "b.png", (1, 1))
    a, b, c = (file_digest(tmp_path / name) for name in ("a.png", "b.png", "c.png"))
    assert a == b != c
    assert len(a) == 16


@pytest.mark.parametrize("place", [0, 1_000_000, 2**26 + 100_000 - 1])
def test_a_large_file_that_changes(tmp_path, place):
    """Where a sample is taken, and where the time tells."""
    path = tmp_path / "large"
    with open(path, "wb") as file:
        file.truncate(2**26 + 100_000)
    before = file_digest(path)
    assert file_digest(path) == before
    with open(path, "r+b") as file:
        file.seek(place)
        file.write(b"x")
    os.utime(path, (5, 5))
    assert file_digest(path) != before


def test_partner_files_count(tmp_path):
    """By length and time, as those of a folder."""
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes(b"one")
    alone, first = (file_digest(tmp_path / "a.tif", partners) for partners in ((), [tmp_path / "b.tif"]))
    (tmp_path / "b.tif").write_bytes(b"three")
    longer = file_digest(tmp_path / "a.tif", [tmp_path / "b.tif"])
    os.utime(tmp_path / "b.tif", (5, 5))
    assert len({alone, first, longer, file_digest(tmp_path / "a.tif", [tmp_path / "b.tif"])}) == 4


def test_a_linked_folder_counts_and_a_circle_ends(tmp_path):
    folder, other = tmp_path / "a.zarr", tmp_path / "data"
    folder.mkdir(), other.mkdir()
    (other / "0.0").write_bytes(b"1")
    (folder / "0").symlink_to(other), (folder / "1").symlink_to(folder)
    first = file_digest(folder)
    (other / "0.0").write_bytes(b"12")
    assert file_digest(folder) != first


def test_folders(tmp_path):
    folder = tmp_path / "a.zarr"
    folder.mkdir()
    (folder / ".zarray").write_text("{}")
    first = file_digest(folder)
    (folder / "0.0").write_bytes(b"1")
    assert file_digest(folder) != first
    os.mkfifo(folder / "0.1")
    with pytest.raises(OSError, match="0.1 in it is not a file"):
        file_digest(folder)
