"""training.own.collection: images with their labels from folders and manifests, and what is of one field."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.images.manifest import Record
from training.own.collection import collect, fields_of, groups_of, unique_names


def write(path, value, shape=(6, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full(shape, value, np.uint8))


def test_folders(tmp_path):
    write(tmp_path / "images/x/a.png", 9)
    write(tmp_path / "images/b.png", 9)
    write(tmp_path / "images/c.png", 9)
    write(tmp_path / "labels/x/a_label.png", 3)
    write(tmp_path / "labels/b.png", 0)
    found, problems = collect(tmp_path / "images", tmp_path / "labels", None, partial=True)
    assert [(i.name, i.cells, i.partial) for i in found] == [("b", 0, True), ("x/a", 1, True)]
    assert problems == []


def test_a_damaged_file_leaves_the_others(tmp_path):
    write(tmp_path / "images/a.png", 9)
    write(tmp_path / "images/b.png", 9)
    write(tmp_path / "labels/a.png", 3)
    (tmp_path / "labels/b.png").write_bytes(b"nothing")
    found, problems = collect(tmp_path / "images", tmp_path / "labels", None)
    assert [i.name for i in found] == ["a"]
    assert len(problems) == 1
    assert "b.png" in problems[0]
    (tmp_path / "labels/a.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="a.png"):
        collect(tmp_path / "images", tmp_path / "labels", None)


def test_a_manifest_of_all_splits(manifest):
    found, _ = collect(None, None, manifest)
    assert len(found) == 10
    assert {i.name for i in found} >= {"a/0", "b/1"}
    assert found[0].labels.shape == found[0].picture.shape == (96, 96)


def test_names_that_occur_twice():
    assert unique_names(["a", "b", "a"]) == ["a-1", "b", "a-2"]
    assert unique_names(["a", "a", "a-2"]) == ["a-1", "a-3", "a-2"]


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["f1_t001", "f1_t002", "f2_t001"], ["f1", "f1", "f2"]),
        (["m_frame1_z2", "m_frame2_z1"], ["m", "m"]),
        (["s1 tile 3", "s1 tile 4", "s2 tile 3"], ["s1", "s1", "s2"]),
        (["m1/t000", "m1/t001", "m2/t000", "t001"], ["m1", "m1", "m2", ""]),
        (["crop1", "crop2"], ["crop1", "crop2"]),
        (["s1_tile_0_0", "s1_tile_0_1", "s2_crop1-2"], ["s1", "s1", "s2"]),
        (["x_t24_01", "x_t24_02"], ["x_t24_01", "x_t24_02"]),
        (["Series1_t00_ch00", "Series1_t01_ch00", "Series2_t00_ch00"], ["Series1", "Series1", "Series2"]),
        (["e_xy01t00", "e_xy01t01", "e_xy02t00"], ["e_xy01", "e_xy01", "e_xy02"]),
        (["A01_f1_t0_C01", "A01_f1_t1_C01", "A01_f2_t0_C01"], ["A01_f1", "A01_f1", "A01_f2"]),
        (["s1_x0_y0", "s1_x512_y0", "s2_x0_y0"], ["s1", "s1", "s2"]),
        (["s1 [x=0,y=0,w=9,h=9]", "s1 [x=9,y=0,w=9,h=9]"], ["s1", "s1"]),
        (["a_c1", "a_c2"], ["a_c1", "a_c2"]),
        (["a_ch1_t0", "a_ch2_t0", "s_x-512_y0"], ["a", "a", "s"]),
        (["set1", "set2", "set10"], ["set1", "set2", "set10"]),
        (["cat", "x_float2"], ["cat", "x_float2"]),
        ([f"{m}_{n}" for m in "abcd" for n in "12"], [m for m in "abcd" for _ in "12"]),
        ([f"{m}_{n}" for m in "abc" for n in "12"], [f"{m}_{n}" for m in "abc" for n in "12"]),
    ],
)
def test_fields_by_their_names(names, groups):
    assert groups_of(names) == groups


def test_frames_of_a_manifest_are_of_their_folders(tmp_path):
    records = [Record(tmp_path / f"m{m}" / f"t00{t}.tif", None, "", "lab") for m in (1, 2) for t in (1, 2, 3)]
    assert [Path(field).name for field in fields_of(records)] == ["m1"] * 3 + ["m2"] * 3


def test_copies_of_an_image_are_of_one_field(tmp_path, caplog):
    """Under other names, turned or mirrored; those without content, such as two empty frames, are none."""
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8), np.uint8)
    images = {"a_t1": pixels, "a_t2": pixels // 2, "b": pixels[::-1], "c_t1": pixels.T, "d": pixels // 3}
    images |= {"e": pixels * 0, "f": pixels * 0}
    for name, array in images.items():
        write(tmp_path / f"{name}_label.png", 1, array.shape)
        cv2.imwrite(str(tmp_path / f"{name}.png"), array)
    found, _ = collect(tmp_path, tmp_path, None)
    assert [i.group for i in found] == ["a", "a", "a", "a", "d", "e", "f"]
    assert "a_t1.png and " in caplog.text
    assert caplog.text.count("are the same image") == 2
