"""The window's geometry: every pixel has one owner, and tiled equals whole."""

import numpy as np
import pytest

from inference.tiles import STEP, WINDOW, cut_window, run_tiles, spans, tile_image
from models.unet import STRIDE

LENGTHS = [1, 3, 31, 32, 33, 385, 511, 512, 513, 640, 897, 1024, 1266, 2048, 3001, 10496]


@pytest.mark.parametrize("length", LENGTHS)
def test_spans(length):
    parts = spans(length)
    assert parts[0].low == 0 and parts[-1].high == length
    assert all(a.high == b.low for a, b in zip(parts, parts[1:])), "the owned parts leave gaps or overlap"
    for part in parts:
        assert part.start % 32 == 0 and part.length % 32 == 0
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
    assert np.all((centres[1:] - centres[:-1]) / 2 >= 0) and len(parts) == 1 + -(-(length - WINDOW) // STEP)


def test_windows_mirror_beyond_the_image():
    image = np.arange(5)[:, None] * 10 + np.arange(3)
    (tile,) = tile_image(5, 3)
    window = cut_window(image, tile)
    assert window.shape == (32, 32)
    assert window[:5, :3].tolist() == image.tolist()
    assert window[0, :8].tolist() == [0, 1, 2, 2, 1, 0, 0, 1] and window[:7, 0].tolist() == [0, 10, 20, 30, 40, 40, 30]


def shrink(windows):
    """Stands in for a network: the mean of each 4x4 block of the first channel, and its negative twice."""
    n, h, w, _ = windows.shape
    mean = windows[..., 0].reshape(n, h // 4, 4, w // 4, 4).mean((2, 4)).astype(np.float32)
    return mean[:, None], np.stack((-mean, -mean), axis=1)


@pytest.mark.parametrize("shape", [(1, 1), (7, 900), (511, 513), (385, 897), (512, 512), (1300, 700)])
@pytest.mark.parametrize("batch", [1, 4])
def test_tiled_equals_whole(shape, batch):
    image = np.random.default_rng(1).integers(0, 255, (*shape, 3), np.uint8)
    grid = tuple(-(-n // STRIDE) for n in shape)
    first, second, owners = np.full(grid, np.nan), np.full((2, *grid), np.nan), np.zeros(grid, int)
    calls = []
    for tile, (a, b) in run_tiles(image, shrink, batch, lambda: calls.append(1)):
        rows, columns = tile.owned_grid()
        first[rows, columns], second[:, rows, columns] = a[0], b
        owners[rows, columns] += 1
    padded = np.pad(image, [(0, -n % STRIDE) for n in shape] + [(0, 0)], mode="symmetric")
    whole = shrink(padded[None])
    assert np.all(owners == 1) and len(calls) == len(tile_image(*shape))
    assert np.array_equal(first, whole[0][0, 0]) and np.array_equal(second, whole[1][0])
