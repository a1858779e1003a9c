"""inference.image.straight_borders: content that ends at straight borders is found to the pixel."""

import numpy as np
import pytest
from embedded import RNG, cells, surrounded

from inference.image.content import content_box
from inference.image.straight_borders import at_straight_borders


@pytest.mark.parametrize("ground, deviation", [(0, 0), (250, 0), (40, 2), (60, 1)])
@pytest.mark.parametrize("top, left", [(151, 263), (0, 0), (337, 393)])
@pytest.mark.parametrize("colour", [False, True])
def test_a_straight_border_is_found_to_the_pixel(ground, deviation, top, left, colour):
    """And the content is not: its own ground is noisy, or has another gray level."""
    content = (cells(160, 240) + RNG.normal(12, 4, (160, 240))).clip(0, 255)
    content = np.stack([content, content // 2, content // 3], axis=2) if colour else content
    image = surrounded(content, ground, deviation, top, left)
    rows, columns = at_straight_borders(image, content_box(image))
    assert (rows.start, rows.stop) == (top, top + 160)
    assert (columns.start, columns.stop) == (left, left + 240)


def test_content_without_straight_borders_is_no_picture():
    """Cells in a round heap: the outermost ones are each by themselves."""
    y, x = np.mgrid[:500, :640]
    heap = np.where((y - 240) ** 2 + (x - 330) ** 2 < 100**2, cells(500, 640), 40)
    image = (heap + RNG.normal(0, 2, heap.shape)).clip(0, 255).astype(np.uint8)
    box = content_box(image)
    assert at_straight_borders(image, box) is None


def test_content_from_border_to_border_stays():
    """Nothing outside tells what the surroundings look like."""
    box = slice(0, 160), slice(0, 240)
    assert at_straight_borders(cells(160, 240), box) == box


@pytest.mark.parametrize("across", [3, 8])
def test_cells_in_rows_on_a_ground_without_noise_are_no_border(across):
    """They begin in one line; squares even fill much of it."""
    squares = np.kron(np.full((across, across), 200, np.uint8), np.pad(np.ones((16, 16), np.uint8), 2))
    image = surrounded(squares, 0)
    box = content_box(image)
    assert box
    assert at_straight_borders(image, box) is None
