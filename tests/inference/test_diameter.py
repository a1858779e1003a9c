"""How the size of the cells is measured, with a stand-in for the network that finds disks of about its own size."""

import numpy as np
import pytest
from finder import Finder, disks, look

from inference.diameter import (
    Measurement,
    MeasureSettings,
    agreement,
    best_step,
    measure_diameter,
    next_step,
    second_diameter,
)
from inference.looks import Look
from inference.normalisation import NormalisedImage


@pytest.fixture
def finder():
    return Finder()


@pytest.mark.parametrize("true", [20, 40, 110])
@pytest.mark.parametrize("wrong", [0.2, 0.5, 0.8, 1.0, 1.6, 3.0, 5.0])
def test_wrong_guesses_are_corrected(finder, true, wrong):
    """Five times too small and too large are still within reach; a right guess takes three looks and the last one."""
    found = measure_diameter(disks(true), finder, wrong * true).diameter
    assert true / 1.2 < found < true * 1.2
    assert (
        len(finder.windows) <= (4 if 0.8 <= wrong <= 1 and true < 100 else 10)
        and max(max(shape) for shape in finder.windows) <= 512
    )


@pytest.mark.parametrize("wrong", (0.02, 30.0))
def test_the_search_goes_on_where_the_best_size_is_at_its_end(finder, wrong):
    """Thirty times too large, as tissue on empty glass was once taken for one cell."""
    assert measure_diameter(disks(20), finder, wrong * 20).diameter == pytest.approx(20, rel=0.2)


def test_order_of_looks():
    """From the guess outwards; not beyond the image; on beyond the farthest step only if the best one lies at the
    end.
    """

    def steps(scores, guess=30.0, largest=1000.0, cells=40):
        tried, order = {}, []
        while (step := next_step(tried, guess, largest, MeasureSettings())) is not None:
            order.append(step)
            sure = scores.get(step)
            tried[step] = None if sure is None else look(30.0, sure=sure, cells=cells)
        return order

    assert steps({0: 0.9, -1: 0.1, 1: 0.1}) == [0, -1, 1]  # a convincing one
    everything = [0, -1, 1, -2, 2, -3, 3, -4, 4]
    assert steps({0: 1e-9, -1: 1e-9, 1: 1e-9}) == everything
    assert steps({0: 0.9, -1: 0.1, 1: 0.1}, cells=3) == everything, "a few cells may be pieces of tissue"
    assert steps({}) == everything
    assert steps({1: 0.5, 2: 0.9, 3: 0.2}) == [0, -1, 1, -2, 2, -3, 3]
    assert steps({-4: 0.2, -5: 0.9, -6: 0.1}, guess=300.0, largest=700.0) == [0, -1, 1, -2, -3, -4, -5, -6]
    assert steps({}, guess=3.0, largest=5.0) == [0]


def test_without_cells_the_guess_remains(finder):
    assert measure_diameter(NormalisedImage(np.zeros((300, 300), np.uint8)), finder, 33.0) == Measurement(33.0)


@pytest.mark.parametrize(("guess", "expected"), [(0.01, 2.0), (1e6, 225.0)])
def test_impossible_guesses(finder, guess, expected):
    """At least two pixels, at most three quarters of the image."""
    assert measure_diameter(NormalisedImage(np.zeros((300, 200), np.uint8)), finder, guess) == Measurement(expected)


def test_one_large_cell_does_not_outrank_many_convincing_ones():
    """As a crowd out of focus, whose outline looks like that of a cell; a few fragments of a cell are no crowd."""
    settings = MeasureSettings()
    large = look(500.0, sure=0.9, unsure=0.0, cells=1)
    crowd, fragments = look(20.0, sure=0.05, cells=26), look(20.0, sure=0.05, cells=14)
    assert large.score() > crowd.score() > settings.convincing and fragments.score() > settings.convincing
    assert best_step({0: large, -3: crowd}, settings) == -3
    assert best_step({0: large, -3: fragments}, settings) == 0
    unconvincing = look(20.0, sure=0.005, unsure=0.2, cells=26)
    assert unconvincing.score() < settings.convincing and best_step({0: large, -3: unconvincing}, settings) == 0


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
    found = second_diameter(seen(LARGE, 28.0), [seen(small, 12.0)], MeasureSettings())
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
    assert second_diameter(seen(LARGE, 28.0), [look], MeasureSettings()) is None


def test_small_things_around_one_cell_are_debris():
    assert (
        second_diameter(seen(squares(40, [(0, 0)]), 45.0), [seen(squares(10, SMALL), 12.0)], MeasureSettings()) is None
    )


def test_few_small_ones_among_many_are_debris():
    large = squares(20, [(y, x) for y in (0, 24, 48) for x in range(0, 120, 24)])  # 15 cells, and 6 small ones
    assert second_diameter(seen(large, 22.0), [seen(squares(6, SMALL), 8.0)], MeasureSettings()) is None


def test_agreement_with_the_nearest_sizes():
    """The better one of its neighbours; the same size again says nothing, nor does one too far away."""
    found, settings = seen(LARGE, 28.0), MeasureSettings()
    half = seen(squares(25, [(0, 0), (0, 30), (60, 60), (60, 90)]), 15.0)
    assert agreement(found, [half], settings) == 0.5
    assert agreement(found, [half, seen(LARGE, 50.0)], settings) == 1
    assert agreement(found, [seen(LARGE, 29.0), seen(LARGE, 28.0 * 4), seen(LARGE, 7.0)], settings) is None


def test_a_clear_image_agrees_with_itself(finder):
    """Disks are found alike at the neighbouring sizes; a network that finds other things there does not agree."""
    assert measure_diameter(disks(40), finder, 40.0).agreement > 0.8
