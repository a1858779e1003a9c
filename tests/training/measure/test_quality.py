"""training.measure.quality beside StarDist's own measures, and Cellpose's written out."""

import numpy as np
import pytest

from training.measure.quality import average_precision, matches, panoptic_quality

IOUS = (0.5, 0.7, 0.9)


@pytest.fixture
def pairs(blobs):
    """True and predicted labels of three images, and of one without any cell."""
    drawn = [(blobs(n), np.roll(blobs(n), n, 1)) for n in range(1, 4)]
    return [*drawn, (np.zeros((9, 9), int), np.zeros((9, 9), int))]


def test_stardist_reports_the_same(pairs):
    matching = pytest.importorskip("stardist.matching")
    for number, iou in enumerate(IOUS):
        found = [matches(t, p, IOUS)[number] for t, p in pairs]
        expected = matching.matching_dataset(*zip(*pairs), thresh=iou, show_progress=False)
        assert average_precision(found) == pytest.approx(expected.accuracy)
        assert panoptic_quality(found) == pytest.approx(expected.panoptic_quality)
        assert [f.counts.tp for f in found] == [matching.matching(t, p, thresh=iou).tp for t, p in pairs]


def test_by_hand():
    """One cell found with an IoU of 8/10, one missed, one spurious."""
    truth, prediction = np.zeros((6, 10), int), np.zeros((6, 10), int)
    truth[0], prediction[0, :8] = 4, 1
    truth[2], prediction[4] = 5, 9
    (found,) = matches(truth, prediction, [0.5])
    assert found.counts == (1, 1, 1)
    assert found.average_precision == pytest.approx(1 / 3)
    assert found.panoptic_quality == pytest.approx(0.8 / 2)


def test_no_cells_at_all_are_right():
    empty = np.zeros((4, 4), int)
    (found,) = matches(empty, empty, [0.5])
    assert (found.average_precision, found.panoptic_quality) == (1, 1)


def test_cells_at_the_border_count():
    labels = np.ones((4, 4), int)
    assert matches(labels, labels, [0.5])[0].counts == (1, 0, 0)
