"""How the size of the cells is measured, with a stand-in for the network that finds disks of about its own size."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from inference import segmenter
from inference.normalisation import NormalisedImage
from inference.segmenter import Segmenter

WANTED = 28.0  # pixels, the stand-in's cell diameter
NETWORK = SimpleNamespace(config={"diameter": WANTED})


def disks(diameter, side=1600, gap=1.5):
    """Bright disks on a dark ground, on a square grid."""
    image = np.zeros((side, side), np.uint8)
    for y in np.arange(diameter, side - diameter, gap * diameter):
        for x in np.arange(diameter, side - diameter, gap * diameter):
            cv2.circle(image, (int(x), int(y)), round(diameter / 2), 255, -1)
    return image


@pytest.fixture
def finder(weights_of_any_kind, monkeypatch):
    """A segmenter whose network finds bright disks whole where they are 0.4 to 2.5 times as large as it wants them, else in splinters."""
    def segment_at(probe, network, scale):
        labels = cv2.connectedComponents((probe[:, :] > 127).astype(np.uint8))[1]
        areas = np.bincount(labels.ravel())[1:]
        if areas.size and not 0.4 < 2 * np.sqrt(np.median(areas) / np.pi) * scale / WANTED < 2.5:
            step = max(1, round(WANTED / scale / 1.8))  # the network splits what is too large, as it splits all
            y, x = np.indices(labels.shape) // step
            labels = np.where(labels > 0, 1 + y * labels.shape[1] + x, 0)
            labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
        passes.append(scale)
        return labels

    passes = []
    monkeypatch.setattr(segmenter, "segment_at", segment_at)
    return Segmenter(weights_of_any_kind, "cpu"), passes


@pytest.fixture
def weights_of_any_kind(tmp_path):
    """A weights folder whose files are never read."""
    for name in ("router", "class0", "class1", "class2", "class3"):
        (tmp_path / f"{name}.safetensors").touch()
    return tmp_path


@pytest.mark.parametrize("true", [12, 40, 110])
@pytest.mark.parametrize("wrong", [0.5, 0.8, 1.0, 1.6, 3.0])
def test_wrong_guesses_are_corrected(finder, true, wrong):
    found = finder[0].measure_diameter(NormalisedImage.of(disks(true)), NETWORK, wrong * true)
    assert true / 1.25 < found < true * 1.25
    assert len(finder[1]) == 2


def test_the_second_measurement_starts_from_the_first(finder):
    """The first one is made at the size that the guess asks for, the second one at about the true one."""
    finder[0].measure_diameter(NormalisedImage.of(disks(40)), NETWORK, 80)
    first, second = finder[1]
    assert first == pytest.approx(WANTED / 80, rel=0.1) and second == pytest.approx(WANTED / 40, rel=0.15)


def test_without_cells_the_guess_remains(finder):
    assert finder[0].measure_diameter(NormalisedImage.of(np.zeros((300, 300), np.uint8)), NETWORK, 33.0) == 33.0
    assert len(finder[1]) == 1


@pytest.mark.parametrize(("guess", "expected"), [(0.01, 1.0), (1e6, 225.0)])
def test_impossible_guesses(finder, guess, expected):
    """At least a pixel, at most three quarters of the image."""
    assert finder[0].measure_diameter(NormalisedImage.of(np.zeros((300, 200), np.uint8)), NETWORK, guess) == expected


def test_a_measurement_far_from_its_guess_counts_half(finder):
    """One speck in an otherwise empty image must not make it be segmented at twenty times its size."""
    image = np.zeros((500, 500), np.uint8)
    image[250:252, 250:252] = 255
    found = finder[0].measure_diameter(NormalisedImage.of(image), NETWORK, 100.0)
    assert found >= 100.0 / 2**2
