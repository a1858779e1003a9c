"""Label TIFFs of several planes."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tifffile

from inference.outputs.label_stack import LabelStack
from inference.outputs.label_tiff import holds_labels


def write(path, stack, axes, cells, heights=(7,)):
    """Planes (*stack, H, W), in bands, as a run writes them."""
    output = LabelStack(path, stack.shape, ((20_000.0, 40_000.0), 3), axes)
    for plane, count in zip(stack.reshape(-1, *stack.shape[-2:]), cells):
        writer = output.begin(path, None, None)
        top = 0
        while top < len(plane):
            height = heights[top % len(heights)]
            writer.add(plane[top : top + height])
            top += height
        writer.finish(SimpleNamespace(cells=count))
    assert not path.exists(), "nothing appears before the last plane"
    output.close()


@pytest.mark.parametrize("shape, axes", [((3, 30, 40), "Z"), ((2, 3, 700, 520), "TZ"), ((2, 512, 512), "T")])
def test_cells_are_numbered_on(tmp_path, shape, axes):
    planes = int(np.prod(shape[:-2]))
    stack = np.zeros(shape, np.int32)
    for plane in stack.reshape(planes, *shape[-2:])[::-1]:
        plane[2:9, 3:9], plane[20:25, 10:30] = 1, 2
    write(tmp_path / "a.tiff", stack, axes, [2] * planes)
    with tifffile.TiffFile(tmp_path / "a.tiff") as tiff:
        assert tiff.series[0].axes == axes + "YX" and tiff.pages[0].dtype == np.uint16
        assert tiff.pages[0].tags["XResolution"].value == (40_000, 1)
        written = tiff.asarray()
    offsets = 2 * np.arange(planes).reshape(*shape[:-2], 1, 1)
    assert np.array_equal(written, np.where(stack > 0, stack + offsets, 0)) and written.max() == 2 * planes
    assert holds_labels(tmp_path / "a.tiff", shape)
    for other in (shape[-2:], (planes + 1, *shape[-2:])):
        assert not holds_labels(tmp_path / "a.tiff", other)


def test_more_cells_than_16_bits_hold(tmp_path):
    stack = np.arange(2 * 200 * 200, dtype=np.int32).reshape(2, 200, 200) % 40_000
    write(tmp_path / "a.tiff", stack, "Z", [39_999, 39_999])
    written = tifffile.imread(tmp_path / "a.tiff")
    assert written.dtype == np.uint32 and len(np.unique(written)) == 2 * 39_999 + 1


def test_other_programs_read_it(tmp_path):
    stack = np.arange(24, dtype=np.int32).reshape(2, 3, 4) % 12
    write(tmp_path / "a.tiff", stack, "T", [11, 11])
    read, pages = cv2.imreadmulti(str(tmp_path / "a.tiff"), flags=cv2.IMREAD_UNCHANGED)
    assert read and np.array_equal(pages[0], stack[0]) and pages[1].max() == 22
