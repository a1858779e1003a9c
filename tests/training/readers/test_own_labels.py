"""training.readers.own_labels: which label file is which image's, by the names that other programs give them."""

import json
import os
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.outputs.cellpose_seg import write_cellpose_seg
from inference.outputs.label_rows import LabelRows
from inference.outputs.label_tiff import write_label_tiff
from inference.running.provenance import Provenance, content_digest
from training.readers.own_labels import ENDINGS, as_written, find_pairs, read_own_labels


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def found(images, labels):
    pairs, without = find_pairs(images, labels)
    return {p.image.name: p.label.name for p in pairs}, [p.name for p in without]


@pytest.mark.parametrize(
    "label",
    [
        "a.tif",
        "a.png",
        "a_label.tiff",
        "a_labels.tif",
        "a_mask.png",
        "a_cp_masks.png",
        "a_seg.npy",
        "a.npy",
        "a_Objects.tiff",
        "a.geojson",
        "a_RoiSet.zip",
        "a.roi",
        "a-nuclei.tif",
        "a labels.tif",
        "aMask.tif",
        "mask_a.png",
        "label_a.png",
        "a.tif.geojson",
        "a.json",
        "a RoiSet.zip",
        "RoiSet.zip",
        "a.tif_label.tiff",
    ],
)
def test_the_names_that_programs_give(tmp_path, label):
    touch(tmp_path, "images/a.tif", f"labels/{label}", "labels/a_overlay.png")
    assert found(tmp_path / "images", tmp_path / "labels") == ({"a.tif": label}, [])


def test_labels_among_the_images_are_no_images(tmp_path):
    touch(tmp_path, "a.tif", "a_seg.npy", "a_flows.tif", "b.tif", "b_masks.tif", "c.tif")
    assert found(tmp_path, tmp_path) == ({"a.tif": "a_seg.npy", "b.tif": "b_masks.tif"}, ["c.tif"])


def test_labels_in_numpy_files_among_the_images_are_no_images(tmp_path):
    touch(tmp_path, "a.tif", "a.npy", "b.tif", "b.npy")
    assert found(tmp_path, tmp_path) == ({"a.tif": "a.npy", "b.tif": "b.npy"}, [])


def test_images_in_numpy_files_are_images(tmp_path):
    touch(tmp_path, "images/a.npy", "images/b.npy", "images/b_masks.npy", "labels/a.tif", "labels/b.npy")
    assert found(tmp_path / "images", tmp_path / "labels") == ({"a.npy": "a.tif", "b.npy": "b.npy"}, [])


def test_results_in_a_folder_among_the_images_are_no_images(tmp_path):
    touch(tmp_path, "images/a.tif", "images/x/a_2.tif", "images/results/a_label.tiff", "images/results/a_overlay.png")
    touch(tmp_path, "labels/a.tif", "labels/x/a_2.tif", "images/results/x/a_2_label.tiff")
    expected = {"a.tif": "a.tif", "a_2.tif": "a_2.tif"}
    assert found(tmp_path / "images", tmp_path / "labels") == (expected, [])


def test_labels_beside_the_images_are_none_where_others_are_given(tmp_path):
    """What predict.py wrote, and corrected copies of it; labels in a folder among the images."""
    for labels in ("elsewhere", "one/labels"):
        touch(tmp_path, "one/a.tif", "one/a_label.tiff", f"{labels}/a_label.tif")
        assert found(tmp_path / "one", tmp_path / labels) == ({"a.tif": "a_label.tif"}, [])


@pytest.mark.parametrize(
    "images, label",
    [
        (("x/a.tif", "y/a.tif"), "a_label.tif"),
        (("a.tif", "a.png"), "a_mask.tif"),
        (("img_0.tif", "image_0.tif"), "0.tif"),
    ],
)
def test_a_file_that_may_be_two_images_is_neithers(tmp_path, caplog, images, label):
    touch(tmp_path, *(f"images/{name}" for name in (*images, "b.tif")), f"labels/{label}", "labels/b.tif")
    assert found(tmp_path / "images", tmp_path / "labels")[0] == {"b.tif": "b.tif"}
    assert f"{label}: may be the labels of" in caplog.text
    assert all(str(Path(name)) in caplog.text for name in images)


def test_a_name_with_its_ending_is_that_image(tmp_path):
    touch(tmp_path, "images/a.tif", "images/a.png", "labels/a.tif_label.tiff")
    assert found(tmp_path / "images", tmp_path / "labels") == ({"a.tif": "a.tif_label.tiff"}, ["a.png"])


def test_accents_are_the_same_however_they_are_written(tmp_path):
    touch(tmp_path, "images/Pra\u0308parat.tif", "labels/Pr\u00e4parat_label.tif")
    assert len(found(tmp_path / "images", tmp_path / "labels")[0]) == 1


def test_of_coco_and_a_file_the_one_changed_last_counts(tmp_path):
    """But cells count more than none, wherever they are."""
    images = [{"id": n, "file_name": name} for n, name in enumerate(("a.tif", "b.tif"))]
    outline = [[1, 2, 4, 2, 4, 5, 1, 5]]
    for name, number in (("one.json", 0), ("two.json", 1)):
        content = {"images": images, "annotations": [{"image_id": number, "segmentation": outline}]}
        touch(tmp_path, f"labels/{name}")
        (tmp_path / "labels" / name).write_text(json.dumps(content))
    touch(tmp_path, "images/a.tif", "images/b.tif")
    assert found(tmp_path / "images", tmp_path / "labels") == ({"a.tif": "one.json", "b.tif": "two.json"}, [])
    touch(tmp_path, "labels/a_label.tif", "labels/b_label.tif")
    os.utime(tmp_path / "labels/a_label.tif", (1, 1))
    os.utime(tmp_path / "labels/b_label.tif", (2**31, 2**31))
    assert found(tmp_path / "images", tmp_path / "labels") == ({"a.tif": "one.json", "b.tif": "b_label.tif"}, [])


def test_the_file_that_was_changed_last_counts(tmp_path):
    touch(tmp_path, "images/a.tif", "labels/a_label.tiff", "labels/a_seg.npy")
    os.utime(tmp_path / "labels/a_label.tiff", (2000, 2000))
    os.utime(tmp_path / "labels/a_seg.npy", (1000, 1000))
    assert found(tmp_path / "images", tmp_path / "labels")[0] == {"a.tif": "a_label.tiff"}
    os.utime(tmp_path / "labels/a_seg.npy", (3000, 3000))
    assert found(tmp_path / "images", tmp_path / "labels")[0] == {"a.tif": "a_seg.npy"}


def test_what_predict_wrote_does_not_replace_other_labels(tmp_path, caplog):
    """Predicted later, beside the images; else predictions would be compared with themselves."""
    caplog.set_level("INFO")
    touch(tmp_path, "a.tif", "a_mask.png", "b.tif", "b_mask.png", "c.tif", "d.tif", "d_mask.png", "d_seg.npy")
    labels = LabelRows.of(np.ones((6, 8), np.uint16))
    for name in "ac":
        software = str(Provenance("1.0", "ab", "cd", "ef"))
        write_label_tiff(tmp_path / f"{name}_label.tiff", [labels], software=software)
    write_cellpose_seg(tmp_path / "b_seg.npy", labels, tmp_path / "b.tif", 9.0)
    for name in ("a_label.tiff", "b_seg.npy", "d_seg.npy"):
        os.utime(tmp_path / name, (2**31, 2**31))
    expected = {"a.tif": "a_mask.png", "b.tif": "b_mask.png", "c.tif": "c_label.tiff", "d.tif": "d_seg.npy"}
    assert found(tmp_path, tmp_path) == (expected, [])
    assert "a.tif: labels from a_mask.png, not from a_label.tiff" in caplog.text


def test_outlines_that_predict_wrote_do_not_replace_its_labels(tmp_path):
    """Until somebody corrects them."""
    touch(tmp_path, "a.tif", "a.geojson")
    (tmp_path / "a.geojson").write_text("{}")
    digests = {".geojson": content_digest(tmp_path / "a.geojson")}
    software = str(Provenance("1.0", "ab", "cd", "ef", (".geojson",), digests=digests))
    write_label_tiff(tmp_path / "a_label.tiff", [LabelRows.of(np.ones((6, 8), np.uint16))], software=software)
    for name, stamp in (("a_label.tiff", 3000), ("a.geojson", 1000)):
        os.utime(tmp_path / name, (stamp, stamp))
    assert as_written(tmp_path / "a.geojson")
    assert found(tmp_path, tmp_path)[0] == {"a.tif": "a_label.tiff"}
    (tmp_path / "a.geojson").write_text("{ }")
    os.utime(tmp_path / "a.geojson", (1000, 1000))
    assert found(tmp_path, tmp_path)[0] == {"a.tif": "a.geojson"}


def test_a_number_behind_the_name_is_another_image(tmp_path):
    touch(tmp_path, "images/A1.tif", "images/B1.tif", "labels/A1_2_mask.tif", "labels/B1_mask.tif")
    assert found(tmp_path / "images", tmp_path / "labels") == ({"B1.tif": "B1_mask.tif"}, ["A1.tif"])


def test_a_file_for_each_cell_is_none_for_the_image(tmp_path, caplog):
    touch(tmp_path, "images/a.tif", "images/b.tif", "labels/b.tif", *(f"labels/a_mask_{n}.png" for n in range(1, 13)))
    assert found(tmp_path / "images", tmp_path / "labels") == ({"b.tif": "b.tif"}, ["a.tif"])
    assert "and 11 more differ in a number alone" in caplog.text


def test_a_longer_name_is_another_image(tmp_path):
    touch(tmp_path, "images/a.tif", "images/a_2.tif", "labels/a_2_cells.tif", "labels/a_nuclei.tif")
    assert found(tmp_path / "images", tmp_path / "labels")[0] == {"a.tif": "a_nuclei.tif", "a_2.tif": "a_2_cells.tif"}


def test_a_label_with_an_images_name_is_not_that_of_a_shorter_name(tmp_path, caplog):
    touch(tmp_path, *(f"images/{name}.tif" for name in ("a", "a_1", "a_2")), "labels/a_1.tif", "labels/a_2.png")
    assert found(tmp_path / "images", tmp_path / "labels") == ({"a_1.tif": "a_1.tif", "a_2.tif": "a_2.png"}, ["a.tif"])
    assert "may be the labels" not in caplog.text


@pytest.mark.parametrize("label", ["a.ome_cp_masks.tif", "a.ome_seg.npy", "a.ome.geojson", "a.ome.tif", "a_label.tif"])
def test_labels_of_an_ome_tiff(tmp_path, label):
    """Cellpose and QuPath leave .tif alone away."""
    touch(tmp_path, "images/a.ome.tif", "images/b.tif", f"labels/{label}")
    assert found(tmp_path / "images", tmp_path / "labels") == ({"a.ome.tif": label}, ["b.tif"])


def test_labels_of_an_image_called_img(tmp_path):
    touch(tmp_path, "000_img.png", "000_masks.png", "001_img.png", "img_2.png", "mask_2.png")
    assert found(tmp_path, tmp_path)[0] == {
        "000_img.png": "000_masks.png",
        "img_2.png": "mask_2.png",
    }
    touch(tmp_path, "000.png")
    assert found(tmp_path, tmp_path)[0] == {"000.png": "000_masks.png", "img_2.png": "mask_2.png"}


def test_a_roi_set_is_the_only_images(tmp_path):
    touch(tmp_path, "images/a.tif", "images/b.tif", "labels/RoiSet.zip", "labels/b.roi")
    assert found(tmp_path / "images", tmp_path / "labels")[0] == {"b.tif": "b.roi"}


def test_files_that_are_no_images_are_named(tmp_path, caplog):
    touch(tmp_path, "images/a.tif", "labels/a.png", "labels/a_label.tif", "labels/a_overlay.png", "labels/c_label.tif")
    found(tmp_path / "images", tmp_path / "labels")
    assert "labels: 1 files belong to no image by their names: c_label.tif" in caplog.text


def test_sub_folders_are_told_apart(tmp_path):
    touch(tmp_path, "images/x/a.tif", "images/y/a.tif", "labels/x/a.png", "labels/y/a_mask.png")
    pairs, _ = find_pairs(tmp_path / "images", tmp_path / "labels")
    assert [p.label.relative_to(tmp_path / "labels").as_posix() for p in pairs] == ["x/a.png", "y/a_mask.png"]


def test_one_coco_file_labels_all_images(tmp_path):
    touch(tmp_path, "images/a.tif", "images/b.tif")
    content = {
        "images": [{"id": 1, "file_name": "b.tif", "height": 2, "width": 2}],
        "annotations": [{"id": 1, "image_id": 1, "segmentation": [[0, 0, 1, 0, 1, 2, 0, 2]]}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(content))
    pairs, without = find_pairs(tmp_path / "images", tmp_path / "coco.json")
    assert [p.name for p in without] == ["a.tif"]
    assert pairs[0].read((2, 2)).labels.tolist() == [[1, 0], [1, 0]]


def test_each_pair_reads_its_own_file(tmp_path):
    (tmp_path / "images").mkdir()
    for number, name in ((3, "a"), (5, "b")):
        touch(tmp_path, f"images/{name}.tif")
        cv2.imwrite(str(tmp_path / f"{name}_label.png"), np.full((2, 2), number, np.uint8))
    pairs, _ = find_pairs(tmp_path / "images", tmp_path)
    assert [p.read((2, 2)).labels.max() for p in pairs] == [3, 5]


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        ("none", "labels", "no such folder"),
        ("images", "none", "no such file or folder"),
        ("empty", "labels", "no images"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, images, labels, words):
    touch(tmp_path, "images/a.tif", "labels/x.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=words):
        find_pairs(tmp_path / images, tmp_path / labels)


def test_no_label_for_any_image_names_one_that_would_do(tmp_path):
    touch(tmp_path, "images/a.tif", "labels/x.npy")
    with pytest.raises(ValueError, match="a_label.tif"):
        find_pairs(tmp_path / "images", tmp_path / "labels")


def test_no_label_for_any_image_names_what_is_there(tmp_path):
    touch(tmp_path, "images/a.tif", "labels/x.npy")
    (tmp_path / "labels/c.json").write_text('{"images": [{"id": 1, "file_name": "b.tif"}], "annotations": []}')
    with pytest.raises(ValueError, match=r"there are x\.npy; COCO has b\.tif"):
        find_pairs(tmp_path / "images", tmp_path / "labels")


def test_geojson_is_told_by_its_content(tmp_path):
    geometry = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 2], [0, 2]]]}
    (tmp_path / "a.json").write_text(json.dumps([{"type": "Feature", "geometry": geometry}]))
    assert read_own_labels(tmp_path / "a.json", (2, 2)).labels.tolist() == [[1, 0], [1, 0]]


@pytest.mark.parametrize("content", ['{"shapes": [', '{"images": [{"id": 1}], "annotations": []}'])
def test_a_damaged_json_file_is_the_image_of_its_name(tmp_path, content):
    touch(tmp_path, "images/a.tif", "images/b.tif", "labels/b.png")
    (tmp_path / "labels/a.json").write_text(content)
    pairs, _ = find_pairs(tmp_path / "images", tmp_path / "labels")
    assert [p.label.name for p in pairs] == ["a.json", "b.png"]
    with pytest.raises(ValueError, match=r"a\.json"):
        pairs[0].read((2, 2))
    with pytest.raises(ValueError, match=r"a\.json"):
        find_pairs(tmp_path / "images", tmp_path / "labels/a.json")


def test_many_images_are_paired_at_once(tmp_path):
    """In a moment; looking at each file for each image takes 24 seconds."""
    touch(tmp_path, *(f"images/{n}.tif" for n in range(400)), *(f"labels/{n}_label.tif" for n in range(400)))
    began = time.perf_counter()
    assert len(found(tmp_path / "images", tmp_path / "labels")[0]) == 400
    assert time.perf_counter() - began < 5


def test_every_ending_has_a_reader(tmp_path):
    """A file of nonsense is refused with its name, by whatever library reads it."""
    for ending in ENDINGS:
        path = Path(tmp_path / f"a{ending}")
        path.write_bytes(b"nonsense")
        with pytest.raises(ValueError, match=f"a{ending}"):
            read_own_labels(path, (2, 2))


def test_one_file_in_the_place_of_a_folder(tmp_path):
    touch(tmp_path, "images/a.png", "images/b.png", "a_label.png")
    with pytest.raises(ValueError, match="a_label.png: a file, .* give the folder in which the files of labels are"):
        find_pairs(tmp_path / "images", tmp_path / "a_label.png")
