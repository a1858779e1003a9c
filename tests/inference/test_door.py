"""The program for Python: the same results as by the command line."""

import csv

import cv2
import numpy as np
import pytest
import tifffile
from skimage.data import immunohistochemistry

from inference.command_line import main
from inference.door import Segmenter, picture_of


@pytest.fixture(scope="module")
def segmenter(untrained_weights):
    return Segmenter(untrained_weights)


@pytest.fixture(scope="module")
def tissue():
    return immunohistochemistry()[:150, :200]


def test_arrays_files_and_the_command_line_give_the_same(segmenter, tissue, untrained_weights, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), tissue[..., ::-1])
    options = (
        "--weights",
        untrained_weights,
        "--diameter",
        "28",
        "--exclude-border",
        "--min-size",
        "20",
        "--table",
        "-q",
    )
    assert main([str(o) for o in ("-i", tmp_path / "a.png", "-o", tmp_path, *options)]) == 0
    for image in (tissue, tmp_path / "a.png", str(tmp_path / "a.png")):
        labels, table = segmenter.segment(image, diameter=28, min_size=20, exclude_border=True)
        assert np.array_equal(labels, tifffile.imread(tmp_path / "a_label.tiff"))
        assert labels.dtype == np.int32
        with open(tmp_path / "a_cells.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == list(table)
        assert len(rows) == labels.max() > 3
        np.testing.assert_allclose(
            [float(row["intensity_mean-green"]) for row in rows], table["intensity_mean-green"], rtol=1e-5
        )


def test_networks_are_loaded_once(segmenter, tissue, monkeypatch):
    segmenter.segment(tissue[..., 0], diameter=28, route="small colour")
    monkeypatch.setattr("inference.network.load_checkpoint", None)
    assert segmenter.segment(tissue[..., 0], diameter=28, route=3).image_class == "small colour"


def test_cells_in_words(segmenter, tissue):
    cells = segmenter.segment(tissue, diameter=28, route=3)
    assert repr(cells) == f"Cells({cells.labels.max()} of class 'small colour', diameter 28, in 150x200 pixels)"


def test_higher_sensitivity_finds_more(segmenter, tissue):
    found = [
        segmenter.segment(tissue, diameter=28, route=0, sensitivity=s).labels for s in ("lowest", "normal", "highest")
    ]
    assert 0 <= np.count_nonzero(found[0]) < np.count_nonzero(found[1]) < np.count_nonzero(found[2])


def test_pixel_sizes_give_micrometres(segmenter, tissue):
    table = segmenter.segment(tissue, diameter=28, pixel_size=(1.0, 0.5)).table
    np.testing.assert_allclose(table["area_um2"], table["area"] / 2)
    assert "perimeter_um" in segmenter.segment(tissue, diameter=28, pixel_size=0.5).table


@pytest.mark.parametrize("size", [2, np.float32(2), (2, 2), [2.0, 2], np.array([2, 2]), np.array(2)])
def test_pixel_sizes_of_all_kinds_of_numbers(size):
    assert picture_of(np.zeros((4, 5)), pixel_size=size).pixel_size == (2, 2)


def test_facts(segmenter):
    facts = segmenter.facts
    assert facts.version
    assert facts.device in ("cpu", "cuda:0", "cuda")
    assert len(facts.weights["gray"]) == 12
    assert set(facts.scores) == {"binary", "gray", "large colour", "small colour"}


@pytest.mark.parametrize(
    "shape, channels, expected, axes",
    [
        ((4, 5), None, (4, 5), "YX (gray)"),
        ((4, 5, 1), None, (4, 5), "YX (gray)"),
        ((4, 5, 2), None, (4, 5, 2), "YXC"),
        ((4, 5, 3), None, (4, 5, 3), "YXS (RGB)"),
        ((4, 5, 7), [6], (4, 5), "YX (gray)"),
        ((4, 5, 7), [6, 0], (4, 5, 2), "YXC"),
    ],
)
def test_arrays(shape, channels, expected, axes):
    image = np.arange(np.prod(shape)).reshape(shape)
    picture = picture_of(image, channels)
    assert picture.pixels.shape == expected
    assert picture.axes == axes
    if channels:
        assert np.array_equal(picture.pixels, np.squeeze(image[:, :, channels]))


@pytest.mark.parametrize(
    "image, options, words",
    [
        (np.zeros(5), {}, r"\(H, W\).*float64 \(5,\)"),
        (np.zeros((0, 5)), {}, r"\(0, 5\)"),
        (np.zeros((4, 5), complex), {}, "complex128"),
        (np.zeros((4, 5, 7)), {}, "7 channels: choose up to 3"),
        (np.zeros((4, 5, 3)), {"channels": [3]}, r"channels \[3\]: the array has the shape \(4, 5, 3\)"),
        (np.zeros((4, 5, 3)), {"channels": []}, r"channels \[\]: expected one to three integers from 0"),
        ("a.tif", {"channels": [0, 1, 2, 3]}, r"channels \[0, 1, 2, 3\]: expected one to three integers from 0"),
        ("a.tif", {"channels": [-1]}, r"channels \[-1\]: expected one to three integers from 0"),
        (np.zeros((4, 5)), {"sensitivity": "much"}, "'much': expected one of lowest"),
        (np.zeros((4, 5)), {"diameter": 0}, "diameter 0: expected 1 to 100000 pixels"),
        (np.zeros((4, 5)), {"diameter": float("inf")}, "diameter inf: expected 1 to 100000 pixels"),
        (np.zeros((4, 5)), {"diameter": float("nan")}, "diameter nan: expected 1 to 100000 pixels"),
        (np.zeros((4, 5)), {"diameter": "12um"}, "diameter '12um': expected 1 to 100000 pixels"),
        (np.zeros((4, 5)), {"route": "pink"}, "'pink' is no class"),
        ([[1, 2], [3, 4]], {}, "expected a NumPy array .*, or the path of a file, got list; numpy.asarray makes"),
        (None, {}, "or the path of a file, got NoneType"),
        (np.zeros((4, 5)), {"pixel_size": "a"}, "pixel_size 'a': expected micrometres, one number, or height and"),
        (np.zeros((4, 5)), {"pixel_size": (1, 2, 3)}, r"pixel_size \(1, 2, 3\): expected micrometres"),
        (np.zeros((4, 5)), {"pixel_size": [1, [2, 3]]}, r"pixel_size \[1, \[2, 3\]\]: expected micrometres"),
        (np.zeros((4, 5)), {"pixel_size": (1, 0)}, r"pixel_size \(1, 0\): expected micrometres"),
        (np.zeros((4, 5)), {"min_size": "30"}, "min_size '30': expected a number of pixels"),
        (np.zeros((4, 5)), {"max_size": None}, "max_size None: expected a number of pixels"),
        (np.zeros((4, 5, 3)), {"channels": 1}, r"channels 1: expected one to three integers from 0, such as \[0, 2\]"),
        ("a.tif", {"channels": "red"}, "channels 'red': expected one to three integers from 0"),
    ],
)
def test_what_is_refused(segmenter, image, options, words):
    with pytest.raises(ValueError, match=words):
        segmenter.segment(image, **options)
