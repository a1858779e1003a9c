"""Which files a run takes, and the reason for everything that it leaves out."""

import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import zarr

from inference.reading import ImageError
from inference.running.finding import find_images, read_list

PIXELS = np.zeros((4, 5), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Images under right, wrong and missing names, results, and other things."""
    root = tmp_path / "in"
    (root / "day 1" / "well").mkdir(parents=True)
    (root / "empty folder").mkdir()
    png = cv2.imencode(".png", PIXELS)[1].tobytes()
    for name in (
        "a.png",
        "b.dat",
        "noending",
        "day 1/a.png",
        "day 1/well/c.jpg",
        ".hidden.png",
        "._a.png",
        "a_cp_masks.png",
        "x.1_masks.png",
        "a_overlay.png",
        "day 1/a_masks.png",
    ):
        (root / name).write_bytes(png)
    tifffile.imwrite(root / "a_label.tiff", PIXELS)
    np.save(root / "a_seg.npy", PIXELS)
    (root / "broken.tif").write_bytes(b"nothing")
    (root / "notes.txt").write_text("BMI and P5 are no pictures")
    (root / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    (root / "cells.oib").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    (root / "cells.nd2").write_bytes(b"\xda\xce\xbe\x0a")
    (root / "gone.png").symlink_to(root / "nowhere")
    zarr.open_array(root / "plain zarr", mode="w", shape=(2, 2), dtype="u1")
    return root


TAKEN = ["a.png", "b.dat", "broken.tif", "cells.nd2", "cells.oib", "gone.png", "noending", "plain zarr"]


def test_a_folder(folder):
    images, skipped = find_images([folder])
    assert [found.path.name for found in images] == TAKEN
    assert {found.folder for found in images} == {Path()}
    reasons = {entry.path.name: entry.reason for entry in skipped}
    assert {name for name, reason in reasons.items() if reason == "hidden"} == {".hidden.png", "._a.png"}
    results = {name for name, reason in reasons.items() if "name is that of a result" in reason}
    assert results == {"a_cp_masks.png", "x.1_masks.png", "a_overlay.png", "a_label.tiff", "a_seg.npy"}
    assert {name for name, reason in reasons.items() if "--recursive" in reason} == {"day 1", "empty folder"}
    assert {name for name, reason in reasons.items() if reason == "not an image"} == {"notes.txt", "Thumbs.db"}
    assert len(images) + len(skipped) == len(list(folder.iterdir())), "everything is named"


def test_recursive_keeps_the_structure(folder):
    images, skipped = find_images([folder], recursive=True)
    found = {str(image.path.relative_to(folder)): str(image.folder) for image in images}
    assert found == dict.fromkeys(TAKEN, ".") | {"day 1/a.png": "day 1", "day 1/well/c.jpg": "day 1/well"}
    assert any(entry.path == folder / "day 1" / "a_masks.png" for entry in skipped)


def test_results_of_cellpose_are_told_by_all_of_their_names(tmp_path):
    for name in ("live_cp_01.png", "a_cp_masks_1.png", "a_cp_output.png"):
        (tmp_path / name).write_bytes(cv2.imencode(".png", PIXELS)[1].tobytes())
    assert [found.path.name for found in find_images([tmp_path])[0]] == ["live_cp_01.png"]


def test_a_challenge_takes_every_name(folder):
    images, skipped = find_images([folder], any_name=True)
    assert len(images) == len(TAKEN) + 6
    assert {entry.path.name for entry in skipped} == {
        "day 1",
        "empty folder",
        "notes.txt",
        "Thumbs.db",
        "._a.png",
    }


def test_named_files_patterns_and_the_same_file_twice(folder):
    images, skipped = find_images(
        [folder / "a_label.tiff", folder / "a.png", folder / "*.png", str(folder / "**/c.jpg")]
    )
    assert [found.path.name for found in images] == ["a_label.tiff", "a.png", "gone.png", "c.jpg"]
    assert {entry.path.name for entry in skipped} == {"a_cp_masks.png", "x.1_masks.png", "a_overlay.png"}


def test_nothing_to_do(folder):
    with pytest.raises(ImageError, match=r"nowhere: no such file or folder"):
        find_images([folder / "a.png", folder / "nowhere"])
    with pytest.raises(ImageError, match=r"\*\.xyz: no such file"):
        find_images([folder / "*.xyz"])
    with pytest.raises(ImageError, match=r"no images in this folder; it is empty"):
        find_images([folder / "empty folder"])
    (folder / "empty folder" / "x.txt").touch()
    with pytest.raises(ImageError, match=r"no images.*x\.txt \(not an image\)"):
        find_images([folder / "empty folder"])


def test_an_empty_name_is_not_this_folder(folder):
    with pytest.raises(ImageError, match="-i with an empty name"):
        find_images(["", str(folder)])


def test_a_list(folder):
    (folder / "list.txt").write_text("a.png\n\n# a comment\nday 1/well/c.jpg\nlost.png\n")
    assert [found.path for found in read_list(folder / "list.txt")] == [
        folder / n for n in ("a.png", "day 1/well/c.jpg", "lost.png")
    ]
    (folder / "list.txt").write_text("# nothing\n")
    for name in ("list.txt", "nowhere.txt", "a.png"):
        with pytest.raises(ImageError, match=rf"{name}: "):
            read_list(folder / name)


def test_a_list_that_is_no_plain_text(tmp_path):
    """Names of files hold no zero bytes, and the system refuses them with a word that names no file."""
    (tmp_path / "l.txt").write_bytes(b"a.png\nb\0.png\n")
    with pytest.raises(ImageError, match=r"l\.txt: not a list of files in UTF-8, for it holds zero bytes"):
        read_list(tmp_path / "l.txt")


def test_what_is_no_file(tmp_path):
    """One that calls itself an image is an image that fails, so that the exit code tells; nothing waits, and nothing
    ends the run.
    """
    for ending in ("", ".png"):
        os.mkfifo(tmp_path / f"pipe{ending}")
        (tmp_path / f"circle{ending}").symlink_to(tmp_path / f"circle{ending}")
        (tmp_path / f"gone{ending}").symlink_to("nowhere")
        (tmp_path / f"device{ending}").symlink_to("/dev/zero")
    images, skipped = find_images([tmp_path])
    assert [found.path.name for found in images] == ["circle.png", "device.png", "gone.png", "pipe.png"]
    assert {entry.path.name: entry.reason.split(" (")[0] for entry in skipped} == {
        "circle": "a link to nothing",
        "gone": "a link to nothing",
        "pipe": "a pipe, socket or device",
        "device": "a pipe, socket or device",
    }


@pytest.fixture
def stranger():
    """A folder in which somebody who is not root looks around."""
    with tempfile.TemporaryDirectory() as folder:
        root, closed = Path(folder), Path(folder) / "closed"
        root.chmod(0o755)
        for name in ("in", "in/sub", "closed"):
            (root / name).mkdir()
        for name in ("in/a.png", "in/sub/b.png", "closed/a.png"):
            cv2.imwrite(str(root / name), PIXELS)
        (root / "in" / "link.png").symlink_to(closed / "a.png")
        closed.chmod(0), (root / "in" / "sub").chmod(0)
        mine = os.geteuid()
        if mine == 0:
            os.seteuid(12345)
        try:
            yield root
        finally:
            os.seteuid(mine)
            closed.chmod(0o700), (root / "in" / "sub").chmod(0o700)


def names(found):
    return [image.path.name for image in found[0]]


def test_links_and_folders_where_one_may_not_look(stranger):
    """A closed folder within a folder is an image that fails only if its images were asked for."""
    assert names(find_images([stranger / "in"])) == ["a.png", "link.png"]
    assert names(find_images([stranger / "in"], recursive=True)) == ["a.png", "link.png", "sub"]


def test_named_ones_where_one_may_not_look(stranger):
    closed = stranger / "closed"
    assert names(find_images([closed / "a.png", closed, stranger / "in" / "a.png"])) == ["a.png", "closed", "a.png"]


def test_a_damaged_file_that_calls_itself_an_image(tmp_path):
    """It fails, where as "not an image" it would be missing from the results and the exit code would be 0."""
    damaged = ["a.tif", "b.zarr.zip", "c.nd2", "d.lif", "e.ims", "f.OIB"]
    for name in (*damaged, "g.zip", "h.txt"):
        (tmp_path / name).write_bytes(b"half of it")
    assert names(find_images([tmp_path])) == damaged


def test_a_folder_that_calls_itself_an_image(tmp_path):
    """It is an image that fails, unless it is gone into."""
    for name in ("day 1", "dir.png"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "a.png"), PIXELS)
    assert names(find_images([tmp_path])) == ["dir.png"]
    assert [str(image.folder) for image in find_images([tmp_path], recursive=True)[0]] == ["day 1", "dir.png"]


def test_what_is_named_and_no_file_does_not_end_the_run(tmp_path):
    """As where a shell fills in a pattern."""
    cv2.imwrite(str(tmp_path / "a.png"), PIXELS)
    (tmp_path / "gone.png").symlink_to("nowhere"), (tmp_path / "circle.png").symlink_to("circle.png")
    os.mkfifo(tmp_path / "pipe")
    assert names(find_images(sorted(tmp_path.iterdir()))) == ["a.png", "circle.png", "gone.png", "pipe"]


def test_folders_that_are_linked_into_themselves(tmp_path):
    """Each is gone into once."""
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / "x.png"), PIXELS)
        for other in ("a", "b", "c"):
            (tmp_path / name / f"to {other}").symlink_to(tmp_path / other)
    images, skipped = find_images([tmp_path], recursive=True)
    assert len(images) == 3
    assert any(entry.reason == "a link to a folder that it is in" for entry in skipped)


def test_a_result_whose_name_has_two_lines(tmp_path):
    for name in ("a\nb.png", "a\nb_masks.png"):
        (tmp_path / name).write_bytes(cv2.imencode(".png", PIXELS)[1].tobytes())
    images, skipped = find_images([str(tmp_path)])
    assert ([f.path.name for f in images], [s.path.name for s in skipped]) == (["a\nb.png"], ["a\nb_masks.png"])
