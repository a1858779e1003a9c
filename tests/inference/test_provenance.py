"""Digests of images and settings, and the tag that holds them."""

import os

import numpy as np
import pytest
import tifffile

from inference.provenance import Provenance, file_digest, settings_digest

OURS = Provenance("0.1.0", "0a" * 8, "1b" * 8, "2c" * 8, ("_overlay.png", ".geojson"), ("_cells.csv",))


@pytest.mark.parametrize("provenance", [OURS, Provenance("0.1.0", "0a" * 8, "1b" * 8, "0")])
def test_the_tag_is_read_back(provenance, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint16), software=str(provenance))
    assert Provenance.of(tmp_path / "a.tif") == provenance


@pytest.mark.parametrize(
    "software",
    ["tifffile.py", "multistream-cellseg", "multistream-cellseg 0.1.0 image: settings:1 source:2 files:", None],
)
def test_files_of_others(tmp_path, software):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint16), software=software)
    assert Provenance.of(tmp_path / "a.tif") is None


def test_no_tiff(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0 and no more")
    assert Provenance.of(tmp_path / "a.tif") is None
    assert Provenance.of(tmp_path / "none.tif") is None


def test_same_labels():
    """Other products do not make other labels; another image, setting or version does."""
    same = Provenance(OURS.version, OURS.image, OURS.settings, "another place")
    assert OURS.same_labels(same)
    others = [
        Provenance("0.2", OURS.image, OURS.settings, OURS.source),
        Provenance(OURS.version, "0" * 16, OURS.settings, OURS.source),
        Provenance(OURS.version, OURS.image, "0" * 16, OURS.source),
        None,
    ]
    assert not any(OURS.same_labels(other) for other in others)


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


def test_settings(tmp_path):
    (tmp_path / "one").write_text("1  a")
    (tmp_path / "two").write_text("2  a")
    digests = {
        settings_digest(settings, tmp_path / weights)
        for settings, weights in (
            ({"route": None, "diameter": 3.0}, "one"),
            ({"diameter": 3.0, "route": None}, "one"),
            ({"route": 1, "diameter": 3.0}, "one"),
            ({"route": None, "diameter": 3.0}, "two"),
        )
    }
    assert len(digests) == 3, "order does not count, values and weights do"
