"""The digest of settings, and the tag that holds them."""

import numpy as np
import pytest
import tifffile

from inference.running.provenance import Provenance, settings_digest

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
