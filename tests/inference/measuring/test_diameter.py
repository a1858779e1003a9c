"""How the size of the cells is measured, with a stand-in for the network that finds disks of about its own size."""

import dataclasses

import numpy as np
import pytest
from finder import Finder, disks, look

from inference.image.forms import NormalisedImage
from inference.measuring.diameter import (
    CONVINCING,
    NEARLY,
    STEP,
    Measurement,
    agreement,
    best_step,
    checked_in_mirrors,
    measure_diameter,
    next_step,
    second_diameter,
    sizes_to_try,
)
from inference.measuring.looks import Look


@pytest.fixture
def finder():
    return Finder()


@pytest.mark.parametrize("true", [20, 40, 110])
@pytest.mark.parametrize("wrong", [0.2, 0.5, 0.8, 1.0, 1.6, 3.0, 5.0])
def test_wrong_guesses_are_corrected(finder, true, wrong):
    """Five times too small and too large are still within reach; a right guess takes three looks, or a last one."""
    found = measure_diameter(disks(true), finder, wrong * true).diameter
    assert true / 1.2 < found < true * 1.2
    assert len(finder.windows) <= (4 if wrong == 1 and true < 100 else 10)
    assert max(max(shape) for shape in finder.windows) <= 512


@pytest.mark.parametrize("wrong", (0.02, 30.0))
def test_the_search_goes_on_where_the_best_size_is_at_its_end(finder, wrong):
    """Thirty times too large, as tissue on empty glass was once taken for one cell."""
    assert measure_diameter(disks(20), finder, wrong * 20).diameter == pytest.approx(20, rel=0.2)


def test_order_of_looks(monkeypatch):
    """From the guess outwards; not beyond the image; on beyond the farthest step only if the best one lies at the
    end.
    """
    monkeypatch.setattr("inference.measuring.diameter.GUESS_WEIGHT", 0.0)

    def steps(scores, sizes=range(-6, 7), cells=40, all_sizes=False):
        tried, order = {}, []
        sizes = {step: 30.0 * STEP**step for step in sizes}
        while (step := next_step(tried, sizes, all_sizes)) is not None:
            order.append(step)
            sure = scores.get(step)
            tried[step] = None if sure is None else look(30.0, sure=sure, cells=cells)
        return order

    assert steps({0: 0.9, -1: 0.1, 1: 0.1}) == [0, -1, 1]  # a convincing one
    everything = [0, -1, 1, -2, 2, -3, 3, -4, 4]
    assert steps({0: 1e-9, -1: 1e-9, 1: 1e-9}) == everything
    assert steps({0: 0.9, -1: 0.1, 1: 0.1}, cells=3) == everything, "a few cells may be pieces of tissue"
    assert steps({}) == everything
    assert steps({1: 0.5, 2: 0.9, 3: 0.2}) == [0, -1, 1, 2, 3]
    assert steps({-4: 0.2, -5: 0.9, -6: 0.1}, range(-6, 2)) == [0, -1, 1, -2, -3, -4, -5, -6]
    assert steps({}, [0]) == [0]
    assert steps({0: 0.9, -1: 0.1, 1: 0.1}, all_sizes=True) == everything
    assert steps({0: 0.9, 1: 0.1}, range(3)) == [0, 1, 2], "no size is smaller, yet three are looked at"
    assert steps({0: 0.9, 1: 0.1}, range(2)) == [0, 1]


def test_sizes_to_try_are_different(monkeypatch):
    """No size is tried that the image cannot be enlarged for, but the smallest one that it can, and none twice."""
    monkeypatch.setattr("inference.measuring.diameter.STEP", 2.0)
    assert sizes_to_try(20.0, 1.1, 100.0) == {
        -4: 1.25,
        -3: 2.5,
        -2: 5.0,
        -1: 10.0,
        0: 20.0,
        1: 40.0,
        2: 80.0,
    }
    assert sizes_to_try(20.0, 14.0, 50.0) == {-1: 14.0, 0: 20.0, 1: 40.0}
    assert sizes_to_try(20.0, 17.0, 50.0) == {0: 20.0, 1: 40.0}
    assert sizes_to_try(3.0, 14.0, 50.0) == {0: 14.0, 1: 28.0}
    assert sizes_to_try(3.0, 14.0, 9.0) == {0: 14.0}


def test_small_cells_are_looked_at_once(finder):
    """Disks of 10 pixels in an image that may be enlarged twice; all sizes below 14 would show the same."""
    found = measure_diameter(disks(10, side=256), finder, 7.0)
    assert found.diameter == pytest.approx(10, rel=0.2)
    sides = [max(shape) for shape in finder.windows]
    assert len(sides) <= 4
    assert sides.count(max(sides)) == 1


def test_of_two_sizes_as_convincing_the_nearer_one_to_the_guess_is_taken(monkeypatch):
    sizes = {step: 30.0 * 2.0**step for step in (-2, -1, 0, 1, 2)}
    equal = look(30.0)
    monkeypatch.setattr("inference.measuring.diameter.GUESS_WEIGHT", 0.5)
    assert best_step({-2: equal, 1: equal}, sizes) == 1
    assert best_step({-1: equal, 2: equal}, sizes) == -1
    better = look(30.0, sure=0.3 * 2**0.4)  # by 0.4 ln 2: not worth a step of ln 2 at half its weight
    assert best_step({1: equal, 2: better}, sizes) == 1
    best = look(30.0, sure=0.3 * 2**0.6)
    assert best_step({1: equal, 2: best}, sizes) == 2


@pytest.mark.parametrize("alike, expected", [(True, 90.0), (False, 30.0 / 1.93)])
def test_where_the_cells_of_neighbouring_sizes_do_not_agree_all_sizes_are_looked_at(monkeypatch, alike, expected):
    """Few cells three times as large as the true ones are convincing, and lie between two other sizes. Unless these
    show the same cells, the smaller ones are found."""

    def look_at(image, network, assumed):
        labels = np.zeros((40, 40), np.int32)
        at = 0 if alike else int(assumed) % 20
        labels[at : at + 10, at : at + 10] = 1
        small = assumed < 20
        found = look(assumed, sure=0.9 if small else 0.3 if 80 < assumed < 100 else 0.1, cells=50 if small else 6)
        return dataclasses.replace(found, labels=labels)

    monkeypatch.setattr("inference.measuring.diameter.look_at", look_at)
    monkeypatch.setattr("inference.measuring.diameter.smallest_shown", lambda diameter: 12.0)
    monkeypatch.setattr("inference.measuring.diameter.GUESS_WEIGHT", 0.0)
    found = measure_diameter(NormalisedImage(np.zeros((500, 500), np.uint8)), Finder(), 90.0)
    assert found.diameter == pytest.approx(expected, rel=0.2)


def test_without_cells_the_guess_remains(finder):
    assert measure_diameter(NormalisedImage(np.zeros((300, 300), np.uint8)), finder, 33.0) == Measurement(33.0)


@pytest.mark.parametrize(("guess", "expected"), [(0.01, 2.0), (1e6, 225.0)])
def test_impossible_guesses(finder, guess, expected):
    """At least two pixels, at most three quarters of the image."""
    assert measure_diameter(NormalisedImage(np.zeros((300, 200), np.uint8)), finder, guess) == Measurement(expected)


def test_one_large_cell_does_not_outrank_many_convincing_ones(monkeypatch):
    """As a crowd out of focus, whose outline looks like that of a cell; a few fragments of a cell are no crowd."""
    monkeypatch.setattr("inference.measuring.diameter.GUESS_WEIGHT", 0.0)
    sizes = {0: 500.0, -3: 20.0}
    large = look(500.0, sure=0.9, unsure=0.0, cells=1)
    crowd, fragments = look(20.0, sure=0.05, cells=26), look(20.0, sure=0.05, cells=14)
    assert large.score() > crowd.score() > CONVINCING
    assert fragments.score() > CONVINCING
    assert best_step({0: large, -3: crowd}, sizes) == -3
    assert best_step({0: large, -3: fragments}, sizes) == 0
    unconvincing = look(20.0, sure=0.005, unsure=0.2, cells=26)
    assert unconvincing.score() < CONVINCING
    assert best_step({0: large, -3: unconvincing}, sizes) == 0
    several = look(20.0, sure=0.2, unsure=0.0, cells=14)
    assert large.score() > several.score() > large.score() - NEARLY > fragments.score()
    assert best_step({0: large, -3: several}, sizes) == -3
    assert best_step({0: large, -3: dataclasses.replace(several, cells=11)}, sizes) == 0


def seen(labels, assumed, measured=None, corner=(0, 0)):
    """A look that found these cells."""
    labels = np.asarray(labels, np.int32)
    cells = int(np.count_nonzero(np.bincount(labels.ravel())[1:]))
    return Look(assumed, measured or assumed, 0.0, 0.3, 0.02, 0.1, cells, labels, corner, 1)


def squares(side, corners, shape=(120, 120)):
    labels = np.zeros(shape, np.int32)
    for number, (y, x) in enumerate(corners, 1):
        labels[y : y + side, x : x + side] = number
    return labels


LARGE = squares(25, [(0, 0), (0, 30), (0, 60), (0, 90)])
SMALL = [(y, x) for y in (80, 100) for x in range(0, 120, 20)]  # twelve places beside the large ones


def test_many_small_cells_beside_large_ones_are_a_second_size():
    small = squares(10, [*SMALL, (5, 5)])  # one within a large cell is none of its own
    found = second_diameter(seen(LARGE, 28.0), [seen(small, 12.0)])
    assert found == pytest.approx(2 * np.sqrt(100 / np.pi))


@pytest.mark.parametrize(
    "look",
    [
        seen(squares(10, SMALL[:7]), 12.0),  # too few
        seen(squares(16, [(80, 0), (80, 20), (80, 40), (80, 60)]), 18.0),  # too large
        seen(squares(10, SMALL), 60.0),  # found at a larger size: specks
        seen(squares(10, [(y, x) for y in (1, 13) for x in (1, 31, 61, 91)]), 12.0),  # parts of the large ones
    ],
)
def test_no_second_size(look):
    assert second_diameter(seen(LARGE, 28.0), [look]) is None


def test_small_things_around_one_cell_are_debris():
    assert second_diameter(seen(squares(40, [(0, 0)]), 45.0), [seen(squares(10, SMALL), 12.0)]) is None


def test_few_small_ones_among_many_are_debris():
    large = squares(20, [(y, x) for y in (0, 24, 48) for x in range(0, 120, 24)])  # 15 cells, and 6 small ones
    assert second_diameter(seen(large, 22.0), [seen(squares(6, SMALL), 8.0)]) is None


def test_agreement_with_the_nearest_sizes():
    """The better one of its neighbours; the same size again says nothing, nor does one too far away."""
    found = seen(LARGE, 28.0)
    half = seen(squares(25, [(0, 0), (0, 30), (60, 60), (60, 90)]), 15.0)
    assert agreement(found, [half]) == 0.5
    assert agreement(found, [half, seen(LARGE, 50.0)]) == 1
    assert agreement(found, [seen(LARGE, 29.0), seen(LARGE, 28.0 * 4), seen(LARGE, 7.0)]) is None


def test_a_clear_image_agrees_with_itself(finder):
    """Disks are found alike at the neighbouring sizes; a network that finds other things there does not agree."""
    assert measure_diameter(disks(40), finder, 40.0).agreement > 0.8


ONE_SPOT = NormalisedImage(np.pad(np.full((1, 1), 255, np.uint8), ((3, 20), (5, 30))))


@pytest.fixture
def mirrors(monkeypatch):
    """Measurements of the mirror images by where their spot is: a dict to be filled, and a list of the spots seen."""
    answers, seen = {}, []

    def measure(image, network, guess):
        assert network == "network"
        assert guess == 9.0
        seen.append(tuple(np.argwhere(image[:, :] == 255)[0].tolist()))
        return answers[seen[-1]]

    monkeypatch.setattr("inference.measuring.diameter.measure_diameter", measure)
    return answers, seen


DOWN, RIGHT, BOTH = (20, 5), (3, 30), (20, 30)
UNSURE = Measurement(10.0, agreement=0.7, cells=30)


@pytest.mark.parametrize(
    "first", [Measurement(10.0, agreement=0.75, cells=4), Measurement(10.0, agreement=None, cells=9), Measurement(10.0)]
)
def test_what_is_sure_is_not_measured_again(mirrors, first):
    assert checked_in_mirrors(first, ONE_SPOT, "network", 9.0) is first
    assert not mirrors[1]


@pytest.mark.parametrize("first", [UNSURE, Measurement(10.0, agreement=1.0, cells=3)])
def test_the_middle_of_the_mirror_images_counts(mirrors, first):
    """A far one has no weight. What else is told is of the surer one of the two in the middle."""
    answers, seen = mirrors
    answers |= {
        DOWN: Measurement(12.0, 4.0, 0.8, 33),
        RIGHT: Measurement(11.0, 5.0, 0.6, 31),
        BOTH: Measurement(90.0, None, 1.0, 1),
    }
    assert checked_in_mirrors(first, ONE_SPOT, "network", 9.0) == Measurement((11 * 12) ** 0.5, 4.0, 0.8, 33)
    assert seen == [BOTH, DOWN, RIGHT]


def test_half_a_turn_that_finds_the_same_size_is_enough(mirrors):
    answers, seen = mirrors
    answers[BOTH] = Measurement(12.0, 4.0, 0.8, 33)
    assert checked_in_mirrors(UNSURE, ONE_SPOT, "network", 9.0) == Measurement(120**0.5, 4.0, 0.8, 33)
    assert seen == [BOTH]


def test_a_few_cells_are_measured_four_times(mirrors):
    """Though two measurements agree."""
    answers, seen = mirrors
    answers |= {BOTH: Measurement(10.5), DOWN: Measurement(11.0), RIGHT: Measurement(12.0)}
    few = Measurement(10.0, agreement=1.0, cells=3)
    assert checked_in_mirrors(few, ONE_SPOT, "network", 9.0).diameter == (10.5 * 11) ** 0.5
    assert seen == [BOTH, DOWN, RIGHT]


def test_between_two_sizes_the_surer_one_counts(mirrors):
    """The middle of 11 and 40 would be a size of nothing."""
    sure, none = Measurement(40.0, None, 0.9, 5), Measurement(41.0, None, None, 5)
    mirrors[0].update({DOWN: sure, RIGHT: Measurement(11.0, agreement=0.5, cells=31), BOTH: none})
    assert checked_in_mirrors(UNSURE, ONE_SPOT, "network", 9.0) is sure
