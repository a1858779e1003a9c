"""From an image to label rows with real networks: however the image is cut and whatever runs at the same time, the
labels are the same.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from streamed import assert_matching, at_once, grid_of, same_cells

from inference import hover, stardist
from inference.image.forms import NormalisedImage, Part, to_three_channels
from inference.image.normalisation import normalise
from inference.image.scaling import Sizes, WorkingImage
from inference.kinds import KINDS
from inference.limits import Limits
from inference.network import Network
from inference.pipeline import collect, label_rows, rows_without_gaps
from inference.reading import read_image
from inference.segmenter import Segmenter
from inference.stopwatch import Stopwatch
from inference.tiles import Tally, cut_batches, run_tiles
from models.classes import CLASSES
from models.stardist import RAYS
from training.images.manifest import read_manifest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("class_", [0, 1])
def test_labels_are_the_same_with_and_without_overlap(class_, untrained_weights, monkeypatch):
    """As on a GPU, with three windows at a time."""
    network = Network.load(untrained_weights / CLASSES[class_].file, torch.device("cpu"))
    pixels = np.random.default_rng(0).integers(0, 255, (900, 1300), np.uint8)
    pixels[:, 900:] = 7  # some windows are empty

    def labels():
        tally, clock = Tally(), Stopwatch()
        found = collect(label_rows(WorkingImage(NormalisedImage(pixels), 1.2), network, tally, clock), pixels.shape)
        return found, tally, clock.seconds

    expected, counts, _ = labels()
    monkeypatch.setattr(Network, "overlaps", True)
    network.batch = 3
    found, tally, seconds = labels()
    assert expected.max() > 10
    assert np.array_equal(found, expected)
    assert tally == counts
    assert set(seconds) == {"scale", "network", "wait", "decode"}


# The shipped networks on real images


@pytest.fixture(scope="module")
def shipped():
    """The shipped networks, by their class."""
    return Segmenter.from_folder(ROOT / "weights", "cpu").network


def tiles_of(image, network):
    """Maps of an image's windows at its own size, and the network's settings."""
    tiles = list(run_tiles(cut_batches(image.shape[:2], lambda top, bottom: image[top:bottom], 1, Tally()), network))
    return tiles, KINDS[network.kind].Settings(**network.config.decoder)


def whole_maps(tiles, shape):
    """The maps of all tiles in one."""
    maps = np.zeros((1, *grid_of(shape)), np.float32), np.zeros((RAYS, *grid_of(shape)), np.float32)
    for tile, parts in tiles:
        rows, columns = tile.owned_grid()
        for whole, part in zip(maps, parts or ()):
            whole[:, rows, columns] = part
    return maps


def assert_streamed_as_whole(image, network):
    """Returns the number of cells, and of those that lie across a seam."""
    shape, tally = image.shape[:2], Tally()
    tiles, settings = tiles_of(image, network)
    sizes = Sizes(shape, shape)
    if network.kind == "stardist":
        expected, _ = at_once(*whole_maps(tiles, shape), sizes, settings)
        labels = np.concatenate(list(stardist.rows(iter(tiles), settings, sizes, tally)))
        assert same_cells(labels, expected)
    else:
        labels, expected = None, None
        for rows in (10**6, 64):
            limits = Limits(decoded_pixels=1, fewest_decoded_rows=rows)
            tally, expected = Tally(), labels
            labels = np.concatenate(list(hover.rows(iter(tiles), settings, sizes, tally, limits)))
    assert_matching(labels, expected)
    return tally.cells, tally.seam_cells


@pytest.mark.parametrize("stream_number", range(4))
@pytest.mark.parametrize("name", ["nuclei.tif", "immunohistochemistry.png"])
def test_shipped_networks(name, stream_number, shipped):
    """Three tiles above each other of images that may be redistributed, mirrored to be higher than a window."""
    image = to_three_channels(normalise(read_image(ROOT / "tests/images" / name).pixels))
    image = np.concatenate([image, image[::-1], image[:150]])[:, :256]
    cells, seam_cells = assert_streamed_as_whole(image, shipped(stream_number))
    if (name, stream_number) == (
        "nuclei.tif",
        0,
    ):  # what networks make of images of other classes may be next to nothing
        assert cells > 20
        assert seam_cells > 0


@pytest.mark.parametrize(
    "source, stream_number",
    [
        ("dsb2018_fluo", 0),
        ("deepcell_phase", 1),
        ("usiigaci_phase", 1),
        ("segpc2021", 2),
        ("monuseg", 3),
    ],
)
def test_shipped_networks_on_real_data(source, stream_number, shipped, real_data):
    """One image of each kind of validation images, its largest."""
    records = [r for r in read_manifest(real_data / "manifest.csv", "val") if r.source == source]
    pictures = [normalise(read_image(record.image).pixels) for record in records]
    image = to_three_channels(max(pictures, key=lambda p: p.size))
    image = np.concatenate([image, image[::-1]])[:1300, :512]
    cells, _ = assert_streamed_as_whole(image, shipped(stream_number))
    assert cells > 3


@pytest.mark.parametrize("bright", [False, True])
def test_gaps_in_content_are_told_without_its_surroundings(bright):
    """A dim cell at the content's border, darker than these if they are bright; a gap in it; and one beside it."""
    image, labels = np.full((80, 80), 200 * bright, np.uint8), np.zeros((80, 80), np.int32)
    box = slice(0, 50), slice(0, 50)
    image[box] = 8
    image[20:40, 20:40] = 30
    image[60:, 60:] = 250
    places = (slice(42, 50), slice(10, 20)), (slice(25, 33), slice(25, 33)), (slice(66, 74), slice(66, 74))
    for number, (place, level) in enumerate(zip(places, (15, 4, 3)), start=1):
        image[place], labels[place] = level, number
    form = NormalisedImage(image)
    form.content = Part(form, box)
    tally = Tally(cells=3, probabilities=[np.array([0.9, 0.8, 0.7], np.float32)])
    (kept,) = rows_without_gaps(iter([labels]), form, 20.0, tally, Stopwatch())
    np.testing.assert_array_equal(kept, labels == 1)
    assert tally.cells == 1
    np.testing.assert_allclose(tally.all_probabilities, [0.9], rtol=1e-6)
