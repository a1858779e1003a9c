"""Both streams give the cells of the whole image, however it is cut: StarDist exactly, Hover at an IoU of 0.99."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree

import inference
from inference import hover_stream
from inference.geometry import hover_maps
from inference.hover_stream import MapRows, hover_rows
from inference.images import read_image
from inference.nms import StarDistSettings, find_candidates, paint, suppress
from inference.normalisation import normalise, to_three_channels
from inference.segmenter import Segmenter
from inference.stardist_stream import LONGEST_RAY, stardist_rows
from inference.stream import DECODERS
from inference.tiles import STEP, Tally, cut_batches, run_tiles, spans, tile_image
from inference.watershed import HoverSettings
from models.stardist import RAYS
from models.unet import STRIDE
from training.manifest import read_manifest
from training.measure.f1 import match_counts

SHAPES = [(1, 1), (1, 700), (3, 40), (511, 130), (512, 64), (513, 96), (385, 600), (897, 200), (1400, 33), (1050, 400)]
SCALES = [1.0, 0.4, 0.77, 1.6]


def cut(shape, *maps):
    """The tiles of an image of this shape with their part of its maps, as `run_tiles` yields them."""
    for tile in tile_image(*shape):
        rows, columns = tile.owned_grid()
        yield tile, tuple(m[:, rows, columns] for m in maps)


def grid_of(shape):
    return tuple(-(-n // STRIDE) for n in shape)


def same_cells(one, other):
    """Whether two label images are equal but for the numbers of the cells."""
    pairs = np.unique(np.stack((one.ravel(), other.ravel())), axis=1)
    return np.array_equal(one > 0, other > 0) and len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1]


def assert_numbered(labels, tally):
    assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, tally.cells + 1)), "cells are not numbered 1..n"


def smooth(rng, shape, sigma):
    """Smooth noise of mean 0 and standard deviation 1."""
    noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return (noise - noise.mean()) / max(noise.std(), 1e-6)


# StarDist


def star_maps(shape, seed, radius=14.0, share=0.3, long=0.0):
    """Random smooth maps of an image of this shape: polygons of about `radius`, large ones beside small ones, crowd on `share` of it;
    some have a very long ray where `long` is given."""
    rng = np.random.default_rng(seed)
    grid = grid_of(shape)
    prob = smooth(rng, grid, 2.0)
    prob = np.clip(0.5 + 0.2 * (prob - np.quantile(prob, 1 - share)), 0, 1).astype(np.float32)
    size = radius * np.exp(0.6 * smooth(rng, grid, 2.0))
    dist = np.stack([size * np.exp(0.2 * smooth(rng, grid, 2.0)) for _ in range(RAYS)])
    if long:
        stretched = smooth(rng, grid, 3.0) > np.float32(2.5 - long)
        dist[rng.integers(RAYS), stretched] *= 25
    return prob[None], dist.astype(np.float32)


def at_once(prob, dist, working_shape, shape, settings):
    """The cells of the whole maps, without tiles and bands."""
    scale = tuple(w / n for w, n in zip(working_shape, shape))
    found = find_candidates(prob, np.minimum(dist, LONGEST_RAY), (0, 0), settings.prob_threshold)
    return paint(suppress(found, settings.overlap_threshold), shape, scale)


def stream(prob, dist, working_shape, shape):
    tally = Tally()
    bands = list(stardist_rows(cut(working_shape, prob, dist), StarDistSettings(), working_shape, shape, tally))
    return np.concatenate(bands), tally, bands


KINDS = {"plain": {}, "crowded": {"radius": 5.0, "share": 0.6}, "large": {"radius": 60.0}, "long": {"long": 1.0}}


@pytest.mark.parametrize("seed, working_shape", list(enumerate(SHAPES)))
@pytest.mark.parametrize("kind", KINDS)
def test_stardist_is_that_of_the_whole(seed, working_shape, kind):
    scale = SCALES[(seed + list(KINDS).index(kind)) % len(SCALES)]
    shape = tuple(max(1, round(n / scale)) for n in working_shape)
    prob, dist = star_maps(working_shape, seed, **KINDS[kind])
    expected, cells = at_once(prob, dist, working_shape, shape, StarDistSettings())
    labels, tally, _ = stream(prob, dist, working_shape, shape)
    assert same_cells(labels, expected) and tally.cells == cells
    assert_numbered(labels, tally)
    assert cells > 3 or min(working_shape) < 40


def test_stardist_hands_on_rows_before_the_last_tile_and_keeps_few():
    """Bands are about as high as the step between tiles: what waits is not much more than the polygons' length."""
    shape = (3000, 100)
    _, _, bands = stream(*star_maps(shape, 0), shape, shape)
    heights = [len(band) for band in bands]
    assert len(heights) >= len(spans(shape[0])) - 1 and sum(heights) == 3000
    assert max(heights[:-1]) < STEP + LONGEST_RAY and heights[-1] < 2 * STEP + LONGEST_RAY


def one_star(shape, point, radius, prob=0.9):
    """Maps with a single candidate at a grid point."""
    maps = np.zeros((1, *grid_of(shape)), np.float32), np.zeros((RAYS, *grid_of(shape)), np.float32)
    maps[0][0, point[0], point[1]], maps[1][:, point[0], point[1]] = prob, radius
    return maps


@pytest.mark.parametrize("radius, cells_cut", [(60, 0), (250, 0), (256, 1), (400, 1)])
def test_a_large_stardist_cell_is_one_cell_or_is_reported(radius, cells_cut):
    """Larger than the 64 pixels of margin, than a row of tiles, than the limit: its radius is then the limit."""
    shape = (1300, 900)
    labels, tally, _ = stream(*one_star(shape, (120, 110), radius), shape, shape)
    reach = min(radius, LONGEST_RAY)
    assert tally.cells == labels.max() == 1 and tally.cut_cells == cells_cut and tally.seam_cells == 1
    assert labels.sum() == pytest.approx(RAYS / 2 * reach**2 * np.sin(2 * np.pi / RAYS), rel=0.01)


def test_stardist_counts_the_cells_across_seams():
    shape = (1300, 200)
    first_seam = spans(1300)[0].high
    prob, dist = (sum(maps) for maps in zip(*(one_star(shape, p, 9) for p in ((10, 10), (10, 40), (first_seam // 4 - 1, 20),
                                                                              (first_seam // 4, 40), (first_seam // 4 + 5, 10)))))
    labels, tally, _ = stream(prob, dist, shape, shape)
    assert tally.cells == 5 and tally.seam_cells == 2 and tally.cut_cells == 0


def test_more_than_65535_cells_in_a_streamed_image():
    shape = (1100, 1000)
    prob, dist = np.full((1, *grid_of(shape)), 0.9, np.float32), np.full((RAYS, *grid_of(shape)), 1.2, np.float32)
    prob[0, ::2, ::2] = 0.8
    labels, tally, _ = stream(prob, dist, shape, shape)
    assert tally.cells == labels.max() == prob.size > 65_535
    assert_numbered(labels, tally)


def test_no_maps_at_all():
    """An image whose windows are all empty."""
    shape = (1100, 600)
    empty = [(tile, None) for tile in tile_image(*shape)]
    for rows in (stardist_rows, hover_rows):
        tally = Tally()
        settings = StarDistSettings() if rows is stardist_rows else HoverSettings(cell_threshold=0.01)
        labels = np.concatenate(list(rows(iter(empty), settings, shape, (2000, 700), tally)))
        assert labels.shape == (2000, 700) and labels.max() == 0 and tally == Tally()


# Hover


def crowded_cells(shape, spacing, seed, radius=0.75):
    """Touching cells with gaps between groups of them: the nearest of random points, if it is near enough."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, shape, (max(1, round(shape[0] * shape[1] / spacing**2)), 2))
    pixels = np.stack(np.indices(shape), axis=-1).reshape(-1, 2)
    distance, nearest = cKDTree(points).query(pixels)
    return np.where(distance < radius * spacing, nearest + 1, 0).reshape(shape).astype(np.int32)


def hover_maps_of(labels):
    """What a perfect network says of labels on the 1/4 grid."""
    return np.where(labels > 0, np.float32(6), np.float32(-6))[None], hover_maps(labels)


def decode(maps, working_shape, shape, monkeypatch, rows=None):
    """Labels, tally and bands; `rows` of the decoded maps in a band, None for the whole image in one."""
    with monkeypatch.context() as patch:
        patch.setattr(hover_stream, "BAND_PIXELS", 1 if rows else 2**40)
        patch.setattr(hover_stream, "FEWEST_ROWS", rows or 1)
        tally = Tally()
        bands = list(hover_rows(cut(working_shape, *maps), HoverSettings(), working_shape, shape, tally))
        return np.concatenate(bands), tally, bands


def assert_matching(labels, expected):
    """Every cell has its partner at an IoU of 0.99; cells below 100 pixels may differ by one."""
    cells = int(expected.max())
    assert labels.shape == expected.shape and labels.max() == cells
    ((tp, fp, fn),) = match_counts(expected, labels, (0.99,))
    assert (tp, fp, fn) == (cells, 0, 0)


@pytest.mark.parametrize("working_shape", SHAPES)
@pytest.mark.parametrize("rows", [32, 75])
def test_hover_is_that_of_the_whole(working_shape, rows, monkeypatch):
    for seed, scale in enumerate(SCALES):
        shape = tuple(max(1, round(n / scale)) for n in working_shape)
        maps = hover_maps_of(crowded_cells(grid_of(working_shape), 9, seed))
        expected, whole_tally, whole_bands = decode(maps, working_shape, shape, monkeypatch)
        labels, tally, bands = decode(maps, working_shape, shape, monkeypatch, rows)
        assert len(whole_bands) == 1 and (len(bands) > 1 or working_shape[0] < 700)
        assert_matching(labels, expected)
        assert_numbered(labels, tally)
        assert tally.cells == whole_tally.cells and tally.cut_cells == 0
        assert labels.max() > 10 or min(working_shape) < 40


def test_rows_of_hover_maps_are_those_of_the_whole():
    """Whatever the order of the tiles' rows and of the rows asked for: with their neighbours for the interpolation."""
    shape = (1300, 500)
    rng = np.random.default_rng(0)
    logit, hv = (rng.standard_normal((c, *grid_of(shape))).astype(np.float32) for c in (1, 2))
    maps = MapRows(cut(shape, logit, hv), shape)
    assert maps.shape == (650, 250)
    whole = [cv2.resize(m, maps.shape[::-1], interpolation=cv2.INTER_LINEAR) for m in (*logit, *hv)]
    for top, bottom in ((0, 1), (0, 33), (7, 200), (7, 431), (100, 101), (199, 650), (649, 650)):
        probability, vectors = maps.rows(top, bottom)
        assert np.allclose(probability, 1 / (1 + np.exp(-whole[0][top:bottom])), atol=1e-6)
        assert np.allclose(vectors, [whole[1][top:bottom], whole[2][top:bottom]], atol=1e-6)


def test_hover_numbers_cells_from_the_top(monkeypatch):
    """After each band the numbers so far have no gaps, as the writer of rows expects."""
    shape = (1650, 300)
    _, _, bands = decode(hover_maps_of(crowded_cells(grid_of(shape), 9, 0)), shape, shape, monkeypatch, 50)
    highest = 0
    for band in bands:
        names = np.unique(band[band > highest])
        assert np.array_equal(names, np.arange(highest + 1, highest + 1 + len(names)))
        highest += len(names)
    assert len(bands) > 5 and highest > 100


def hover_blocks(shape, *blocks):
    """Maps of rectangular cells, each given as (top, bottom, left, right) on the 1/4 grid."""
    labels = np.zeros(grid_of(shape), np.int32)
    for number, (top, bottom, left, right) in enumerate(blocks, 1):
        labels[top:bottom, left:right] = number
    return hover_maps_of(labels)


@pytest.mark.parametrize("top, bottom", [(60, 110), (20, 150), (100, 280), (30, 350)])
def test_a_hover_cell_larger_than_a_band_and_its_margins_is_one_cell(top, bottom, monkeypatch):
    """Among small ones that begin beside it in every band."""
    shape = (1600, 400)
    blocks = [(top, bottom, 30, 60)] + [(y, y + 7, 70, 78) for y in range(5, 390, 10)]
    maps = hover_blocks(shape, *blocks)
    expected, _, _ = decode(maps, shape, shape, monkeypatch)
    assert expected.max() == len(blocks)
    labels, tally, bands = decode(maps, shape, shape, monkeypatch, 60)
    assert len(bands) > 3 and tally.cut_cells == 0
    assert_matching(labels, expected)


def test_a_hover_cell_larger_than_the_limit_is_reported(monkeypatch):
    monkeypatch.setattr(hover_stream, "MOST_PIXELS", 500 * 100)
    shape = (3000, 200)
    maps = hover_blocks(shape, (10, 740, 5, 30), (12, 20, 38, 45), (700, 708, 38, 45))
    labels, tally, _ = decode(maps, shape, shape, monkeypatch, 40)
    assert tally.cut_cells >= 1 and labels.shape == shape
    large = np.unique(labels[40:2900, 24:116])
    assert labels[50, 60] == labels[400, 60] > 0 and len(large) <= 3
    assert labels[60, 166] != labels[2816, 166] and min(labels[60, 166], labels[2816, 166]) > 0, "the others are as they were"


def test_a_hover_cell_that_reaches_far_above_its_marker_is_reported(monkeypatch):
    """Where the HV maps are noise there is no marker: rows that far above it have been handed on before it is seen."""
    shape = (2400, 200)
    probability, hv = hover_blocks(shape, (20, 400, 5, 45))
    hv[:, :300] = np.random.default_rng(0).normal(0, 50, hv[:, :300].shape)
    whole, _, _ = decode((probability, hv), shape, shape, monkeypatch)
    labels, tally, _ = decode((probability, hv), shape, shape, monkeypatch, 40)
    assert whole.max() == 1 and labels[1500, 100] > 0 and tally.cut_cells >= 1


def test_hover_counts_the_cells_across_seams(monkeypatch):
    """The first seam lies at 99 decoded rows, 49.5 of the grid: one cell above, one across, one whose marker begins just below, one
    below."""
    shape = (1200, 200)
    maps = hover_blocks(shape, (30, 44, 4, 14), (40, 60, 18, 30), (49, 63, 34, 46), (52, 60, 4, 14))
    _, tally, bands = decode(maps, shape, shape, monkeypatch, 99)
    assert tally.cells == 4 and tally.seam_cells == 2 and len(bands) > 2
    assert decode(maps, shape, shape, monkeypatch)[1].seam_cells == 0


# The shipped networks on real images


@pytest.fixture(scope="module")
def shipped():
    """The shipped networks, by their class."""
    return Segmenter(Path(inference.__file__).parents[1] / "weights", "cpu").network


def tiles_of(image, network):
    """Maps of an image's windows at its own size, and the network's settings."""
    tiles = list(run_tiles(cut_batches(image.shape[:2], lambda top, bottom: image[top:bottom], 1, Tally()), network))
    return tiles, DECODERS[network.kind][1](**network.config.get(network.kind, {}))


def whole_maps(tiles, shape):
    """The maps of all tiles in one."""
    maps = np.zeros((1, *grid_of(shape)), np.float32), np.zeros((RAYS, *grid_of(shape)), np.float32)
    for tile, parts in tiles:
        rows, columns = tile.owned_grid()
        for whole, part in zip(maps, parts or ()):
            whole[:, rows, columns] = part
    return maps


def assert_streamed_as_whole(image, network, monkeypatch):
    """Returns the number of cells, and of those that lie across a seam."""
    shape, tally = image.shape[:2], Tally()
    tiles, settings = tiles_of(image, network)
    if network.kind == "stardist":
        expected, _ = at_once(*whole_maps(tiles, shape), shape, shape, settings)
        labels = np.concatenate(list(stardist_rows(iter(tiles), settings, shape, shape, tally)))
        assert same_cells(labels, expected)
    else:
        labels, expected = None, None
        for rows in (10**6, 64):
            monkeypatch.setattr(hover_stream, "BAND_PIXELS", 1)
            monkeypatch.setattr(hover_stream, "FEWEST_ROWS", rows)
            tally, expected = Tally(), labels
            labels = np.concatenate(list(hover_rows(iter(tiles), settings, shape, shape, tally)))
    assert_matching(labels, expected)
    return tally.cells, tally.seam_cells


@pytest.mark.parametrize("stream_number", range(4))
@pytest.mark.parametrize("name", ["nuclei.tif", "immunohistochemistry.png"])
def test_shipped_networks(name, stream_number, shipped, monkeypatch):
    """Three tiles above each other of images that may be redistributed, mirrored to be higher than a window."""
    image = to_three_channels(normalise(read_image(Path(__file__).parents[1] / "images" / name).pixels))
    image = np.concatenate([image, image[::-1], image[:150]])[:, :256]
    cells, seam_cells = assert_streamed_as_whole(image, shipped(stream_number), monkeypatch)
    if (name, stream_number) == ("nuclei.tif", 0):  # what networks make of images of other classes may be next to nothing
        assert cells > 20 and seam_cells > 0


@pytest.mark.parametrize("source, stream_number", [
    ("dsb2018_fluo", 0), ("deepcell_phase", 1), ("usiigaci_phase", 1), ("segpc2021", 2), ("monuseg", 3),
])
def test_shipped_networks_on_real_data(source, stream_number, shipped, real_data, monkeypatch):
    """One image of each kind of validation images, its largest."""
    records = [r for r in read_manifest(real_data / "manifest.csv", "val") if r.source == source]
    pictures = [normalise(read_image(record.image).pixels) for record in records]
    image = to_three_channels(max(pictures, key=lambda p: p.size))
    image = np.concatenate([image, image[::-1]])[:1300, :512]
    cells, _ = assert_streamed_as_whole(image, shipped(stream_number), monkeypatch)
    assert cells > 3
