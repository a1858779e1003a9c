"""training.own.original: made images of each class, and a sample of a manifest's images of one class."""

import pytest

from training.images.manifest import read_manifest
from training.own.original import MADE, made_sample, original_sample
from training.synthetic.scenes import SCENES


def test_every_class_has_kinds_that_are_made():
    assert sorted(MADE) == [0, 1, 2, 3]
    assert all(kind in SCENES for kinds in MADE.values() for kind in kinds)


def test_made_images_are_kept_and_have_cells(tmp_path, monkeypatch):
    first = made_sample(0, tmp_path, 2)
    assert all(s.labels.any() for s in first)
    assert [s.record.source for s in first] == ["made nuclei", "made membranes"]
    monkeypatch.setattr("training.own.original.make", None)  # the second time nothing is drawn
    assert [s.record for s in made_sample(0, tmp_path, 2)] == [s.record for s in first]


def test_a_sample_is_of_the_class_and_of_the_first_split_that_has_one(router_manifest):
    found = original_sample(router_manifest, 0, ("test", "val"), 3)
    val = {r.image for r in read_manifest(router_manifest, "val")}
    assert len(found) == 2
    assert all(s.cue_class == 0 and s.record.image in val for s in found)
    assert original_sample(router_manifest, 1, ("val", "train"), 3) == []


def test_own_images_are_no_others(router_manifest):
    found = original_sample(router_manifest, 0, ("val",), 3)
    own = {found[0].record.image.resolve()}
    assert [s.record for s in original_sample(router_manifest, 0, ("val",), 3, own)] == [s.record for s in found[1:]]


def test_a_file_that_is_lost_is_no_split_that_is_missing(tmp_path):
    (tmp_path / "list.csv").write_text("image,label,split,source\nno.png,no.png,train,x\n")
    assert original_sample(tmp_path / "list.csv", 0, ("val",)) == []
    with pytest.raises(ValueError, match="no.png: no such file"):
        original_sample(tmp_path / "list.csv", 0, ("val", "train"))
