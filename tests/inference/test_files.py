"""Which files are images, and the names of their results."""

from pathlib import Path

import pytest

from inference.files import label_names


@pytest.mark.parametrize("names, expected", [
    (["a.png", "b.tif"], ["a", "b"]),
    (["a.b.png", "a.c.png"], ["a", "a.c"]),
    (["a.ome.tif", "a.tif"], ["a", "a.tif"]),
    (["a.png", "a.tif"], ["a", "a.tif"]),
    (["cell_00001.tiff"], ["cell_00001"]),
    (["no suffix"], ["no suffix"]),
])
def test_label_names(names, expected):
    found = label_names([Path(n) for n in names])
    assert list(found.values()) == expected and len(set(found.values())) == len(names)
