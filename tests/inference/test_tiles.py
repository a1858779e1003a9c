"""The window's geometry: every pixel has one owner, tiled equals whole, and windows that are left out hold no cell."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.image.forms import NormalisedImage
from inference.image.normalisation import normalise
from inference.image.scaling import WorkingImage
from inference.reading import read_image
from inference.tiles import (
    STEP,
    WINDOW,
    Tally,
    Tile,
    Windows,
    cut_batches,
    is_empty,
    run_tiles,
    spans,
    tile_image,
)
from models.unet import STRIDE
from training.images.datasets import read_labels
from training.images.manifest import read_manifest

LENGTHS = [1, 3, 31, 32, 33, 385, 511, 512, 513, 640, 897, 1024, 1266, 2048, 3001, 10496]


@pytest.mark.parametrize("length", LENGTHS)
def test_spans(length):
    parts = spans(length)
    assert parts[0].low == 0
    assert parts[-1].high == length
    assert all(a.high == b.low for a, b in zip(parts, parts[1:])), "the owned parts leave gaps or overlap"
    for part in parts:
        assert part.start % 32 == 0
        assert part.length % 32 == 0
        assert part.start <= part.low < part.high <= part.start + part.length
        assert part.low % STRIDE == 0
    assert parts[-1].start + parts[-1].length - length < 32
    assert all(b.start - a.start <= STEP for a, b in zip(parts, parts[1:]))


@pytest.mark.parametrize("length", [n for n in LENGTHS if n > WINDOW])
def test_every_pixel_belongs_to_the_nearest_centre(length):
    parts = spans(length)
    centres = np.array([p.start + p.length / 2 for p in parts])
    pixels = np.arange(length) + 0.5
    owner = np.concatenate([np.full(p.high - p.low, i) for i, p in enumerate(parts)])
    distance = np.abs(pixels[:, None] - centres)
    assert np.all(distance[np.arange(length), owner] <= distance.min(axis=1))
    assert np.all(np.diff(centres) > 0)
    assert len(parts) == 1 + -(-(length - WINDOW) // STEP)


def test_more_than_2_to_the_31_pixels():
    """100,000 x 50,000 pixels: every tile by its numbers, and a window from the far corner."""
    rows, columns = spans(100_000), spans(50_000)
    assert sum(s.high - s.low for s in rows) * sum(s.high - s.low for s in columns) == 5_000_000_000 > 2**31
    last = Tile(rows[-1], columns[-1])
    assert [s.stop for s in last.owned_grid()] == [25_000, 12_500]
    windows = Windows(
        (100_000, 50_000), lambda top, bottom: np.broadcast_to(np.uint8(bottom == 100_000), (bottom - top, 50_000, 3))
    )
    assert windows.cut(last).shape == (512, 512, 3)
    assert windows.cut(last).min() == 1


def windows_of(image):
    return Windows(image.shape[:2], lambda top, bottom: image[top:bottom])


def test_windows_mirror_beyond_the_image():
    image = (np.arange(5)[:, None] * 10 + np.arange(3)).astype(np.uint8)
    (tile,) = tile_image(5, 3)
    window = windows_of(np.dstack([image] * 3)).cut(tile)
    assert window.shape == (32, 32, 3)
    window = window[..., 1]
    assert window[:5, :3].tolist() == image.tolist()
    assert window[0, :8].tolist() == [0, 1, 2, 2, 1, 0, 0, 1]
    assert window[:7, 0].tolist() == [0, 10, 20, 30, 40, 40, 30]


@pytest.mark.parametrize("shape", [(1, 600), (513, 40), (700, 1000), (1300, 545)])
def test_windows_are_cut_from_the_mirrored_image_and_rows_are_read_once(shape):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    padded = np.pad(image, ((0, 32), (0, 32), (0, 0)), mode="symmetric")
    read = []

    def rows(top, bottom):
        assert 0 <= top < bottom <= shape[0]
        read.append(top)
        return image[top:bottom]

    windows = Windows(shape, rows)
    for tile in tile_image(*shape):
        y, x = tile.y, tile.x
        assert np.array_equal(windows.cut(tile), padded[y.start : y.start + y.length, x.start : x.start + x.length])
    assert len(read) == len(spans(shape[0]))


def shrink(windows):
    """Stands in for a network: the mean of each 4x4 block of the first channel, and its negative twice."""
    n, h, w, _ = windows.shape
    mean = windows[..., 0].reshape(n, h // 4, 4, w // 4, 4).mean((2, 4)).astype(np.float32)
    return mean[:, None], np.stack((-mean, -mean), axis=1)


@pytest.mark.parametrize("shape", [(1, 1), (7, 900), (511, 513), (385, 897), (512, 512), (1300, 700)])
@pytest.mark.parametrize("batch", [1, 4])
def test_tiled_equals_whole(monkeypatch, shape, batch):
    monkeypatch.setattr("inference.tiles.CONTRAST", 0)
    image = np.random.default_rng(1).integers(0, 255, (*shape, 3), np.uint8)
    grid = tuple(-(-n // STRIDE) for n in shape)
    first, second, owners = np.full(grid, np.nan), np.full((2, *grid), np.nan), np.zeros(grid, int)
    calls, tally = [], Tally()
    batches = cut_batches(shape, lambda top, bottom: image[top:bottom], batch, tally)
    for tile, (a, b) in run_tiles(batches, shrink, lambda: calls.append(1)):
        rows, columns = tile.owned_grid()
        first[rows, columns], second[:, rows, columns] = a[0], b
        owners[rows, columns] += 1
    padded = np.pad(image, [(0, -n % STRIDE) for n in shape] + [(0, 0)], mode="symmetric")
    whole = shrink(padded[None])
    assert np.all(owners == 1)
    assert len(calls) == tally.tiles == len(tile_image(*shape))
    assert tally.empty_tiles == 0
    assert np.array_equal(first, whole[0][0, 0])
    assert np.array_equal(second, whole[1][0])


@pytest.mark.parametrize(
    "longest_wait, batch, expected",
    [
        (64, 1, [1] * 9),
        (64, 3, [3, 3, 3]),
        (64, 16, [9]),
        (4, 1, [1] * 9),
        (4, 3, [1, 2, 3, 1, 1, 1]),
        (4, 16, [1, 2, 3, 1, 2]),
    ],
)
def test_empty_windows_are_left_out_and_the_order_is_kept(monkeypatch, longest_wait, batch, expected):
    """Cells in nine windows of a slide: the network sees these alone, in full batches unless too many empty ones lie
    between; every tile comes in its place.
    """
    shape = (2500, 3000)
    image = np.full((*shape, 3), 230, np.uint8)
    for y, x in ((100, 100), (900, 2000), (950, 2400), (2450, 1500), (2400, 60)):
        cv2.circle(image, (x, y), 12, (120, 40, 130), -1)
    batches, done = [], []

    def predict(windows):
        batches.append(len(windows))
        assert all((w != 230).any() for w in windows)
        return shrink(windows)

    tally = Tally()
    monkeypatch.setattr("inference.tiles.LONGEST_WAIT", longest_wait)
    cut = cut_batches(shape, lambda top, bottom: image[top:bottom], batch, tally)
    for tile, maps in run_tiles(cut, predict):
        y, x = tile.y, tile.x
        assert (maps is None) == bool((image[y.start : y.start + y.length, x.start : x.start + x.length] == 230).all())
        if maps is not None:
            assert np.array_equal(maps[0][0], shrink(image[None])[0][0, 0][tile.owned_grid()])
        done.append(tile)
    assert done == tile_image(*shape)
    assert tally.tiles == len(done)
    assert sum(batches) == tally.tiles - tally.empty_tiles
    assert batches == expected


def test_an_empty_image_calls_no_network():
    tally, calls = Tally(), []
    batches = cut_batches((3000, 2000), lambda top, bottom: np.full((bottom - top, 2000, 3), 9, np.uint8), 1, tally)
    found = list(run_tiles(batches, None, lambda: calls.append(1)))
    assert all(maps is None for _, maps in found)
    assert len(calls) == len(found) == tally.empty_tiles == tally.tiles == 40


@pytest.mark.parametrize("contrast, empty", [(7, True), (8, False), (60, False)])
def test_is_empty_looks_at_the_means_of_blocks(contrast, empty):
    window = np.full((512, 512, 3), 100, np.uint8)
    window[8:16, 24:32, 2] += np.uint8(contrast)
    assert is_empty(window) == empty
    speck = np.full((64, 64, 3), 100, np.uint8)
    speck[5, 5] = 255
    assert is_empty(speck), "a single hot pixel is no cell"


def windows_with_and_without_cells(image, labels, scale):
    """Of the windows of the working image, whether each one is empty and whether a true cell has a pixel in it."""
    working = WorkingImage(NormalisedImage(image), scale)
    windows = Windows(working.shape, working.rows)
    small = cv2.resize((labels > 0).astype(np.float32), working.shape[::-1], interpolation=cv2.INTER_AREA)
    for tile in tile_image(*working.shape):
        place = tuple(slice(s.start, s.start + s.length) for s in (tile.y, tile.x))
        yield is_empty(windows.cut(tile)), bool((small[place] > 0.5).any())


def test_no_true_cell_lies_in_an_empty_window(real_data):
    """All validation images at the size at which they are segmented, whole and in quarters of a window."""
    looked_at = 0
    for record in read_manifest(real_data / "manifest.csv", "val"):
        image, labels = normalise(read_image(record.image).pixels), read_labels(record.label)
        areas = np.bincount(labels.ravel())[1:]
        if not areas.any():
            continue
        scale = 28 / (2 * np.sqrt(np.median(areas[areas > 0]) / np.pi))
        if max(image.shape) * scale > 1500:
            scale = 1500 / max(image.shape)
        for empty, cells in windows_with_and_without_cells(image, labels, scale):
            assert not (empty and cells), record.image
            looked_at += cells
    assert looked_at > 150


@pytest.mark.parametrize("name", ["nuclei.tif", "immunohistochemistry.png"])
def test_windows_of_the_shipped_images_are_not_empty(name):
    image = normalise(read_image(Path(__file__).parents[1] / "images" / name).pixels)
    for scale in (1.0, 0.5):
        assert not any(empty for empty, _ in windows_with_and_without_cells(image, np.zeros(image.shape[:2]), scale))
