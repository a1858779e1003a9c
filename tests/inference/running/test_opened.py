"""The planes of a run's files, one after the other, with a reader that does what it is told to."""

from pathlib import Path

import numpy as np
import pytest

from inference.reading import Image, ImageError, Picture, ReadOptions
from inference.running.finding import Found
from inference.running.opened import open_all

OPTIONS = ReadOptions(z=1)


class Reader:
    """Files by name: the number of planes of each of their images; a plane of None cannot be read."""

    def __init__(self, files):
        self.files, self.asked = files, []

    def open_images(self, path, options):
        self.asked.append((path.name, options))
        images = self.files[path.name]
        if images is None:
            raise ImageError(f"{path.name}: damaged")
        return [self.image(n, planes, len(images) > 1) for n, planes in enumerate(images, 1)], f"digest of {path.name}"

    def image(self, number, planes, several):
        views = tuple(Picture(np.full((1, 1), 0 if plane is None else plane), "YX") for plane in planes)

        def load(view):
            if view.pixels == 0:
                raise ImageError("cut short")
            return view

        return Image(f"_s{number}" if several else "", "name" if several else "", (len(planes),), "Z", views, load)


def opened(**files):
    reader = Reader(files)
    return list(open_all([Found(Path(name)) for name in files], OPTIONS, reader)), reader


def test_every_plane_of_every_image():
    found, reader = opened(a=[[1], [2, 3]], b=[[4]])
    assert [(str(o.found.path), o.number, int(o.picture.pixels[0, 0])) for o in found] == [
        ("a", 0, 1),
        ("a", 1, 2),
        ("a", 1, 3),
        ("b", 0, 4),
    ]
    assert [o.images for o in found] == [2, 2, 2, 1]
    assert [o.last for o in found] == [False, True, True, True]
    assert [o.series for o in found] == ["1 name", "2 name", "2 name", None]
    assert [o.digest for o in found] == ["digest of a"] * 3 + ["digest of b"]
    assert reader.asked == [("a", OPTIONS), ("b", OPTIONS)]


def test_a_file_that_cannot_be_opened_leaves_the_others():
    (broken, other), _ = opened(a=None, b=[[4]])
    with pytest.raises(ImageError, match="a: damaged"):
        _ = broken.image
    with pytest.raises(ImageError, match="a: damaged"):
        _ = broken.picture
    assert broken.series is None
    assert other.picture.pixels == 4


def test_after_a_broken_plane_nothing_more_of_its_image_is_read():
    found, _ = opened(a=[[1, None, 3], [5]])
    assert [(o.number, o.error is None) for o in found] == [(0, True), (0, False), (1, True)]
    assert found[1].image.suffix == "_s1"
    with pytest.raises(ImageError, match="cut short"):
        _ = found[1].picture


def test_files_are_opened_when_they_are_asked_for():
    reader = Reader({"a": [[1]], "b": [[2]]})
    planes = open_all([Found(Path("a")), Found(Path("b"))], OPTIONS, reader)
    next(planes)
    assert [name for name, _ in reader.asked] == ["a"]
