"""inference.measuring.looks: what is found in a part of an image at an assumed size, and how convincing it is."""

import numpy as np
import pytest
from finder import Finder, disks, look

from inference.image.forms import NormalisedImage
from inference.measuring.looks import Look, common, look_at, matched, typical_diameter


@pytest.fixture
def finder():
    return Finder()


def test_a_measurement_far_from_its_assumption_is_held_back(finder):
    """One speck in an otherwise empty image must not make it be segmented at ten times its size at once."""
    image = np.zeros((500, 500), np.uint8)
    image[250:260, 250:260] = 255
    found = look_at(NormalisedImage(image), finder, 100.0)
    assert found.measured == 50
    assert found.change < np.log(1 / 4)


def test_cells_smaller_than_an_image_is_enlarged_for_are_as_small_as_they_are(finder):
    """Disks of 6 pixels where those of 14 are the smallest that can be brought to the network's size."""
    image = disks(6, side=256, gap=2.0)
    small = look_at(image, finder, 3.0)
    assert small.assumed == 14
    assert small.change == 0
    assert small.measured == pytest.approx(6, rel=0.3)
    larger = look_at(image, finder, 16.0)
    assert larger.assumed == 16
    assert larger.change < -0.6


def test_scores():
    """What is unsure, what disagrees, what has to be corrected and what is a single cell is less convincing."""
    plain = look(30.0).score()
    assert look(30.0, unsure=0.1).score() < plain
    assert look(30.0, sure=0.1).score() < plain
    assert look(30.0, assumed=50.0).score() < plain
    assert look(30.0, disagreement=0.2).score() < plain < look(30.0, disagreement=0.05).score()
    assert look(30.0, cells=1).score() < look(30.0, cells=10).score() < plain
    assert np.isfinite(look(30.0, sure=0.0).score())


def test_a_score_by_hand():
    """ln(0.3 / 0.005), minus 4 times ln(0.05 + 0.15), minus 3.3 times ln 2, plus ln(7 / 10.5)."""
    expected = np.log(0.3 / 0.005) - 4 * np.log(0.2) - 3.3 * np.log(2) + np.log(7 / 10.5)
    assert look(30.0, unsure=0.0, disagreement=0.05, assumed=60.0, cells=7).score() == pytest.approx(expected)


def test_typical_diameter_literal():
    """Areas 1, 1, 4 and 9: of 15 cell pixels the middle one is in the cell of 9."""
    labels = np.zeros((8, 8), np.int32)
    labels[0, 0], labels[0, 7], labels[2:4, 0:2], labels[4:7, 4:7] = 1, 2, 3, 5
    assert typical_diameter(labels) == pytest.approx(2 * np.sqrt(9 / np.pi))
    assert np.isnan(typical_diameter(np.zeros((8, 8), np.int32)))


def test_specks_do_not_change_the_typical_diameter():
    labels = np.zeros((200, 200), np.uint16)
    for number, corner in enumerate(range(0, 200, 40), 1):
        labels[corner : corner + 30, corner : corner + 30] = number
    clean = typical_diameter(labels)
    labels[::10, 199] = np.arange(6, 26)  # four specks for each cell
    assert typical_diameter(labels) == clean == pytest.approx(2 * np.sqrt(900 / np.pi))


def placed(labels, corner, reduction=1):
    return Look(10.0, 10.0, 0.0, 0.3, 0.02, 0.1, 1, labels, corner, reduction)


def test_two_looks_are_compared_where_both_have_looked():
    whole = np.arange(60, dtype=np.int32).reshape(6, 10)
    one, other = placed(whole[1:5, 0:7], (1, 0)), placed(whole[3:6, 4:10], (3, 4))
    cuts = common(one, other)
    for cut in cuts:
        np.testing.assert_array_equal(cut, whole[3:5, 4:7])
    assert common(one, placed(whole[5:6], (5, 0))) is None
    assert common(one, placed(whole[3:6, 4:10], (3, 4), reduction=2)) is None


def test_matched_by_hand():
    """Of two and three cells one pair matches: 2 * 1 / 5; an IoU of one half is too little."""
    one, other = np.zeros((2, 20), np.int32), np.zeros((2, 20), np.int32)
    one[0, 0:6], other[0, 0:4] = 1, 7  # 4 of 6
    one[1, 0:4], other[1, 2:4], other[1, 10:12] = 5, 2, 3  # 2 of 4
    assert matched(one, other) == matched(other, one) == pytest.approx(2 / 5)


@pytest.mark.parametrize("ground, cells", [(200, 1), (30, None)])
def test_a_look_counts_no_gaps(ground, cells):
    """A network that takes what is black: a cell on a bright ground, a gap on a dark one."""

    class BlackFinder(Finder):
        def __call__(self, windows):
            return super().__call__([np.where(window < 15, 255, 0) for window in windows])

    image = np.full((256, 256), ground, np.uint8)
    image[100:140, 100:140] = 0
    found = look_at(NormalisedImage(image), BlackFinder(), 40.0)
    assert (found and found.cells) == cells
