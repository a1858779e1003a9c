"""Settings of all images of a run."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from skimage.data import coins, immunohistochemistry

from inference.image.forms import normalised_image
from inference.image.normalisation import CommonEnds, Normalisation
from inference.limits import LIMITS
from inference.reading import ReadOptions, open_image
from inference.running.common import measure_common
from inference.running.finding import Found
from tests.helpers.readers import InThisProcess


def request(**options):
    nothing = {"same_contrast": False, "same_diameter": False, "diameter": None, "class_": None}
    return SimpleNamespace(**nothing | {"limits": LIMITS, "reading": ReadOptions()} | options)


@pytest.fixture
def plate(tmp_path):
    """Three wells of one channel, the second one dim, one of three channels, and a file that is none."""
    wells = [(coins()[:96, :96] * brightness).astype(np.uint8) for brightness in (0.8, 0.1, 1.0)]
    for n, pixels in enumerate((*wells, immunohistochemistry()[:96, :96])):
        cv2.imwrite(str(tmp_path / f"{n}.png"), pixels)
    (tmp_path / "4.png").write_bytes(b"nothing")
    return [Found(path) for path in sorted(tmp_path.iterdir())], wells


def test_the_contrast_is_that_of_all_pixels_of_a_kind(plate):
    files, wells = plate
    pictures = [open_image(found.path) for found in files[:4]]
    common = measure_common(files, InThisProcess(), None, request(same_contrast=True))
    assert common.ends_of(pictures[0]) == Normalisation.measure(np.concatenate(wells)).ends
    assert len(common.ends_of(pictures[3])) == 3
    assert common.diameter is None
    dim = normalised_image(wells[1], ends=common.ends_of(pictures[1]))[:, :]
    assert dim.max() < 40 < normalised_image(wells[1])[:, :].max()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int32])
@pytest.mark.parametrize("channels", [1, 3])
def test_common_ends_of_one_image_are_its_own(dtype, channels):
    pixels = (coins()[:96, :96] if channels == 1 else immunohistochemistry()[:96, :96]).astype(dtype)
    common = CommonEnds()
    common.add(pixels)
    assert common.ends == Normalisation.measure(pixels).ends == common.ends


def test_a_few_levels_in_common_are_as_in_one_image():
    common, few = CommonEnds(), np.repeat(np.arange(6, dtype=np.uint8), 40)[None].repeat(40, 0)
    common.add(few)
    assert common.ends == Normalisation.measure(few).ends == ((0, 5),)


def test_the_diameter_is_the_median(plate):
    diameters = iter((10.0, 30.0, 20.0, 90.0))
    segmenter = SimpleNamespace(measure_diameter=lambda picture, class_, ends: next(diameters))
    assert measure_common(plate[0], InThisProcess(), segmenter, request(same_diameter=True)).diameter == 25
    assert measure_common(plate[0], InThisProcess(), None, request(same_diameter=True, diameter=7.0)).diameter is None


def test_nothing_is_measured_unless_it_is_asked_for(plate):
    common = measure_common(plate[0], InThisProcess(), None, request())
    assert common.diameter is None
    assert common.ends_of(open_image(plate[0][0].path)) is None


def test_no_file_can_be_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"nothing")
    common = measure_common(
        [Found(tmp_path / "a.png")], InThisProcess(), None, request(same_contrast=True, same_diameter=True)
    )
    assert common.diameter is None
    assert common.ends == {}


def test_noise_alone_remains_nothing(plate):
    noise = np.random.default_rng(0).normal(100, 3, (96, 96)).astype(np.uint8)
    assert not normalised_image(noise, ends=((0.0, 255.0),))[:, :].any()
