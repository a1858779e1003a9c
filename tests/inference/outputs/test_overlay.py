"""Outlines of cells on the image."""

import cv2
import numpy as np
import pytest
from bands import bands_of, numbered

from inference.outputs.overlay import OverlayWriter, draw_outlines, write_overlay


def test_outlines_lie_on_the_border_pixels_of_both_neighbours(tmp_path):
    labels = np.zeros((7, 9), np.int32)
    labels[1:6, 1:5], labels[1:6, 5:8] = 1, 2
    image = np.full((7, 9), 50, np.uint8)
    marked = (draw_outlines(image, labels) == (255, 255, 0)).all(axis=2)
    assert marked[1, 1:8].all() and marked[3, [1, 4, 5, 7]].all() and not marked[3, [2, 3, 6]].any() and not marked[labels == 0].any()
    write_overlay(tmp_path / "a.png", image, labels)
    assert np.array_equal(cv2.imread(str(tmp_path / "a.png"))[..., ::-1], draw_outlines(image, labels))


def test_the_overlay_of_a_reduced_image_takes_reduced_labels(tmp_path):
    """Labels have a row and a column more where the image's size is no multiple of the reduction."""
    image, labels = np.zeros((7, 9, 3), np.uint8), np.zeros((8, 10), np.int32)
    labels[2:5, 2:6] = 70_000
    write_overlay(tmp_path / "a.png", image, labels)
    assert cv2.imread(str(tmp_path / "a.png")).shape == (7, 9, 3)


class Reduced:
    """In the place of a segmentation: an image and its overview."""

    def __init__(self, shape, every):
        self.image = self
        self.reduction = every
        self.overview = np.zeros([n // every for n in shape], np.uint8)


@pytest.mark.parametrize("every", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("heights", [(1,), (2, 5), (7,), (1, 40, 3), (999,)])
def test_of_labels_that_come_in_bands_every_nth_row_and_column_is_drawn(tmp_path, every, heights):
    labels = numbered((101, 63), 30)
    segmentation = Reduced(labels.shape, every)
    writer = OverlayWriter(tmp_path / "rows.png", segmentation)
    for band in bands_of(labels, heights):
        writer.add(band)
    writer.finish(None)
    expected = draw_outlines(segmentation.overview, labels[::every, ::every][: 101 // every, : 63 // every])
    assert np.array_equal(cv2.imread(str(tmp_path / "rows.png"))[..., ::-1], expected)
