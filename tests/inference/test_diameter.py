"""How the size of the cells is measured, with a stand-in for the network that finds disks of about its own size."""

import cv2
import numpy as np
import pytest

from inference.diameter import Look, MeasureSettings, measure_diameter, typical_diameter
from inference.normalisation import NormalisedImage
from inference.stardist import star_distances
from models.unet import STRIDE

WANTED = 28.0  # pixels, the stand-in's cell diameter


class Finder:
    """Finds bright disks whole and surely where they are 0.4 to 2.5 times as large as it wants them, else unsure splinters of its own
    size."""

    kind, batch, overlaps = "stardist", 1, False

    def __init__(self):
        self.config, self.windows = {"diameter": WANTED}, []

    def __call__(self, windows):
        (window,) = windows
        self.windows.append(window.shape)
        labels = cv2.connectedComponents((window[:, :, 0] > 127).astype(np.uint8))[1]
        areas = np.bincount(labels.ravel())[1:]
        probability = 0.95
        if areas.size and not 0.4 < 2 * np.sqrt(np.median(areas) / np.pi) / WANTED < 2.5:
            y, x = np.indices(labels.shape) // round(WANTED / 1.8)
            labels = np.unique(np.where(labels > 0, 1 + y * labels.shape[1] + x, 0), return_inverse=True)[1].reshape(labels.shape)
            probability = 0.6
        dist = star_distances(labels.astype(np.int32), stride=STRIDE)
        return np.where(dist.max(axis=2) > 0, probability, 0)[None, None].astype(np.float32), dist.transpose(2, 0, 1)[None]


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
    """Five times too small and too large are still within reach of the ladder."""
    found = measure_diameter(disks(true), finder, wrong * true)
    assert true / 1.2 < found < true * 1.2
    assert len(finder.windows) <= 6 and max(max(shape) for shape in finder.windows) <= 512


def test_without_cells_the_guess_remains(finder):
    assert measure_diameter(NormalisedImage(np.zeros((300, 300), np.uint8)), finder, 33.0) == 33.0


@pytest.mark.parametrize(("guess", "expected"), [(0.01, 1.0), (1e6, 225.0)])
def test_impossible_guesses(finder, guess, expected):
    """At least a pixel, at most three quarters of the image."""
    assert measure_diameter(NormalisedImage(np.zeros((300, 200), np.uint8)), finder, guess) == expected


def test_a_measurement_far_from_its_assumption_is_held_back(finder):
    """One speck in an otherwise empty image must not make it be segmented at twenty times its size."""
    image = np.zeros((500, 500), np.uint8)
    image[250:256, 250:256] = 255
    assert measure_diameter(NormalisedImage(image), finder, 100.0) > 7


def look(measured, sure=0.3, unsure=0.02, assumed=None, disagreement=0.1):
    assumed = assumed or measured
    return Look(assumed, measured, np.log(measured / assumed), sure, unsure, disagreement)


def test_scores():
    """What is unsure, what disagrees, what has to be corrected and what is far from the guess is less convincing."""
    def score(*values, **more):
        return look(*values, **more).score(30.0, MeasureSettings())

    plain = score(30.0)
    assert score(30.0, unsure=0.1) < plain and score(30.0, sure=0.1) < plain and score(30.0, assumed=50.0) < plain
    assert score(30.0, disagreement=0.2) < plain < score(30.0, disagreement=0.05)
    assert score(60.0) == pytest.approx(score(15.0)) and score(60.0) < plain
    assert score(30.0 * 5, sure=0.6, disagreement=0.05) > score(30.0, sure=0.1), "strong evidence overrules the guess"
    assert np.isfinite(score(30.0, sure=0.0))


def test_a_score_by_hand():
    """Half of ln(0.3 / 0.01), and minus three times ln(0.07 + 0.03)."""
    expected = np.log(0.3 / 0.01) / 2 - 3 * np.log(0.1)
    assert look(30.0, unsure=0.0, disagreement=0.07).score(30.0, MeasureSettings()) == pytest.approx(expected)


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
