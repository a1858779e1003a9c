"""training.own.checking: findings in the log, in a table and in pictures, and which images are left out."""

import csv
import logging

import cv2
import numpy as np
import pytest

from training.own import checking
from training.own.checking import check_images, line
from training.own.checks import Finding
from training.own.collection import collect

SIDE = 120


def disks():
    labels = np.zeros((SIDE, SIDE), np.uint16)
    for cell, (y, x) in enumerate(((20, 20), (20, 70), (60, 30), (75, 80), (100, 20)), start=1):
        cv2.circle(labels, (x, y), 11, cell, -1)
    return labels


@pytest.fixture
def look(tmp_path, caplog):
    """Function that looks at one good image and others with the labels given; names that are left, number of those with
    findings, lines of the log.
    """
    caplog.set_level(logging.INFO)

    def check(**labels):
        image = np.where(disks() > 0, 200, 40).astype(np.uint8)
        image = (image + np.random.default_rng(0).integers(0, 20, image.shape)).astype(np.uint8)
        for name, own in {"good": disks(), **labels}.items():
            cv2.imwrite(str(tmp_path / f"{name}.png"), image)
            cv2.imwrite(str(tmp_path / f"{name}_label.png"), own)
        usable, wrong = check_images(collect(tmp_path, tmp_path, None)[0], tmp_path / "checks")
        return {i.name for i in usable}, wrong, caplog.text

    return check


def test_good_labels_leave_no_picture(look, tmp_path):
    names, wrong, said = look()
    assert (names, wrong) == ({"good"}, 0)
    assert not (tmp_path / "checks").exists()
    assert "1 images, 0 with findings, 0 left out; 5 cells" in said


def test_what_cannot_be_right_is_left_out(look):
    mask = np.where(disks() > 0, 255, 0).astype(np.uint8)
    names, wrong, said = look(mask=mask, large=np.zeros((SIDE, SIDE + 4), np.uint8), shape=disks()[:90].T)
    assert (names, wrong) == ({"good"}, 3)
    assert "0/255 mask" in said
    assert "size: 124x120 pixels for an image of 120x120" in said


def test_a_transposed_file_is_told_by_its_shape(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.arange(40 * 30, dtype=np.uint16).reshape(30, 40))
    cv2.imwrite(str(tmp_path / "a_label.png"), np.ones((40, 30), np.uint8))
    with pytest.raises(ValueError, match="no image with usable labels"):
        check_images(collect(tmp_path, tmp_path, None)[0], tmp_path / "checks")
    assert [p.name for p in sorted((tmp_path / "checks").iterdir())] == ["001_transposed_a.png", "findings.csv"]


def test_what_may_be_right_stays_and_is_shown(look, tmp_path):
    labels = disks()
    labels[18:22, 18:22] = 0
    names, wrong, said = look(hole=labels)
    assert (names, wrong) == ({"good", "hole"}, 1)
    assert "hole_label.png: holes: cells with holes; fill them, unless they are really there (number 1)" in said
    (row,) = csv.DictReader((tmp_path / "checks/findings.csv").read_text(encoding="utf-8").splitlines())
    assert (row["image"], row["kind"], row["left out"], row["cells"]) == ("hole", "holes", "0", "1")
    shown = cv2.imread(str(tmp_path / "checks/001_holes_hole.png"))
    red = (shown == (0, 0, 255)).all(axis=2)
    assert red[:35, :35].any()
    assert not red[40:].any()
    assert (shown == (0, 255, 0)).all(axis=2)[40:].any()


def test_what_was_corrected_is_no_longer_shown(look, tmp_path):
    labels = disks()
    labels[18:22, 18:22] = 0
    look(hole=labels)
    (tmp_path / "checks/mine.png").write_bytes(b"")
    look(hole=disks())
    assert [p.name for p in (tmp_path / "checks").iterdir()] == ["mine.png"]


def test_images_without_cells_stay_as_negatives(look):
    names, wrong, said = look(empty=np.zeros((SIDE, SIDE), np.uint8))
    assert (names, wrong) == ({"good", "empty"}, 0)
    assert "1 images without cells, which show what is none: empty (" in said
    assert "empty_label.png)" in said


def test_masks_of_touching_cells_are_told_by_the_others(look):
    touching = np.zeros((SIDE, SIDE), np.uint16)
    touching[9:31, 9:81] = 1
    names, wrong, said = look(good=(disks() > 0).astype(np.uint16), touching=touching, other=disks())
    assert (names, wrong) == ({"other", "touching"}, 1)
    assert "5 parts share the number 1" in said


def test_all_masks_are_left_out(tmp_path):
    for name, cells in (("a", (1, 2)), ("b", (3,))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.where(disks() > 0, 200, 40).astype(np.uint8))
        cv2.imwrite(str(tmp_path / f"{name}_label.png"), np.isin(disks(), cells).astype(np.uint8))
    images = collect(tmp_path, tmp_path, None)[0]
    with pytest.raises(ValueError, match="no image with usable labels"):
        check_images(images, None)
    usable, wrong = check_images(images, None, trust=True)
    assert ([i.name for i in usable], wrong) == (["a", "b"], 2)


def test_labels_of_another_size_are_left_out_though_trusted(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    for name, shape in (("a", (SIDE, SIDE)), ("b", (SIDE, SIDE - 4))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.where(disks() > 0, 200, 40).astype(np.uint8))
        cv2.imwrite(str(tmp_path / f"{name}_label.png"), disks()[: shape[0], : shape[1]])
    usable, _ = check_images(collect(tmp_path, tmp_path, None)[0], None, trust=True)
    assert [i.name for i in usable] == ["a"]


def test_scattered_pixels_are_red_and_enlarged(look, tmp_path):
    data = cv2.imencode(".jpg", (disks() * 40).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    _, _, said = look(spoilt=cv2.imdecode(data, cv2.IMREAD_GRAYSCALE))
    assert "1 left out (--trust-labels takes them all the same)" in said
    shown = cv2.imread(str(tmp_path / "checks/001_JPEG_spoilt.png"))
    assert shown.shape == (6 * SIDE, 6 * SIDE, 3)
    assert (shown == (0, 0, 255)).all(axis=2).sum() >= 20 * 36


def test_many_numbers_are_cut_short():
    class Image:
        label = "a.tif"

    assert line(Image, Finding("specks", "t", tuple(range(1, 12)))) == (
        "a.tif: specks: t (numbers 1, 2, 3, 4, 5, 6, 7, 8 and 3 more)"
    )


def test_pictures_of_a_look_that_was_broken_off_are_removed_by_the_next(look, tmp_path, monkeypatch):
    labels = disks()
    labels[18:22, 18:22] = 0
    write, written = checking.write_png, []

    def stopped(path, picture):
        if written:
            raise KeyboardInterrupt
        write(path, picture)
        written.append(path)

    with monkeypatch.context() as patch:
        patch.setattr(checking, "write_png", stopped)
        with pytest.raises(KeyboardInterrupt):
            look(hole=labels, other=labels)
    assert written[0].exists()
    look(hole=disks(), other=disks())
    assert not written[0].exists()
