"""StarDist's maps: made from labels, and labels made from them row by row, which are those of the whole image
exactly.
"""

import math

import cv2
import numpy as np
import pytest
from stardist.geometry import star_dist
from streamed import SCALES, SHAPES, assert_numbered, at_once, cut, grid_of, same_cells

from inference import stardist
from inference.image.scaling import Sizes
from inference.stardist import LONGEST_RAY, Settings, disagreement, find_candidates, star_distances
from inference.tiles import STEP, Tally, spans, tile_image
from models.stardist import RAYS
from models.unet import STRIDE


def test_settings_are_the_papers():
    assert Settings() == Settings(prob_threshold=0.5, overlap_threshold=0.4)


def test_find_candidates_literal():
    prob = np.array([[[0.2, 0.6], [0.5, 0.9]]], np.float32)
    dist = np.arange(2 * 4, dtype=np.float32).reshape(2, 2, 2) - 2
    found = find_candidates(prob, dist, (10, 20), 0.5)
    assert found.prob.tolist() == pytest.approx([0.6, 0.9])
    assert found.points.tolist() == [[41.5, 85.5], [45.5, 85.5]]  # 4 * (10, 21) + 1.5 and 4 * (11, 21) + 1.5
    assert found.dist.tolist() == [[0, 3], [1, 5]]  # -1 becomes 0


def smooth(rng, shape, sigma):
    """Smooth noise of mean 0 and standard deviation 1."""
    noise = cv2.GaussianBlur(
        rng.standard_normal(shape).astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE
    )
    return (noise - noise.mean()) / max(noise.std(), 1e-6)


def star_maps(shape, seed, radius=14.0, share=0.3, long=0.0):
    """Random smooth maps of an image of this shape: polygons of about `radius`, large ones beside small ones, crowd on
    `share` of it; some have a very long ray where `long` is given."""
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


def stream(prob, dist, working_shape, shape):
    tally = Tally()
    bands = list(stardist.rows(cut(working_shape, prob, dist), Settings(), Sizes(shape, working_shape), tally))
    return np.concatenate(bands), tally, bands


LOOKS = {"plain": {}, "crowded": {"radius": 5.0, "share": 0.6}, "large": {"radius": 60.0}, "long": {"long": 1.0}}


@pytest.mark.parametrize("seed, working_shape", list(enumerate(SHAPES)))
@pytest.mark.parametrize("look", LOOKS)
def test_stardist_is_that_of_the_whole(seed, working_shape, look):
    scale = SCALES[(seed + list(LOOKS).index(look)) % len(SCALES)]
    shape = tuple(max(1, round(n / scale)) for n in working_shape)
    prob, dist = star_maps(working_shape, seed, **LOOKS[look])
    expected, cells = at_once(prob, dist, Sizes(shape, working_shape), Settings())
    labels, tally, _ = stream(prob, dist, working_shape, shape)
    assert same_cells(labels, expected)
    assert tally.cells == cells
    assert_numbered(labels, tally)
    assert cells >= math.prod(working_shape) // 9000


def test_stardist_hands_on_rows_before_the_last_tile_and_keeps_few():
    """Bands are about as high as the step between tiles: what waits is not much more than the polygons' length."""
    shape = (3000, 100)
    _, _, bands = stream(*star_maps(shape, 0), shape, shape)
    heights = [len(band) for band in bands]
    assert len(heights) >= len(spans(shape[0])) - 1
    assert sum(heights) == 3000
    assert max(heights[:-1]) < STEP + LONGEST_RAY
    assert heights[-1] < 2 * STEP + LONGEST_RAY


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
    assert tally.cells == labels.max() == 1
    assert tally.cut_cells == cells_cut
    assert tally.seam_cells == 1
    assert labels.sum() == pytest.approx(RAYS / 2 * reach**2 * np.sin(2 * np.pi / RAYS), rel=0.01)


def test_stardist_counts_the_cells_across_seams():
    shape = (1300, 200)
    first_seam = spans(1300)[0].high
    prob, dist = (
        sum(maps)
        for maps in zip(
            *(
                one_star(shape, p, 9)
                for p in (
                    (10, 10),
                    (10, 40),
                    (first_seam // 4 - 1, 20),
                    (first_seam // 4, 40),
                    (first_seam // 4 + 5, 10),
                )
            )
        )
    )
    labels, tally, _ = stream(prob, dist, shape, shape)
    assert tally.cells == 5
    assert tally.seam_cells == 2
    assert tally.cut_cells == 0


def test_cells_have_the_probabilities_of_their_centres():
    """In the order of their numbers, wherever the seams are; a cell that is suppressed has none."""
    shape = (1400, 200)
    prob, dist = np.zeros((1, *grid_of(shape)), np.float32), np.full((RAYS, *grid_of(shape)), 20, np.float32)
    centres = {(20, 10): 0.6, (22, 11): 0.55, (95, 30): 0.9, (128, 20): 0.7, (300, 40): 0.8}
    for place, value in centres.items():
        prob[0][place] = value
    labels, tally, bands = stream(prob, dist, shape, shape)
    probabilities = np.concatenate(tally.probabilities)
    assert len(bands) > 1
    assert len(probabilities) == 4
    for (y, x), value in centres.items():
        if value != 0.55:
            assert probabilities[labels[4 * y + 1, 4 * x + 1] - 1] == np.float32(value)


def test_more_than_65535_cells_in_a_streamed_image():
    shape = (1100, 1000)
    prob, dist = np.full((1, *grid_of(shape)), 0.9, np.float32), np.full((RAYS, *grid_of(shape)), 1.2, np.float32)
    prob[0, ::2, ::2] = 0.8
    labels, tally, _ = stream(prob, dist, shape, shape)
    assert tally.cells == labels.max() == prob.size > 65_535
    assert_numbered(labels, tally)


def test_no_maps_at_all():
    """An image whose windows are all empty."""
    shape, tally = (1100, 600), Tally()
    empty = [(tile, None) for tile in tile_image(*shape)]
    labels = np.concatenate(list(stardist.rows(iter(empty), Settings(), Sizes((2000, 700), shape), tally)))
    assert labels.shape == (2000, 700)
    assert labels.max() == 0
    assert tally == Tally()


# Maps from labels


def disk(shape, centre, radius):
    y, x = np.indices(shape)
    return ((y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2).astype(np.int32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("rays", (32, 5))
def test_distances_are_stardists(blobs, seed, rays):
    labels = blobs(seed)
    np.testing.assert_allclose(star_distances(labels, rays), star_dist(labels, rays), atol=1e-4)


def test_distances_by_hand():
    """A cell of 1x1 and one of 3x4, four rays: right, down, left, up; the border lies half a pixel outside the last
    pixel.
    """
    labels = np.zeros((5, 9), np.int32)
    labels[2, 1] = 7
    labels[1:4, 4:8] = 3
    distances = star_distances(labels, 4)
    assert distances.shape == (5, 9, 4)
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances[2, 1], [0.5, 0.5, 0.5, 0.5])
    np.testing.assert_allclose(distances[1, 5], [2.5, 2.5, 1.5, 0.5])
    assert not distances[labels == 0].any()


def test_distances_end_at_the_image():
    np.testing.assert_allclose(star_distances(np.ones((4, 6), np.int32), 4)[1, 2], [3.5, 2.5, 2.5, 1.5])


@pytest.mark.parametrize("stride", (2, 4))
def test_distances_on_a_grid(stride):
    """Each grid point stands for the centre of its block: a disk's border is as far from there as geometry says, within
    two pixels for a grazing ray and a quarter on average."""
    centre, radius = (30.3, 34.8), 20
    distances = star_distances(disk((64, 72), centre, radius), stride=stride)
    assert distances.shape == (64 // stride, 72 // stride, 32)
    y, x = (stride * index + (stride - 1) / 2 for index in np.indices(distances.shape[:2]))
    inside = np.hypot(y - centre[0], x - centre[1]) < radius - 3
    angle = 2 * np.pi * np.arange(32) / 32
    dy, dx = (y - centre[0])[inside][:, None], (x - centre[1])[inside][:, None]
    along = dy * np.sin(angle) + dx * np.cos(angle)
    expected = -along + np.sqrt(along**2 + radius**2 - dy**2 - dx**2)
    assert np.abs(distances[inside] - expected).max() < 2
    assert np.abs((distances[inside] - expected).mean()) < 0.25


def test_more_labels_than_16_bits_hold(many_cells):
    """All cells are alike, so label 65,536 + n is not taken for label n."""
    labels, cell_by_cell = many_cells
    distances = cell_by_cell(star_distances(labels, 4))
    assert np.all(distances[:, 1, :, 1] == 1.5)
    assert not distances[:, 3].any()


@pytest.mark.parametrize(
    "labels",
    [np.zeros((8, 12), np.int32), np.ones((8, 12), np.int32), np.full((8, 12), 70_000, np.int32)],
    ids=["empty", "one cell", "one cell with a large number"],
)
def test_uniform_images(labels):
    """Nothing anywhere, or a cell without an outside."""
    assert star_distances(labels).any() == labels.any()


def test_one_pixel():
    for filled in (0, 1):
        assert star_distances(np.full((1, 1), filled, np.int32), 4).tolist() == [[[0.5 * filled] * 4]]


TWO_CELLS = np.zeros((64, 128), np.int32)
TWO_CELLS[12:52, 16:56], TWO_CELLS[12:52, 56:108] = 1, 2


def test_rays_agree_with_their_cells():
    """Without a difference for the cells that they were made of; the merged cell's rays are longer."""
    rays = star_distances(TWO_CELLS, stride=STRIDE).transpose(2, 0, 1)
    probability = np.full((1, 16, 32), 0.5, np.float32)
    found, difference = disagreement(TWO_CELLS, probability, rays)
    assert found.shape == (16, 32)
    assert difference == 0
    assert 0.2 < disagreement((TWO_CELLS > 0).astype(np.int32), probability, rays)[1] < 1
    assert disagreement(TWO_CELLS, probability, 1.25 * rays)[1] == pytest.approx(0.25, rel=1e-5)
    assert disagreement(np.zeros((64, 128), np.int32), probability, rays)[1] == 0
