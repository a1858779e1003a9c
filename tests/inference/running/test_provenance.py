"""The digest of settings, and the tag that holds them."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

from inference.running.provenance import UNWRITTEN, Provenance, content_digest, settings_digest

OURS = Provenance(
    "0.1.0",
    "0a" * 8,
    "1b" * 8,
    "2c" * 8,
    ("_overlay.png", ".geojson"),
    ("_cells.csv",),
    {".geojson": "0123abcd", "_cells.csv": UNWRITTEN},
)


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


def test_digests_are_put_into_the_file_and_nothing_else_changes(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.arange(16, dtype=np.uint16).reshape(4, 4), software=str(OURS), compression="zlib")
    before = path.read_bytes()
    OURS.note(path, {"_cells.csv": "89abcdef", "_seg.npy": "no place for it"})
    assert Provenance.of(path) == replace(OURS, digests={".geojson": "0123abcd", "_cells.csv": "89abcdef"})
    assert path.read_bytes() == before.replace(b"_cells.csv=00000000", b"_cells.csv=89abcdef")


def test_digests_of_other_labels_are_left_out(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint16), software=str(OURS))
    replace(OURS, settings="0" * 16).note(tmp_path / "a.tif", {"_cells.csv": "89abcdef"})
    assert Provenance.of(tmp_path / "a.tif") == OURS


def test_the_digest_of_content(tmp_path):
    (tmp_path / "a").write_bytes(bytes(3_000_000))
    (tmp_path / "b").write_bytes(bytes(2_999_999) + b"1")
    (tmp_path / "c").write_bytes(bytes(3_000_000))
    a, b, c = (content_digest(tmp_path / name) for name in "abc")
    assert a == c != b
    assert len(a) == len(UNWRITTEN)
    assert content_digest(tmp_path) == content_digest(tmp_path / "none") == ""


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
