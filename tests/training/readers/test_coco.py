"""training.readers.coco: which entry is which image's, and cells as polygons and as runs."""

from pathlib import Path

import numpy as np
import pytest
from label_files import SHAPE, filled, save

from training.readers.coco import Coco, decode_counts


def read(file, image):
    return file.read(file.match([image])[image], SHAPE)


def coco(tmp_path, *segmentations, **image):
    content = {
        "images": [{"id": 5, "file_name": "raw/a.tif", "width": 8, "height": 6, **image}, {"id": 6, "file_name": "b"}],
        "annotations": [
            {"id": n, "image_id": 5, "category_id": 1, "segmentation": s, "iscrowd": 0}
            for n, s in enumerate(segmentations)
        ],
        "categories": [{"id": 1, "name": "cell"}],
    }
    return Coco(save(tmp_path / "annotations.json", content))


def test_cocos_polygons_and_runs(tmp_path):
    """Runs go down the columns: 6 off, 2 on is the top of the second column."""
    file = coco(
        tmp_path,
        [[1, 2, 4, 2, 4, 5, 1, 5]],
        {"size": [6, 8], "counts": [6, 2, 40]},
        {"size": [6, 8], "counts": "T12:"},
    )
    expected = np.array(filled((2, 5, 1, 4)))
    expected[:2, 1] = 2
    expected[0:2, 6] = 3
    assert read(file, tmp_path / "a.tif").labels.tolist() == expected.tolist()


def test_compressed_runs_count_from_the_last_but_one():
    """36 takes two characters; the fourth number of the second text is 6 - 3."""
    assert decode_counts("T12:").tolist() == [36, 2, 10]
    assert decode_counts("567M").tolist() == [5, 6, 7, 3]


def test_runs_of_another_size_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"annotations\.json: shape 1 .*a mask's counts do not add up"):
        read(coco(tmp_path, {"size": [6, 8], "counts": [6, 2]}), tmp_path / "a.tif")


def matched(file, *names):
    """The paths in the file that belong to images, by the images' names."""
    found = file.match([Path(name) for name in names])
    return {image.as_posix(): "/".join(entry.parts) for image, entry in found.items()}


def listing(tmp_path, *names):
    images = [{"id": n, "file_name": name} for n, name in enumerate(names)]
    return Coco(save(tmp_path / "annotations.json", {"images": images, "annotations": []}))


def test_coco_knows_images_by_their_file_names(tmp_path):
    file = coco(tmp_path)
    assert matched(file, "images/a.tif", "c.tif") == {"images/a.tif": "raw/a.tif"}
    assert not read(file, Path("a.tif")).labels.any()


def test_paths_of_windows(tmp_path):
    assert matched(listing(tmp_path, "C:\\x\\a.tif"), "images/a.tif") == {"images/a.tif": "C:/x/a.tif"}


def test_images_of_one_name_are_told_apart_by_their_folders(tmp_path):
    file = listing(tmp_path, "y/a.tif", "x/a.tif")
    assert matched(file, "images/x/a.tif", "images/y/a.tif") == {
        "images/x/a.tif": "x/a.tif",
        "images/y/a.tif": "y/a.tif",
    }
    assert matched(file, "images/a.tif") == {}
    assert matched(listing(tmp_path, "x/a.tif"), "x/a.tif", "y/a.tif") == {"x/a.tif": "x/a.tif"}


def test_another_ending_is_no_other_image(tmp_path):
    assert matched(listing(tmp_path, "a.png"), "a.tif") == {"a.tif": "a.png"}
    assert matched(listing(tmp_path, "a.png", "a.jpg"), "a.tif") == {}
    assert matched(listing(tmp_path, "a.png", "a.tif"), "a.tif") == {"a.tif": "a.tif"}


def raw_coco(tmp_path, images, annotations):
    return save(tmp_path / "annotations.json", {"images": images, "annotations": annotations})


def test_an_image_that_is_listed_twice_has_the_cells_of_both(tmp_path):
    annotations = [{"image_id": 1, "segmentation": [[1, 2, 4, 2, 4, 5, 1, 5]]}]
    images = [{"id": 1, "file_name": "a.tif"}, {"id": 2, "file_name": "a.tif"}]
    assert read(Coco(raw_coco(tmp_path, images, annotations)), Path("a.tif")).labels.tolist() == filled((2, 5, 1, 4))


def test_a_crowd_is_no_cell(tmp_path, caplog):
    annotations = [
        {"image_id": 1, "segmentation": {"size": [6, 8], "counts": [0, 48]}, "iscrowd": 1},
        {"image_id": 1, "segmentation": [[1, 2, 4, 2, 4, 5, 1, 5]], "iscrowd": 0},
    ]
    file = Coco(raw_coco(tmp_path, [{"id": 1, "file_name": "a.tif"}], annotations))
    assert read(file, Path("a.tif")).labels.tolist() == filled((2, 5, 1, 4))
    assert "a.tif has 1 regions of crowds" in caplog.text


WHOLE = {"size": [6, 8], "counts": [0, 48]}
TWO = [{"id": 1, "file_name": "a.tif"}, {"id": 2, "file_name": "b.tif"}]


def test_crowds_alone_are_cells_painted_as_masks(tmp_path, caplog):
    """As CVAT and Datumaro mark these."""
    annotations = [
        {"image_id": n, "segmentation": {"size": [6, 8], "counts": [6, 2, 40]}, "iscrowd": 1} for n in (1, 2)
    ]
    file = Coco(raw_coco(tmp_path, TWO, annotations))
    assert read(file, Path("a.tif")).labels.tolist() == filled((0, 2, 1, 2))
    assert "all annotations are marked as crowds; each counts as a cell" in caplog.text


def test_an_image_of_crowds_alone_is_not_one_without_cells(tmp_path):
    annotations = [
        {"image_id": 1, "segmentation": WHOLE, "iscrowd": 1},
        {"image_id": 2, "segmentation": WHOLE, "iscrowd": 0},
    ]
    with pytest.raises(ValueError, match=r"annotations\.json: a\.tif has regions of crowds alone, .* \"iscrowd\": 0"):
        read(Coco(raw_coco(tmp_path, TWO, annotations)), Path("a.tif"))


def test_numbers_of_images_may_be_text(tmp_path):
    annotation = {"image_id": "1", "segmentation": [[1, 2, 4, 2, 4, 5, 1, 5]]}
    file = Coco(raw_coco(tmp_path, [{"id": 1, "file_name": "a.tif"}], [annotation]))
    assert read(file, Path("a.tif")).labels.tolist() == filled((2, 5, 1, 4))


def test_annotations_of_no_image_are_named(tmp_path, caplog):
    one, other = {"image_id": 1, "segmentation": [[0, 0, 1, 0, 1, 1]]}, {"image_id": 2}
    with pytest.raises(ValueError, match=r"annotations\.json: 1 annotations are of images that it does not list"):
        Coco(raw_coco(tmp_path, [{"id": 1, "file_name": "a.tif"}], [other]))
    Coco(raw_coco(tmp_path, [{"id": 1, "file_name": "a.tif"}], [one, other]))
    assert "1 annotations are of images that it does not list; they are left out" in caplog.text


@pytest.mark.parametrize("segmentation", [[], None, [[1, 2, 3]], {"size": [6, 8]}, "x"])
def test_cells_without_a_proper_outline_are_named(tmp_path, segmentation):
    annotation = {"image_id": 1, "bbox": [1, 1, 5, 5], "segmentation": segmentation}
    file = Coco(raw_coco(tmp_path, [{"id": 1, "file_name": "a.tif"}], [annotation]))
    with pytest.raises(ValueError, match=r"annotations\.json: shape 1 cannot be read"):
        read(file, Path("a.tif"))


@pytest.mark.parametrize(
    ("images", "annotations"),
    [([{"id": 1}], []), ([{"id": 1, "file_name": "a.tif"}], [{"id": 1}]), (None, []), ([3], [])],
)
def test_a_file_without_names_or_numbers_is_named(tmp_path, images, annotations):
    with pytest.raises(ValueError, match=r"annotations\.json: its images or annotations cannot be read"):
        Coco(raw_coco(tmp_path, images, annotations))


def test_coco_of_another_image_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"annotations\.json: has a\.tif with 7x8 pixels, not 6x8"):
        read(coco(tmp_path, height=7), tmp_path / "a.tif")
