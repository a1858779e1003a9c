"""Labels as PNG, read by other programs."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from inference.outputs.label_png import write_label_png
from inference.outputs.label_rows import LabelRows
from inference.outputs.refusal import OutputRefused


def test_other_programs_read_the_numbers(tmp_path, program):
    labels = np.arange(65_536, dtype=np.int32).reshape(128, 512)
    write_label_png(tmp_path / "a.png", LabelRows.of(labels))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), labels)
    program("vips", "copy", tmp_path / "a.png", tmp_path / "a.tif")
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif"), labels)


def test_a_full_disk_is_told_as_one(tmp_path, room):
    with room(100), pytest.raises(OSError) as raised:
        write_label_png(tmp_path / "a.png", LabelRows.of(np.arange(10_000, dtype=np.int32).reshape(100, 100)))
    assert raised.value.strerror == "File too large"


@pytest.mark.parametrize("shape, cells", [((300, 300), 65_536), ((20_000, 20_000), 5)])
def test_what_a_png_has_no_room_for_is_refused(tmp_path, shape, cells):
    with pytest.raises(OutputRefused, match=f"{cells} cells on {shape[1]}x{shape[0]} pixels"):
        write_label_png(tmp_path / "a.png", LabelRows(shape, cells, lambda: iter([])))
    assert list(tmp_path.iterdir()) == []
