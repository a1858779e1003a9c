"""training.measure.f1 against hand-counted arrays, known overlaps, slow plain implementations and StarDist's
matching.
"""

import math
from contextlib import contextmanager
from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from training.measure.f1 import (
    Counts,
    f1_score,
    match_counts,
    precision,
    recall,
    remove_border,
    score_image,
)


@contextmanager
def small_tiles():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.measure.f1.TILED_FROM", 1)
        patch.setattr("training.measure.f1.TILE", 20)
        yield


def image(shape, *boxes, dtype=np.uint16):
    """Label image with rectangles (label, y, x, height, width)."""
    labels = np.zeros(shape, dtype)
    for label, y, x, height, width in boxes:
        labels[y : y + height, x : x + width] = label
    return labels


def random_blobs(rng, shape=(64, 64), cells=12, radius=(3, 9)):
    """Overlapping disks, later ones on top; some end up as slivers."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint16)
    for label in range(1, cells + 1):
        cy, cx = rng.uniform(0, shape)
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= rng.uniform(*radius) ** 2] = label
    return labels


def jitter(labels, rng):
    """A prediction for these labels: shifted, one cell dropped, two merged."""
    prediction = np.roll(labels, rng.integers(-2, 3, 2), (0, 1))
    prediction[prediction == 1] = 0
    prediction[prediction == 2] = 3
    return prediction


def dense_iou(truth, prediction):
    """IoU of every pair of cells by its definition."""
    masks = [[labels == label for label in np.unique(labels[labels > 0])] for labels in (truth, prediction)]
    return np.array([[(t & p).sum() / (t | p).sum() for p in masks[1]] for t in masks[0]]).reshape(
        len(masks[0]), len(masks[1])
    )


def best_by_permutation(possible):
    """Size of the largest matching, by trying all."""
    if possible.shape[0] > possible.shape[1]:
        possible = possible.T
    rows = range(possible.shape[0])
    return max(
        (
            sum(possible[i, j] for i, j in zip(rows, order))
            for order in permutations(range(possible.shape[1]), len(rows))
        ),
        default=0,
    )


def test_remove_border_literal():
    labels = np.array(
        [
            [1, 0, 0, 0, 0, 0, 0],
            [0, 0, 2, 0, 0, 0, 0],
            [0, 0, 2, 3, 3, 0, 0],
            [0, 0, 0, 3, 0, 4, 4],
            [0, 0, 5, 0, 0, 0, 0],
            [0, 0, 0, 0, 6, 0, 0],
            [0, 0, 0, 0, 0, 0, 0],
        ]
    )
    assert np.unique(remove_border(labels)).tolist() == [0, 3, 5]
    assert np.unique(remove_border(labels, width=1)).tolist() == [0, 2, 3, 5, 6]
    assert np.array_equal(remove_border(labels, width=0), labels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (4, 9), (9, 2)])
def test_an_image_that_is_all_border_has_no_cells(shape):
    labels = np.arange(1, math.prod(shape) + 1).reshape(shape)
    assert not remove_border(labels).any()
    assert score_image(labels, labels) == [Counts(0, 0, 0)]


def test_counts_literal():
    truth = np.array([[1, 1, 0, 2, 2], [1, 1, 0, 2, 2], [0, 0, 0, 0, 0], [3, 3, 0, 0, 0]])
    prediction = np.array([[7, 7, 0, 0, 9], [7, 0, 0, 0, 9], [0, 0, 8, 0, 0], [0, 0, 0, 0, 0]])
    # 1 and 7: IoU 3/4; 2 and 9: 2/4; 3 missed; 8 spurious
    assert match_counts(truth, prediction, (0.5, 0.75, 0.8)) == [Counts(2, 1, 1), Counts(1, 2, 2), Counts(0, 3, 3)]


def test_one_partner_at_exactly_half():
    """A cell cut into halves has IoU 0.5 with both; only one may match."""
    truth = image((8, 14), (1, 3, 2, 2, 10))
    halves = image((8, 14), (1, 3, 2, 2, 5), (2, 3, 7, 2, 5))
    assert match_counts(truth, halves) == [Counts(1, 1, 0)]
    assert match_counts(halves, truth) == [Counts(1, 0, 1)]


def test_matching_is_optimal_where_greedy_is_not():
    """Cell 1 fits prediction 1 best (6/12), but only by taking prediction 2 (3/12) it leaves 1 to cell 2 (3/15)."""
    truth = image((1, 20), (1, 0, 0, 1, 9), (2, 0, 9, 1, 9))
    prediction = image((1, 20), (2, 0, 0, 1, 3), (1, 0, 3, 1, 9))
    assert dense_iou(truth, prediction) == pytest.approx(np.array([[6 / 12, 3 / 9], [3 / 15, 0]]))
    assert match_counts(truth, prediction, (0.2, 0.25)) == [Counts(2, 0, 0), Counts(1, 1, 1)]


@pytest.mark.parametrize("side,shift", [(10, 2), (30, 10), (30, 11), (7, 3)])
def test_squares_moved_by_a_known_shift(side, shift):
    truth, prediction = (image((60, 60), (1, 5, x, side, side)) for x in (5, 5 + shift))
    iou = (side - shift) / (side + shift)
    assert match_counts(truth, prediction, (iou, iou + 1e-9)) == [Counts(1, 0, 0), Counts(0, 1, 1)]


@pytest.mark.parametrize("shift", [5, 20, 40])
def test_circles_moved_by_a_known_shift(shift):
    """IoU from the area of the lens of two circles; on pixels it is right to a hundredth."""
    radius = 40
    y, x = np.ogrid[:100, :150]
    truth, prediction = (((y - 50) ** 2 + (x - cx) ** 2 < radius**2).astype(np.uint8) for cx in (50, 50 + shift))
    lens = 2 * radius**2 * math.acos(shift / 2 / radius) - shift / 2 * math.sqrt(4 * radius**2 - shift**2)
    iou = lens / (2 * math.pi * radius**2 - lens)
    assert match_counts(truth, prediction, (iou - 0.01, iou + 0.01)) == [Counts(1, 0, 0), Counts(0, 1, 1)]


@pytest.mark.parametrize("seed", range(20))
def test_against_all_permutations(seed):
    rng = np.random.default_rng(seed)
    truth, prediction = rng.integers(0, 6, (2, 5, 5))
    iou = dense_iou(truth, prediction)
    for threshold in (0.05, 0.1, 0.2, 1 / 3, 0.5):
        tp = best_by_permutation(iou >= threshold)
        assert match_counts(truth, prediction, [threshold]) == [Counts(tp, iou.shape[1] - tp, iou.shape[0] - tp)]


@pytest.mark.parametrize("seed", range(5))
def test_against_the_dense_assignment(seed):
    rng = np.random.default_rng(seed)
    truth = random_blobs(rng, cells=30)
    prediction = random_blobs(rng, cells=40)
    iou = dense_iou(truth, prediction)
    for threshold in (0.02, 0.1, 0.3, 0.5):
        tp = int((iou >= threshold)[linear_sum_assignment(iou >= threshold, maximize=True)].sum())
        assert match_counts(truth, prediction, [threshold])[0].tp == tp


@pytest.mark.parametrize("seed", range(5))
def test_against_stardist(seed):
    matching = pytest.importorskip("stardist.matching").matching
    rng = np.random.default_rng(seed)
    truth = random_blobs(rng, (128, 128), 40)
    prediction = jitter(truth, rng)
    thresholds = (0.1, 0.3, 0.5, 0.6, 0.8)
    for ours, theirs in zip(match_counts(truth, prediction, thresholds), matching(truth, prediction, thresholds)):
        assert ours == (theirs.tp, theirs.fp, theirs.fn)
        assert [precision(*ours), recall(*ours), f1_score(*ours)] == pytest.approx(
            [theirs.precision, theirs.recall, theirs.f1]
        )


@pytest.mark.parametrize("mode", ["corrected", "official"])
def test_invariants(mode):
    """Counts stay the same when

    - labels are permuted or have gaps,
    - both images are flipped or transposed (untiled: tiles start at the top left),
    - the dtype changes (no label wraps);
    and fp and fn change places when the two images do. An image scored against itself has no errors.
    """
    rng = np.random.default_rng(3)
    truth = random_blobs(rng)
    prediction = jitter(truth, rng)
    thresholds = (0.2, 0.5, 0.7)
    expected = score_image(truth, prediction, thresholds, mode)
    assert expected[1].tp
    assert expected[1].fn
    table = np.concatenate([[0], rng.permutation(200) + 1]).astype(np.uint16)
    assert score_image(table[truth], table[prediction], thresholds, mode) == expected
    for turn in (np.flipud, np.fliplr, np.transpose):
        assert score_image(turn(truth), turn(prediction), thresholds, mode) == expected
    for dtype in (np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64):
        assert score_image(truth.astype(dtype), prediction.astype(dtype), thresholds, mode) == expected
    assert score_image(prediction, truth, thresholds, mode) == [Counts(c.tp, c.fn, c.fp) for c in expected]
    assert score_image(truth, truth, thresholds, mode) == [Counts(expected[1].tp + expected[1].fn, 0, 0)] * 3


def test_labels_beyond_the_number_of_pixels():
    truth = image((9, 9), (2**32 - 1, 3, 3, 3, 3), dtype=np.uint32)
    assert match_counts(truth, image((9, 9), (1, 3, 3, 3, 3), dtype=np.uint8)) == [Counts(1, 0, 0)]
    assert match_counts(truth[3:6, 3:6], truth[3:6, 3:6]) == [Counts(1, 0, 0)]  # no background


def test_more_than_65535_cells():
    truth = np.zeros((600, 600), np.uint32)
    truth[::2, ::2] = np.arange(1, 90_001).reshape(300, 300)
    prediction = truth.copy()
    prediction[300, 300] = 0
    assert match_counts(truth, prediction) == [Counts(89_999, 0, 1)]
    assert score_image(truth, prediction) == [Counts(298 * 298 - 1, 0, 1)]  # rows 0 and 598 touch the border


def test_large_image_is_scored_in_tiles():
    """5000x5000 makes 3x3 tiles; the last ones reach beyond the image, whose own lower edge is then no border."""
    cells = (
        (1, 100, 100, 20, 20),  # inside the first tile
        (2, 1990, 100, 20, 20),  # across the first seam: gone
        (3, 2001, 300, 20, 20),  # one pixel away from it: gone
        (4, 2002, 400, 20, 20),  # two pixels away: stays
        (5, 4980, 4980, 20, 20),  # at the corner of the image, inside the padded tile: stays
        (6, 1, 500, 20, 20),  # at the upper border: gone
    )
    truth = image((5000, 5000), *cells, dtype=np.uint8)
    assert score_image(truth, truth) == [Counts(3, 0, 0)]
    truth = truth[:4999]  # below 25 Mpx: one piece, with a border all around
    assert score_image(truth, truth) == [Counts(4, 0, 0)]


def test_tiles_sum_up():
    truth = image((30, 50), (1, 5, 5, 5, 5), (2, 5, 25, 5, 5), (3, 23, 43, 5, 5))
    prediction = image((30, 50), (1, 5, 5, 5, 5), (2, 23, 43, 5, 3), (3, 12, 12, 5, 5), (4, 12, 19, 5, 5))
    with small_tiles():
        assert score_image(truth, prediction) == [Counts(2, 1, 1)]


def test_official_casts_predictions_of_tiled_images_to_the_dtype_of_the_truth():
    """A uint8 truth: predicted label 300 becomes 44 and merges with it, 256 becomes background."""
    boxes = (1, 3, 3, 4, 4), (2, 3, 10, 4, 4), (3, 10, 3, 4, 4)
    truth = image((20, 20), *boxes, dtype=np.uint8)
    prediction = image((20, 20), *[(label, *box[1:]) for label, box in zip((44, 300, 256), boxes)])
    with small_tiles():
        assert score_image(truth, prediction) == [Counts(3, 0, 0)]
        assert score_image(truth, prediction, mode="official") == [Counts(1, 0, 2)]
    assert score_image(truth, prediction, mode="official") == [Counts(3, 0, 0)]  # not tiled: no cast


def test_official_counts_no_missed_cells_in_a_tile_without_predictions():
    truth = image((20, 40), (1, 5, 5, 5, 5), (2, 5, 25, 5, 5))
    prediction = image((20, 40), (1, 5, 5, 5, 5))
    with small_tiles():
        assert score_image(truth, prediction) == [Counts(1, 0, 1)]
        assert score_image(truth, prediction, mode="official") == [Counts(1, 0, 0)]
    assert score_image(truth, prediction, mode="official") == [Counts(1, 0, 1)]


def test_empty_images():
    empty, cells = image((12, 12)), image((12, 12), (1, 3, 3, 2, 2), (2, 6, 6, 2, 2))
    for truth, prediction, corrected, official in [
        (empty, empty, Counts(0, 0, 0), Counts(0, 0, 0)),
        (empty, cells, Counts(0, 2, 0), Counts(0, 2, 0)),
        (cells, empty, Counts(0, 0, 2), Counts(0, 0, 0)),
    ]:
        assert score_image(truth, prediction) == [corrected]
        assert score_image(truth, prediction, mode="official") == [official]


@pytest.mark.parametrize(
    "counts,expected",
    [
        ((3, 1, 2), (3 / 4, 3 / 5, 6 / 9)),
        ((2, 0, 0), (1, 1, 1)),
        ((0, 1, 1), (0, 0, 0)),
        ((0, 0, 0), (1, 1, 1)),
        ((0, 2, 0), (0, 0, 0)),
        ((0, 0, 2), (0, 0, 0)),
    ],
)
def test_rates(counts, expected):
    """In both modes the same, but for 0/0."""
    assert [rate(*counts) for rate in (precision, recall, f1_score)] == pytest.approx(expected)
    assert [rate(*counts, "official") for rate in (precision, recall, f1_score)] == pytest.approx(
        expected if any(counts) else (0, 0, 0)
    )


@pytest.mark.parametrize(
    "truth,prediction,message",
    [
        (np.zeros((4, 4)), np.zeros((4, 4), int), "truth must be a label image.*float64"),
        (np.zeros((4, 4), int), np.zeros((4, 4, 3), int), r"prediction must be.*\(4, 4, 3\)"),
        (np.zeros((0, 4), int), np.zeros((0, 4), int), r"\(0, 4\)"),
        (np.zeros((4, 4), int), np.full((4, 4), -2), "prediction has negative labels, down to -2"),
        (np.zeros((4, 4), int), np.zeros((4, 5), int), r"\(4, 5\) does not fit the truth of shape \(4, 4\)"),
    ],
)
def test_wrong_arrays_are_refused(truth, prediction, message):
    for function in (score_image, match_counts):
        with pytest.raises(ValueError, match=message):
            function(truth, prediction)


def test_wrong_options_are_refused():
    cells = image((9, 9), (1, 3, 3, 3, 3))
    for threshold in (0, 1.1, math.nan):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            score_image(cells, cells, [0.5, threshold])
    with pytest.raises(ValueError, match="corrected, official.*'strict'"):
        score_image(cells, cells, mode="strict")
    with pytest.raises(ValueError, match="'strict'"):
        f1_score(1, 0, 0, "strict")
