"""The whole way with the shipped weights, on one picture as different people would have stored it.

What counts is the agreement with the labels of the picture as it is: F1 at an IoU of 0.5.
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import of_two_sizes

from inference.command_line import main
from inference.door import Segmenter
from inference.running.finding import images_in
from training.measure.f1 import f1_score, score_image

IMAGES = Path(__file__).with_name("images")
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter()


def picture(name):
    (path,) = (path for path in images_in(IMAGES) if path.stem == name)
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return image if image.ndim == 2 else image[..., ::-1]


@pytest.fixture(scope="module")
def nuclei(segmenter):
    image = picture("nuclei")[:256, :256]
    return (image / image.max() * 255).astype(np.uint8), segmenter.segment(image).labels


def agreement(truth, labels):
    return f1_score(*score_image(truth, np.ascontiguousarray(labels))[0])


def test_gray_in_three_channels_is_gray(nuclei, segmenter):
    gray = segmenter.segment(nuclei[0]).labels
    np.testing.assert_array_equal(segmenter.segment(np.dstack([nuclei[0]] * 3)).labels, gray)
    assert agreement(nuclei[1], gray) > 0.97


@pytest.mark.parametrize("hue", [(0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (1, 0.4, 0.2)])
def test_fluorescence_in_any_hue(nuclei, segmenter, hue):
    image = np.rint(nuclei[0][..., None] * np.array(hue)).astype(np.uint8)
    assert agreement(nuclei[1], segmenter.segment(image).labels) >= 0.97
    jpeg = cv2.imdecode(cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1], cv2.IMREAD_COLOR)
    # Of 25 cells that touch no border, some overlap: what a JPEG shows of these is not what the image does.
    assert agreement(nuclei[1], segmenter.segment(np.ascontiguousarray(jpeg[..., ::-1])).labels) >= 0.85


@pytest.mark.parametrize("times, level", [(3, 0), (6, 0), (3, 20), (6, 20)])
def test_in_empty_surroundings(nuclei, segmenter, times, level):
    """A dark field of three and six times its area, black or with a camera's offset and noise, changes no label."""
    image = nuclei[0]
    side = round(256 * np.sqrt(1 + times))
    canvas = RNG.normal(level, 1, (side, side)).clip(0, 255).astype(np.uint8)
    place = slice(side - 256 - 9, side - 9), slice(7, 7 + 256)
    canvas[place] = image
    found = segmenter.segment(canvas).labels
    np.testing.assert_array_equal(found[place], segmenter.segment(image).labels)
    assert np.count_nonzero(found) == np.count_nonzero(found[place])


@pytest.mark.parametrize("times", [2, 4])
def test_enlarged(nuclei, segmenter, times):
    image, labels = nuclei
    found = segmenter.segment(cv2.resize(image, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)).labels
    assert agreement(labels, cv2.resize(found, labels.shape, interpolation=cv2.INTER_NEAREST)) >= 0.9


def test_noise_of_a_camera_holds_no_cells(segmenter):
    assert segmenter.segment(RNG.poisson(200, (400, 500)).astype(np.uint16)).labels.max() == 0


def test_nuclei_of_two_sizes(nuclei, segmenter):
    image, truth = of_two_sizes(*nuclei)
    assert agreement(truth, segmenter.segment(image).labels) >= 0.8


@pytest.mark.parametrize("radius", [25, 35])
def test_a_spot_ten_times_as_bright_costs_no_nuclei(nuclei, segmenter, radius):
    """Dirt on 3 % and on 6 % of the image. Nuclei that it touches do not count."""
    image, labels = nuclei
    bright, spot = with_spot(image, radius)
    found = segmenter.segment(bright).labels
    assert agreement(without(labels, spot), without(found, spot)) >= 0.85


def test_bright_places_that_are_left_out_of_the_contrast_are_told(nuclei, tmp_path, caplog):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "clean.png"), nuclei[0])
    cv2.imwrite(str(tmp_path / "in" / "dirty.png"), with_spot(nuclei[0], 30)[0])
    report = tmp_path / "report.json"
    assert main(["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--report", str(report)]) == 0
    contrast = {row["image"]: row["contrast"] for row in json.loads(report.read_text())}
    assert contrast == {"clean.png": "image", "dirty.png": "image without its brightest places"}
    told = caplog.text
    assert "dirty.png: a few places are much brighter than all the rest" in told
    assert "clean.png: a few" not in told


def with_spot(image, radius):
    """In 16 bits, with a spot ten times as bright as the brightest pixel in the middle; and where that is."""
    spot = cv2.circle(np.zeros_like(image), (128, 128), radius, 1, -1) > 0
    return np.where(spot, 25_500, 10 * image.astype(np.uint16)).astype(np.uint16), spot


def without(labels, place):
    """The labels but for those that reach into a place."""
    return np.where(np.isin(labels, labels[place]), 0, labels)
