"""training.own.split: what is held out of few and of many images, field by field."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.own.collection import OwnImage
from training.own.split import split_images
from training.readers.label_images import RawLabels


def own(names, cells=True):
    labels = RawLabels(np.full((2, 2), int(cells), np.uint16))
    return [OwnImage(Path(n), Path(n), n, n.split("_")[0], labels) for n in names]


def counts(number, **more):
    return Counter(split_images(own([f"{n:02}" for n in range(number)]), **more).values())


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (2, {"train": 1, "val": 1}),
        (4, {"train": 3, "val": 1}),
        (5, {"train": 3, "val": 2}),
        (10, {"train": 7, "val": 3}),
        (20, {"train": 15, "val": 5}),
        (32, {"train": 24, "val": 4, "test": 4}),
    ],
)
def test_how_many_are_held_out(images, expected):
    assert counts(images) == expected


def test_a_field_is_on_one_side():
    names = [f"f{field}_{frame}" for field in range(6) for frame in range(4)]
    splits = split_images(own(names))
    for field in range(6):
        assert len({splits[f"f{field}_{frame}"] for frame in range(4)}) == 1
    assert Counter(splits.values()) == {"train": 16, "val": 8}


def test_a_single_movie_is_split_with_a_warning(caplog):
    assert Counter(split_images(own([f"m_{n}" for n in range(8)])).values()) == {"train": 6, "val": 2}
    assert "one field or movie" in caplog.text


def test_images_without_cells_do_not_take_the_place_of_others():
    splits = split_images(own(["a", "b", "c"]) + own([f"empty{n}" for n in range(8)], cells=False))
    assert sum(splits[n] == "val" for n in "abc") == 1
    assert sum(splits[f"empty{n}"] == "val" for n in range(8)) == 2


def test_fields_whose_cells_all_touch_the_border_do_not_judge(caplog):
    inside = np.zeros((20, 20), np.uint16)
    inside[5:15, 5:15] = 1
    images = own([f"border{n}" for n in range(6)])
    split_images(images)
    assert "in no image is a cell wholly inside" in caplog.text
    images += [replace(image, raw=RawLabels(inside)) for image in own(["a", "b"])]
    assert {name for name, split in split_images(images).items() if split == "val"} == {"a", "b"}


def test_the_seed_decides_and_nothing_else():
    images = own([f"{n}" for n in range(12)])
    assert split_images(images, 1) == split_images(images[::-1], 1)
    assert len({tuple(split_images(images, seed).values()) for seed in range(5)}) > 1


def test_one_image_is_too_few():
    with pytest.raises(ValueError, match="label another one"):
        split_images(own(["a"]) + own(["b"], cells=False))
