"""training.measure.mosaic: what images are made of, and that no seam is worse than it must be."""

from itertools import product

import cv2
import numpy as np
import pytest

from training.measure.mosaic import cheapest_path, image_rows, make_image, read_cells


def spots(shape, seed):
    """Soft spots on black, of random brightness in each channel."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.float32)
    for y, x in rng.integers(0, shape[:2], (60, 2)):
        image[y, x] = rng.random(shape[2:])
    return np.uint8(cv2.normalize(cv2.GaussianBlur(image, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX))


@pytest.fixture
def cells(tmp_path):
    """One folder with gray images, one with colour, small and label images."""
    for name, pixels in {
        "gray/a": spots((200, 180), 0),
        "gray/b": spots((160, 300), 1),
        "colour/a": spots((200, 200, 3), 2),
        "colour/small": spots((200, 90, 3), 3),
        "colour/a_label": spots((200, 200), 4),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
    return tmp_path


def test_read_cells(cells):
    sources, folder = read_cells(cells, "gray")
    assert folder == cells / "gray"
    assert sorted(s.shape for s in sources) == [(160, 300), (200, 180)]
    sources, folder = read_cells(cells, "colour")
    assert folder == cells / "colour"
    assert [s.shape for s in sources] == [(200, 200, 3)]


def test_read_cells_of_a_manifest(cells):
    manifest = cells / "manifest.csv"
    manifest.write_text("image,label,split,source\ngray/a.png,gray/a.png,train,x\ngray/b.png,gray/b.png,val,x\n")
    assert [s.shape for s in read_cells(manifest, "gray")[0]] == [(160, 300)]


def test_no_cells(cells):
    with pytest.raises(ValueError, match="gray: no colour images"):
        read_cells(cells / "gray", "colour")
    with pytest.raises(ValueError, match="nowhere: no such file or folder"):
        read_cells(cells / "nowhere", "gray")


@pytest.mark.parametrize("look", ["gray", "colour"])
@pytest.mark.parametrize("shape", [(1, 1), (100, 130), (301, 257)])
def test_make_image(cells, look, shape):
    """Shape and dtype; the same seed gives the same image, another one another."""
    sources, _ = read_cells(cells, look)
    image = make_image(sources, *shape)
    assert image.shape == shape + sources[0].shape[2:]
    assert image.dtype == np.uint8
    assert np.array_equal(image, make_image(sources, *shape))
    if shape != (1, 1):
        assert not np.array_equal(image, make_image(sources, *shape, seed=1))


def test_rows_come_in_bands():
    """None higher than a crop; a later band does not change an earlier one."""
    sources = [spots((200, 180), 0)]
    bands = [(band, band.copy()) for band in image_rows(sources, 700, 333)]
    assert len(bands) > 4
    assert max(len(band) for band, _ in bands) <= 135
    assert sum(len(band) for band, _ in bands) == 700
    assert all(np.array_equal(band, copy) for band, copy in bands)


def test_every_pixel_is_filled():
    image = make_image([np.full((150, 150), 200, np.uint8)], 333, 400)
    assert image.min() >= 0.9 * 200 - 1
    assert image.max() <= 1.1 * 200 + 1


def test_seams_are_soft():
    """Spots have slopes of at most some gray levels a pixel; so has an image made of them, except where a spot is
    cut.
    """
    sources = [spots((300, 300), seed) for seed in range(3)]
    steepest = max(np.abs(np.diff(s.astype(int), axis=axis)).max() for s in sources for axis in (0, 1))
    steps = np.abs(np.diff(make_image(sources, 600, 600).astype(int), axis=1))
    assert np.mean(steps > 1.2 * steepest) < 1e-3


def test_cheapest_path_is_the_best_of_all():
    cost = np.random.default_rng(0).random((5, 4))
    paths = [p for p in product(range(4), repeat=5) if max(abs(a - b) for a, b in zip(p, p[1:])) <= 1]
    best = min(paths, key=lambda path: sum(cost[y, x] for y, x in enumerate(path)))
    assert cheapest_path(cost).tolist() == list(best)
