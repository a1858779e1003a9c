"""inference.reading.folders: each file of a folder once, whatever links there are."""

import os

from inference.reading.folders import files_in


def test_links_are_followed_and_circles_end(tmp_path):
    array, elsewhere = tmp_path / "image.zarr", tmp_path / "elsewhere"
    (array / "b").mkdir(parents=True)
    elsewhere.mkdir()
    for path in (array / "z.json", array / "a.json", array / "b" / "0", elsewhere / "chunk"):
        path.write_bytes(b"")
    os.symlink(elsewhere, array / "c")
    os.symlink(array, array / "b" / "around")
    found = [path.relative_to(array).as_posix() for path in files_in(array)]
    assert found == ["a.json", "z.json", "b/0", "c/chunk"]


def test_no_folder_holds_nothing(tmp_path):
    assert list(files_in(tmp_path / "nowhere")) == []
