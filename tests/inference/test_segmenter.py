"""inference.segmenter and inference.segmentation: who is asked what, in which order, and when what is known; with
stand-ins for router and networks.
"""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from inference import segmenter as segmenter_module
from inference.image.forms import normalised_image
from inference.limits import Limits
from inference.network import Network
from inference.reading import Picture
from inference.routing import Route
from inference.segmenter import Segmenter
from inference.stopwatch import Stopwatch
from models.checkpoint import CheckpointError, save_checkpoint
from models.classes import CLASSES
from models.config import Config
from models.likeness import Likeness
from models.stardist import RAYS, ConvNeXtStarDist, StarDistMaps

GROUND = 32  # gray level of the ground of `with_a_hole`, once it is normalised


CPU = torch.device("cpu")


class Disks(torch.nn.Module):
    """Finds a cell of radius 8 wherever a window is bright; has no memory on a device that is not the CPU."""

    kind = "stardist"

    def forward(self, images):
        if images.device.type != "cpu":
            raise torch.OutOfMemoryError
        bright = images[:, :1, 1::4, 1::4].float()
        return StarDistMaps(20 * bright - 10, torch.full((len(bright), RAYS, *bright.shape[2:]), 8.0))


class BrightAndBlack(Disks):
    """Finds a cell wherever a window is not of the gray level of the ground."""

    def forward(self, images):
        away = (images[:, :1, 1::4, 1::4].float() - GROUND / 255).abs()
        return StarDistMaps(200 * away - 10, torch.full((len(away), RAYS, *away.shape[2:]), 8.0))


class Router:
    """Says class 3 and 16 pixels; remembers what it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, image, excluded=()):
        self.asked.append((image.shape, excluded))
        return Route((0.1, 0.0, 0.1, 0.8), 16.0, features=np.array([2.0, 3.0], np.float32))


def disks(device="cpu"):
    return Network(Disks(), Config(diameter=16.0), torch.device(device), torch.float32)


def picture():
    pixels = np.zeros((60, 80), np.uint8)
    pixels[28:32, 20:24] = pixels[40:44, 60:64] = 200
    return Picture(pixels, "YX (gray)")


def with_a_hole(ground=30):
    """A bright cell of 12 pixels, and a black gap of as many in front of it."""
    pixels = np.full((60, 80), ground, np.uint8)
    pixels[12:24, 12:24], pixels[32:44, 52:64] = 5, 200
    return Picture(pixels, "YX (gray)")


@pytest.fixture
def segmenter():
    return Segmenter(Router(), {3: disks(), 0: disks()}, "cpu")


def test_the_router_chooses(segmenter):
    found = segmenter.segment(picture())
    assert found.plan.image_class == CLASSES[3]
    assert found.plan.route.diameter == 16
    assert found.labels.shape == (60, 80)
    assert found.labels.max() == 2 == found.summary.cells
    assert segmenter._router.asked == [((60, 80), ())]


def test_the_router_is_asked_once_where_the_class_is_given(segmenter):
    """For the size alone; its opinion of the class is not handed on."""
    found = segmenter.segment(picture(), class_=0)
    assert found.plan.image_class == CLASSES[0]
    assert found.plan.route is None
    assert len(segmenter._router.asked) == 1


def test_the_router_is_not_asked_where_class_and_diameter_are_given(segmenter):
    found = segmenter.segment(picture(), class_=0, diameter=32.0)
    assert segmenter._router.asked == []
    assert found.plan.diameter == 32
    assert found.plan.sizes.working == (30, 40)
    assert found.plan.sizes.scale == (0.5, 0.5)
    assert found.labels.shape == (60, 80)
    assert "route" not in found.summary.seconds


@pytest.fixture
def own(tmp_path, segmenter):
    """Function that makes a segmenter with a network beside that of class 3, for images of this likeness."""

    def make(likeness, class_=3):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
        network = ConvNeXtStarDist("convnext_atto")
        save_checkpoint(path, network, Config({"encoder": "convnext_atto"}, 32.0, likeness=asdict(likeness)))
        networks = {3: disks(), 0: disks()}
        router = Router()
        return Segmenter(router, networks, "cpu", own={class_: path}), router

    return make


@pytest.mark.parametrize("class_, diameter", [(None, None), (3, None), (3, 16.0), (None, 16.0)])
def test_images_like_ones_own_have_a_network_of_their_own(own, class_, diameter):
    """Also where class or diameter are given; the router then is asked for nothing else."""
    for bias, radius, expected in ((-0.5, 2.0, True), (-1.5, 2.0, False), (-0.5, 1.0, False)):
        segmenter, router = own(Likeness((1.0, 2.0), (1.0, 1.0), (1.0, 0.0), bias, radius))
        plan = segmenter.segment(picture(), class_=class_, diameter=diameter).plan
        assert plan.own is expected
        assert plan.image_class == CLASSES[3]
        assert (plan.route is None) == (class_ is not None)
        assert len(router.asked) == 1
        _, network, _ = segmenter.plan(picture(), class_, diameter, None, Stopwatch())
        assert network.config.diameter == (32 if expected else 16)
        like = segmenter.segment(picture(), like=plan)
        assert like.plan.own is expected
        assert (segmenter.digest(3, plan.own) != "") == expected


def test_an_image_without_its_brown_is_as_like_ones_own_as_with_it(own, monkeypatch):
    """The images that were learnt from had theirs."""
    for name in ("size_unsure", "hides_nuclei", "clearer"):
        monkeypatch.setattr(segmenter_module, name, lambda *_: True)

    def normalised(pixels, limits, ends=None, brown=True):
        return normalised_image(pixels if brown else 255 - pixels, limits, ends, brown)

    monkeypatch.setattr(segmenter_module, "normalised_image", normalised)
    segmenter, _ = own(Likeness((0.0, 0.0), (1.0, 1.0), (1.0, 0.0), -0.5, 10.0))

    def route(image, excluded=()):
        dark = image.overview.mean() < 128
        return Route((0.1, 0.0, 0.1, 0.8), 16.0, features=np.array([float(dark), 0.0], np.float32))

    segmenter._router = route
    pixels = picture().pixels
    plan = segmenter.segment(Picture(np.dstack([pixels, pixels // 2, pixels]), "YXC (RGB)")).plan
    assert not plan.brown
    assert plan.own


def test_images_like_ones_own_may_be_of_another_class(own):
    """Whose own network comes first, if they are like those that it was trained on, too."""
    like, unlike = (
        Likeness((1.0, 2.0), (1.0, 1.0), (1.0, 0.0), 1.0, 2.0),
        Likeness((9.0, 9.0), (1.0,) * 2, (1.0, 0), 1, 1),
    )
    segmenter, _ = own(like, class_=0)
    plan = segmenter.segment(picture()).plan
    assert (plan.own, plan.image_class) == (True, CLASSES[0])
    assert segmenter.segment(picture(), like=plan).plan.image_class == CLASSES[0]
    assert segmenter.likely_classes(picture())[0] == 0
    for other, expected in ((like, 3), (unlike, 0)):
        path = own(other, class_=3)[0].own_files[3]
        both = Segmenter(Router(), {3: disks(), 0: disks()}, "cpu", own={**segmenter.own_files, 3: path})
        assert both.segment(picture()).plan.image_class.number == expected


def test_a_network_of_ones_own_serves_the_class_that_is_given_alone(own):
    segmenter, router = own(Likeness((2.0, 3.0), (1.0, 1.0), (0.0, 0.0), 1.0, 1.0), class_=3)
    assert not segmenter.segment(picture(), class_=0, diameter=16.0).plan.own
    assert router.asked == []


def test_what_is_known_when(segmenter):
    found = segmenter.segment(picture(), diameter=16.0)
    with pytest.raises(RuntimeError, match="no summary before all of its label rows"):
        _ = found.summary
    rows = list(found.rows)
    assert sum(map(len, rows)) == 60
    summary = found.summary
    assert (summary.tiles, summary.empty_tiles, summary.cells, summary.seam_cells, summary.cut_cells) == (1, 0, 2, 0, 0)
    assert summary.device == "cpu"
    assert {"normalise", "route", "load", "network", "decode"} <= set(summary.seconds)


def test_after_the_fallback_the_summary_says_cpu():
    segmenter = Segmenter(Router(), {3: disks("meta")}, "cpu")
    found = segmenter.segment(picture(), diameter=16.0)
    assert found.labels.max() == 2
    assert found.summary.device == "cpu"


def test_on_tile_is_told_the_number_of_tiles(segmenter):
    told = []
    assert segmenter.segment(picture(), diameter=16.0, on_tile=told.append).labels.max() == 2
    assert told == [1]


def test_limits_reach_the_image():
    segmenter = Segmenter(Router(), {3: disks()}, "cpu", Limits(whole_pixels=1000, overview_side=20))
    image, _, _ = segmenter.plan(picture(), None, 16.0, None, Stopwatch())
    assert image.reduction == 3


def test_networks_of_a_folder_are_loaded_when_they_are_needed(untrained_weights, monkeypatch):
    loaded = []
    load = Network.load
    monkeypatch.setattr(Network, "load", lambda path, *more: loaded.append(path.name) or load(path, *more))
    segmenter = Segmenter.from_folder(untrained_weights, "cpu")
    assert loaded == []
    for class_ in (1, 1, 2):
        segmenter.segment(picture(), class_=class_, diameter=28.0)
    assert loaded == ["class1.safetensors", "class2.safetensors"]


def test_an_incomplete_folder_is_refused(tmp_path):
    (tmp_path / "class0.safetensors").touch()
    with pytest.raises(
        CheckpointError, match="router.safetensors, class1.safetensors, .* missing; give the folder of all five"
    ):
        Segmenter.from_folder(tmp_path)


def test_the_class_alone_is_chosen_as_for_the_labels(segmenter):
    """The router is asked the same: of colours in empty surroundings, what they show, and without which classes."""
    pixels = np.zeros((200, 240, 3), np.uint8)
    pixels[80:120, 100:150] = np.random.default_rng(0).integers(0, 255, (40, 50, 3))
    embedded = Picture(pixels, "YXS")
    assert segmenter.likely_classes(embedded)[0] == segmenter.segment(embedded).plan.image_class.number == 3
    alone, for_labels = segmenter._router.asked
    assert alone == for_labels
    assert alone[0][0] < 100


def test_classes_that_are_likely_too_are_told(segmenter):
    """The router gives two classes 0.1."""
    assert segmenter.likely_classes(picture()) == segmenter.likely_classes(picture(), 0.2) == (3,)
    assert segmenter.likely_classes(picture(), 0.1) == (3, 0, 2)


def finds_both(**options):
    return Segmenter(
        Router(), {3: Network(BrightAndBlack(), Config(diameter=16.0), CPU, torch.float32)}, "cpu", **options
    )


def test_dark_gaps_are_no_cells():
    found = finds_both().segment(with_a_hole(), diameter=16.0)
    assert found.plan.ground == GROUND
    assert found.plan.at_once
    assert set(np.unique(found.labels[12:24, 12:24])) == {0}
    assert (found.labels[34:42, 54:62] > 0).all()
    assert found.summary.cells == found.labels.max() == len(np.unique(found.labels)) - 1
    assert found.summary.probabilities.shape == (found.summary.cells,)


def test_another_plane_has_a_ground_of_its_own():
    segmenter = finds_both()
    plan = segmenter.segment(with_a_hole(), diameter=16.0).plan
    assert segmenter.segment(with_a_hole(ground=150), like=plan).plan.ground is None


def test_a_large_image_keeps_its_gaps():
    """Its labels are made band by band."""
    found = finds_both(limits=Limits(band_pixels=4000)).segment(with_a_hole(), diameter=16.0)
    assert not found.plan.at_once
    assert (found.labels[14:22, 14:22] > 0).any()


def in_the_dark(blocks=10):
    """A square of so many blocks of 6 pixels, of any gray level, in a black field."""
    pixels, side = np.zeros((200, 240), np.uint8), 6 * blocks
    levels = np.random.default_rng(0).integers(20, 250, (blocks, blocks))
    pixels[20 : 20 + side, 30 : 30 + side] = np.kron(levels, np.ones((6, 6)))
    return Picture(pixels, "YX (gray)")


def test_what_lies_in_empty_surroundings_is_labelled_as_if_it_were_alone():
    place = slice(20, 80), slice(30, 90)
    segmenter = Segmenter(Router(), {3: disks()}, "cpu")
    found = segmenter.segment(in_the_dark())
    alone = segmenter.segment(Picture(in_the_dark().pixels[place], "YX (gray)"))
    assert found.plan.embedded
    assert not alone.plan.embedded
    assert alone.labels.any()
    np.testing.assert_array_equal(found.labels[place], alone.labels)


def test_another_plane_has_surroundings_of_its_own():
    segmenter = finds_both()
    plan = segmenter.segment(in_the_dark()).plan
    assert not segmenter.segment(in_the_dark(28), like=plan).plan.embedded


def test_a_large_image_is_segmented_as_one_with_its_surroundings():
    """Its labels are made band by band."""
    plan = finds_both(limits=Limits(band_pixels=4000)).segment(in_the_dark()).plan
    assert not plan.embedded
    assert not plan.at_once
