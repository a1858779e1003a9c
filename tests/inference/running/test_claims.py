"""Which files are written over, and which are not."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

from inference.outputs.page import TEMPLATE
from inference.running.claims import Claims, NotOurs, check_folder, make_folder
from inference.running.provenance import Provenance

SHAPE = (4, 4)


@pytest.fixture
def claims():
    return Claims((), "0.1.0", "ab" * 8)


def written(folder, claims, image="1" * 16, file="a.png", others=()):
    """The files of an image, as a run makes them."""
    labels = folder / "a_label.tiff"
    claim = claims.claim(folder / file, image, labels, paths(folder, others), SHAPE)
    claim.clear()
    tifffile.imwrite(labels, np.zeros(SHAPE, np.uint16), software=str(claim.tag), ome=True)
    for suffix in others:
        (folder / f"a{suffix}").write_text(suffix)
    claim.seal(folder / f"a{suffix}" for suffix in others)
    return claim


def paths(folder, others):
    return {suffix: [folder / f"a{suffix}"] for suffix in others}


def claim(folder, claims, image="1" * 16, file="a.png", others=()):
    return claims.claim(folder / file, image, folder / "a_label.tiff", paths(folder, others), SHAPE)


def kept(folder, claims, **what):
    """Whether --resume would keep what is there."""
    return claim(folder, replace(claims, resume=True), **what).cells is not None


def test_nothing_there(tmp_path, claims):
    assert not kept(tmp_path, claims, others=["_overlay.png"])


def test_the_same_again(tmp_path, claims):
    written(tmp_path, claims, others=["_overlay.png"])
    assert kept(tmp_path, claims, others=["_overlay.png"])
    assert kept(tmp_path, claims), "with less"
    assert not kept(tmp_path, claims, others=["_overlay.png", ".geojson"]), "with more"
    assert not kept(tmp_path, replace(claims, settings="0" * 16))
    assert not kept(tmp_path, replace(claims, version="0.2.0"))


def test_the_image_was_replaced_by_another_one_of_its_name(tmp_path, claims):
    """Its labels are done anew."""
    written(tmp_path, claims)
    assert not kept(tmp_path, claims, image="2" * 16)


def test_another_image_whose_results_have_the_name(tmp_path, claims):
    written(tmp_path, claims)
    with pytest.raises(NotOurs, match="a.jpg: .*a_label.tiff holds the labels of another image"):
        claim(tmp_path, claims, image="2" * 16, file="a.jpg")
    assert not kept(tmp_path, replace(claims, overwrite=True), image="2" * 16, file="a.jpg")


def test_another_image_in_another_folder_of_the_same_path(tmp_path, claims):
    """As in a container, where every folder of images is /inputs."""
    (tmp_path / "day").mkdir()
    written(tmp_path, claims, file="day/a.png")
    (tmp_path / "day").rename(tmp_path / "yesterday")
    (tmp_path / "day").mkdir()
    with pytest.raises(NotOurs, match="holds the labels of another image"):
        claim(tmp_path, claims, image="2" * 16, file="day/a.png")


def test_the_same_image_from_another_place(tmp_path, claims):
    written(tmp_path, claims)
    assert kept(tmp_path, claims, file="moved.png")


def test_somebodys_ground_truth(tmp_path, claims):
    tifffile.imwrite(tmp_path / "a_label.tiff", np.zeros((4, 4), np.uint16))
    with pytest.raises(NotOurs, match="a.png: .*a_label.tiff is there and not written by this version"):
        claim(tmp_path, claims)
    claim(tmp_path, replace(claims, overwrite=True))


def test_somebodys_other_file(tmp_path, claims):
    (tmp_path / "a_overlay.png").touch()
    with pytest.raises(NotOurs, match="a.png: .*a_overlay.png is there and not made by this program"):
        claim(tmp_path, claims, others=["_overlay.png"])
    written(tmp_path, claims)
    with pytest.raises(NotOurs, match="a_overlay.png is there"):
        claim(tmp_path, claims, others=["_overlay.png"])


def test_names_that_are_too_long_are_told_before_labels_are_written(tmp_path, claims):
    """Those of the labels would do."""
    stem = "n" * 240
    with pytest.raises(OSError, match="too long"):
        outlines = {"_cp_outlines.txt": [tmp_path / f"{stem}_cp_outlines.txt"]}
        claims.claim(tmp_path / f"{stem}.png", "1" * 16, tmp_path / f"{stem}_label.tiff", outlines, SHAPE)


def test_a_link_to_nothing_in_the_place(tmp_path, claims):
    (tmp_path / "a_label.tiff").symlink_to("nowhere")
    with pytest.raises(NotOurs, match="a_label.tiff is there"):
        claim(tmp_path, claims)


def test_a_pipe_in_the_place_is_not_waited_for(tmp_path, claims):
    os.mkfifo(tmp_path / "a_label.tiff")
    with pytest.raises(NotOurs, match="a_label.tiff is there and not written by"):
        claim(tmp_path, claims)
    assert not kept(tmp_path, replace(claims, overwrite=True))


def test_an_empty_file_is_nobodys(tmp_path, claims):
    (tmp_path / "a_label.tiff").touch()
    assert not kept(tmp_path, claims)


def test_what_was_made_of_earlier_labels_goes_before_they_do(tmp_path, claims):
    """A run that is stopped between its labels and the rest leaves nothing that belongs to other labels."""
    written(tmp_path, claims, others=["_overlay.png"])
    other = replace(claims, settings="0" * 16)
    anew = claim(tmp_path, other, others=["_overlay.png"])
    assert (tmp_path / "a_overlay.png").exists(), "not before there are labels"
    anew.clear()
    assert not (tmp_path / "a_overlay.png").exists()


def test_what_is_left_from_earlier_labels_may_be_written_over_but_is_not_kept(tmp_path, claims):
    written(tmp_path, claims, others=["_overlay.png"])
    other = replace(claims, settings="0" * 16)
    assert written(tmp_path, other).tag.earlier == ("_overlay.png",)
    assert not kept(tmp_path, other, others=["_overlay.png"])


def corrected(path):
    path.write_text("by hand")
    return path


@pytest.mark.parametrize("suffix", ["_seg.npy", "_cells.csv"])
def test_a_file_that_somebody_has_changed_is_not_written_over(tmp_path, claims, suffix):
    """Whether the labels would be the same or not; nothing is removed."""
    both = ["_seg.npy", "_cells.csv"]
    written(tmp_path, claims, others=both)
    claim(tmp_path, claims, others=both)
    path = corrected(tmp_path / f"a{suffix}")
    for anew in (claims, replace(claims, settings="0" * 16), replace(claims, version="0.2.0")):
        with pytest.raises(NotOurs, match=f"a.png: .*a{suffix} was changed after this program wrote it; move it away"):
            claim(tmp_path, anew, others=both)
    assert {path.name for path in tmp_path.iterdir()} == {"a_label.tiff", "a_seg.npy", "a_cells.csv"}
    claim(tmp_path, replace(claims, overwrite=True), others=both)
    path.unlink()
    claim(tmp_path, claims, others=both)


def test_labels_that_are_kept_do_not_mind_a_change(tmp_path, claims):
    written(tmp_path, claims, others=["_seg.npy"])
    corrected(tmp_path / "a_seg.npy")
    resumed = replace(claims, resume=True)
    assert claim(tmp_path, resumed, others=["_seg.npy"]).cells == 0
    with pytest.raises(NotOurs, match="a_seg.npy was changed"):
        claim(tmp_path, replace(resumed, settings="0" * 16), others=["_seg.npy"])
    with pytest.raises(NotOurs, match="a_seg.npy was changed"):
        resumed.claim(tmp_path / "a.png", "1" * 16, tmp_path / "a_label.tiff", paths(tmp_path, ["_seg.npy"]), (3, 3))


def test_a_change_is_known_after_runs_that_did_not_write_the_file(tmp_path, claims):
    written(tmp_path, claims, others=["_seg.npy"])
    written(tmp_path, replace(claims, settings="0" * 16), others=["_cells.csv"])
    claim(tmp_path, claims, others=["_seg.npy"])
    corrected(tmp_path / "a_seg.npy")
    written(tmp_path, claims)
    with pytest.raises(NotOurs, match="a_seg.npy was changed"):
        claim(tmp_path, claims, others=["_seg.npy"])


def test_a_change_while_the_image_is_segmented(tmp_path, claims):
    written(tmp_path, claims, others=["_seg.npy", "_cells.csv"])
    anew = claim(tmp_path, claims, others=["_cells.csv", "_seg.npy"])
    corrected(tmp_path / "a_seg.npy")
    with pytest.raises(NotOurs, match="a_seg.npy was changed"):
        anew.clear()
    assert (tmp_path / "a_cells.csv").exists()


def test_a_file_that_its_format_refused_is_not_missing(tmp_path, claims):
    """Until something of its name is there, which is somebody's."""
    path = tmp_path / "a_rois.zip"
    written(tmp_path, claims, others=["_rois.zip"]).seal([], [path])
    path.unlink()
    assert kept(tmp_path, claims, others=["_rois.zip"])
    corrected(path)
    with pytest.raises(NotOurs, match="a_rois.zip"):
        claim(tmp_path, claims, others=["_rois.zip"])


def test_what_was_not_sealed_is_as_it_was_before(tmp_path, claims):
    """Of a run that was stopped, or of an earlier version, whose tags know no digests."""
    labels = tmp_path / "a_label.tiff"
    stopped = claim(tmp_path, claims, others=["_seg.npy"]).tag
    for tag in (stopped, replace(stopped, digests={})):
        tifffile.imwrite(labels, np.zeros(SHAPE, np.uint16), software=str(tag), ome=True)
        corrected(tmp_path / "a_seg.npy")
        assert kept(tmp_path, claims, others=["_seg.npy"])


def test_another_run_in_the_same_folder_is_not_disturbed(tmp_path, claims):
    """One that writes other labels, and its own files, after this one has looked, or before it notes what it wrote."""
    late = claim(tmp_path, claims, others=["_seg.npy"])
    other = replace(claims, settings="0" * 16)
    tag = written(tmp_path, other, others=["_seg.npy"]).tag
    late.seal([tmp_path / "a_seg.npy"])
    assert Provenance.of(tmp_path / "a_label.tiff").settings == tag.settings
    late = claim(tmp_path, claims, others=["_seg.npy"])
    (tmp_path / "a_seg.npy").write_text("of the other run")
    claim(tmp_path, replace(other, overwrite=True), others=["_seg.npy"]).seal([tmp_path / "a_seg.npy"])
    late.clear()


def test_images_of_the_run_are_never_written_over(tmp_path, claims):
    (tmp_path / "a_label.tiff").touch()
    (tmp_path / "linked.png").symlink_to(tmp_path / "a_label.tiff")
    inputs = {os.path.realpath(tmp_path / "linked.png")}
    with pytest.raises(NotOurs, match="is an image of this run"):
        claim(tmp_path, Claims(inputs, "0.1.0", "", overwrite=True))


PAGE = TEMPLATE.read_text(encoding="utf-8").split("{% endmacro %}")[1].lstrip()  # as it begins when it is filled in


@pytest.mark.parametrize(
    ("option", "content", "fine"),
    [
        ("--report", "", True),
        ("--report", "status,image,labels\n", True),
        ("--report", "[\n]", True),
        ("--report", '[\n {"status": "done", "image": "a.png"}\n]\n', True),
        ("--page", PAGE, True),
        ("--report", PAGE, False),
        ("--page", "status,image,labels\n", False),
        ("--page", "<!DOCTYPE html><p>my page</p>", False),
        ("--report", "status,patient\n", False),
        ("--report", '[{"id": 1}]', False),
        ("--report", "my notes", False),
        ("--report", "\x89PNG", False),
    ],
)
def test_the_place_of_a_report(tmp_path, claims, option, content, fine):
    (tmp_path / "r.csv").write_text(content)
    if fine:
        claims.check_table(option, tmp_path / "r.csv")
    else:
        with pytest.raises(NotOurs, match=f"{option} .*r.csv: there is a file that is no {option[2:]} of this program"):
            claims.check_table(option, tmp_path / "r.csv")
        replace(claims, overwrite=True).check_table(option, tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == content


def test_nothing_is_written_into_an_image_that_is_a_folder(tmp_path, claims):
    inputs = {os.path.realpath(tmp_path / "x.zarr")}
    (tmp_path / "x.zarr").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "x.zarr")
    for folder in ("x.zarr", "link"):
        with pytest.raises(NotOurs, match="or in one, and is not written over"):
            Claims(inputs, "", "", overwrite=True).check_table("--report", tmp_path / folder / ".zattrs")
        with pytest.raises(NotOurs, match="or in one, and is not written over"):
            claim(tmp_path / folder, Claims(inputs, "0.1.0", "", overwrite=True))


def test_places_that_are_none(tmp_path, claims):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/stdout", "/dev/null"):
        with pytest.raises(NotOurs, match="not a file but"):
            replace(claims, overwrite=True).check_table("--report", type(tmp_path)(path))
    with pytest.raises(NotOurs, match="is an image of this run"):
        Claims({os.path.realpath(tmp_path / "a.csv")}, "", "", overwrite=True).check_table(
            "--report", tmp_path / "a.csv"
        )


def test_the_folder_of_a_report_is_made(tmp_path, claims):
    claims.check_table("--report", tmp_path / "new" / "r.csv")
    assert not any((tmp_path / "new").iterdir())


def test_two_names_of_an_image_of_the_run(tmp_path, claims):
    """A hard link: written over, the image is gone under its other name too."""
    (tmp_path / "a.png").touch()
    os.link(tmp_path / "a.png", tmp_path / "r.csv")
    inputs = {str(tmp_path / "a.png"), str(tmp_path / "gone.png")}
    with pytest.raises(NotOurs, match=r"--report .*r\.csv: another name of an image of this run"):
        Claims(inputs, "", "", overwrite=True).check_table("--report", tmp_path / "r.csv")


def test_a_report_with_the_name_of_a_result(tmp_path, claims):
    (tmp_path / "link").symlink_to(tmp_path)
    results = [(tmp_path / "link", "_label.tiff"), (tmp_path / "link", "_cells.csv")]
    for name in ("a_label.tiff", "b_cells.csv"):
        with pytest.raises(NotOurs, match=f"--report .*{name}: results of this run have such names"):
            claims.check_table("--report", tmp_path / name, results)
    claims.check_table("--report", tmp_path / "cells.csv", results)
    claims.check_table("--report", tmp_path / "elsewhere" / "a_cells.csv", results)


def test_folders_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to("nowhere")
    for name in ("file", "gone"):
        with pytest.raises(NotOurs, match=f"-o .*{name}: not a folder but a file, or a link to nothing; give another"):
            make_folder(tmp_path / name, "-o")
    with pytest.raises(NotOurs, match=r"-o .*x: cannot be made \(Not a directory\); give another place"):
        make_folder(tmp_path / "file" / "x", "-o")
    make_folder(tmp_path / "a" / "b", "-o")
    make_folder(tmp_path / "a" / "b", "-o")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_is_looked_at_and_not_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to("nowhere")
    for name in ("file", "gone"):
        with pytest.raises(NotOurs, match=f"-o .*{name}: not a folder but a file, or a link to nothing; give another"):
            check_folder(tmp_path / name, "-o")
    with pytest.raises(NotOurs, match="-o .*x: .*file is not a folder; give another place"):
        check_folder(tmp_path / "file" / "x", "-o")
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path, tmp_path / "a" / "b", Path("a") / "b", Path()):
        check_folder(folder, "-o")
    assert not (tmp_path / "a").exists()
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    with pytest.raises(PermissionError, match=f"-o .*b: no permission to write in {tmp_path}; change"):
        check_folder(tmp_path / "a" / "b", "-o")
