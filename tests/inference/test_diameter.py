"""How the size of the cells is measured, with a stand-in for the network that finds disks of about its own size."""

import cv2
import numpy as np
import pytest

from inference.diameter import Look, MeasureSettings, look_at, measure_diameter, next_step, typical_diameter
from inference.normalisation import NormalisedImage
from inference.stardist import star_distances
from models.config import Config
from models.unet import STRIDE

WANTED = 28.0  # pixels, the stand-in's cell diameter


class Finder:
    """Finds bright disks whole and surely where they are 0.4 to 2.5 times as large as it wants them, else unsure
    splinters of its own size, whose rays reach too far."""

    kind, batch, overlaps = "stardist", 1, False

    def __init__(self):
        self.config, self.windows = Config(diameter=WANTED), []

    def __call__(self, windows):
        (window,) = windows
        self.windows.append(window.shape)
        labels = cv2.connectedComponents((window[:, :, 0] > 127).astype(np.uint8))[1]
        areas = np.bincount(labels.ravel())[1:]
        probability, reach = 0.95, 1.0
        if areas.size and not 0.4 < 2 * np.sqrt(np.median(areas) / np.pi) / WANTED < 2.5:
            y, x = np.indices(labels.shape) // round(WANTED / 1.8)
            labels = np.unique(np.where(labels > 0, 1 + y * labels.shape[1] + x, 0), return_inverse=True)[1].reshape(
                labels.shape
            )
            probability, reach = 0.6, 1.5
        dist = reach * star_distances(labels.astype(np.int32), stride=STRIDE)
        return np.where(dist.max(axis=2) > 0, probability, 0)[None, None].astype(np.float32), dist.transpose(2, 0, 1)[
            None
        ]


@pytest.fixture
def finder():
    return Finder()


def disks(diameter, side=1600, gap=1.5):
    """Bright disks on a dark ground, on a square grid."""
    image = np.zeros((side, side), np.uint8)
    for y in np.arange(diameter, side - diameter, gap * diameter):
        for x in np.arange(diameter, side - diameter, gap * diameter):
            cv2.circle(image, (int(x), int(y)), round(diameter / 2), 255, -1)
    return NormalisedImage(image)


@pytest.mark.parametrize("true", [20, 40, 110])
@pytest.mark.parametrize("wrong", [0.2, 0.5, 0.8, 1.0, 1.6, 3.0, 5.0])
def test_wrong_guesses_are_corrected(finder, true, wrong):
    """Five times too small and too large are still within reach; a right guess takes three looks and the last one."""
    found = measure_diameter(disks(true), finder, wrong * true)
    assert true / 1.2 < found < true * 1.2
    assert (
        len(finder.windows) <= (4 if 0.8 <= wrong <= 1 and true < 100 else 10)
        and max(max(shape) for shape in finder.windows) <= 512
    )


@pytest.mark.parametrize("wrong", (0.02, 30.0))
def test_the_search_goes_on_where_the_best_size_is_at_its_end(finder, wrong):
    """Thirty times too large, as tissue on empty glass was once taken for one cell."""
    assert measure_diameter(disks(20), finder, wrong * 20) == pytest.approx(20, rel=0.2)


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
    assert measure_diameter(NormalisedImage(np.zeros((300, 300), np.uint8)), finder, 33.0) == 33.0


@pytest.mark.parametrize(("guess", "expected"), [(0.01, 2.0), (1e6, 225.0)])
def test_impossible_guesses(finder, guess, expected):
    """At least two pixels, at most three quarters of the image."""
    assert measure_diameter(NormalisedImage(np.zeros((300, 200), np.uint8)), finder, guess) == expected


def test_a_measurement_far_from_its_assumption_is_held_back(finder):
    """One speck in an otherwise empty image must not make it be segmented at ten times its size at once."""
    image = np.zeros((500, 500), np.uint8)
    image[250:260, 250:260] = 255
    found = look_at(NormalisedImage(image), finder, 100.0, MeasureSettings())
    assert found.measured == 50 and found.change < np.log(1 / 4)


def look(measured, sure=0.3, unsure=0.02, assumed=None, disagreement=0.1, cells=40):
    assumed = assumed or measured
    return Look(assumed, measured, np.log(measured / assumed), sure, unsure, disagreement, cells)


def test_scores():
    """What is unsure, what disagrees, what has to be corrected and what is a single cell is less convincing."""
    plain = look(30.0).score()
    assert (
        look(30.0, unsure=0.1).score() < plain
        and look(30.0, sure=0.1).score() < plain
        and look(30.0, assumed=50.0).score() < plain
    )
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
