"""Images of any size made of real cells: random crops, turned, flipped, changed in brightness and sewn together.

Neighbouring crops overlap. In the overlap the border between them follows the path on which they differ least, as in
image quilting (Efros and Freeman 2001), so that it prefers the background between the cells. The same seed gives the
same image.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from inference.image.normalisation import normalise
from inference.reading import IMAGE_SUFFIXES, read_image
from training.images.manifest import read_manifest
from training.tables import grouped

LOOKS = ("colour", "gray")  # three channels, as stained tissue; one channel, as fluorescence

LARGEST_CROP = 384  # pixels; smaller crops give more variety, larger ones fewer cells at a seam
SMALLEST_SOURCE = 128  # pixels, the shorter side
SOURCE_SHARE = 0.75  # a crop is at most this share of the smallest source's side, so that crops of one image differ
OVERLAP_SHARE = 1 / 6  # of the crop's side
BRIGHTNESS = (0.9, 1.1)
SOFT_EDGE = 2  # pixels on each side of a seam in which the crops are mixed
MOST_SOURCES = 24  # images read from a folder


def read_cells(place: Path, look: str, seed: int = 0) -> tuple[list[np.ndarray], Path]:
    """Images of one kind to make others of.

    Parameters
    ----------
    place : manifest (its lines with split val), or a folder of images, sub-folders included, *_label.* excluded
    look : one of LOOKS

    Returns
    -------
    uint8 arrays of shape (H, W) for gray or (H, W, 3) for colour, normalised; and the folder they are from, drawn by
    the seed among those with images of that look, because mixed sources would make an image such as no microscope
    takes.

    Raises
    ------
    ValueError
        If there is no image of that look.
    """
    folders = grouped(_image_files(place), lambda path: path.parent)
    dimensions = 3 if look == "colour" else 2
    rng = np.random.default_rng(seed)
    for i in rng.permutation(len(folders)):
        folder, files = list(folders.items())[i]
        images = [normalise(read_image(files[k]).pixels) for k in rng.permutation(len(files))[:MOST_SOURCES]]
        images = [image for image in images if image.ndim == dimensions and min(image.shape[:2]) >= SMALLEST_SOURCE]
        if images:
            return images, folder
    raise ValueError(
        f"{place}: no {look} images of at least {SMALLEST_SOURCE}x{SMALLEST_SOURCE} pixels; give another "
        "folder with --cells, or another --look"
    )


def _image_files(place: Path) -> list[Path]:
    if place.is_file():
        return [record.image for record in read_manifest(place, "val")]
    if not place.is_dir():
        raise ValueError(f"{place}: no such file or folder; --cells takes a manifest or a folder of images")
    return sorted(p for p in place.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not p.stem.endswith("_label"))


def make_image(sources: list[np.ndarray], height: int, width: int, seed: int = 0) -> np.ndarray:
    """A uint8 image of shape (height, width) or (height, width, 3), as the sources, which are those of `read_cells`."""
    return np.concatenate(list(image_rows(sources, height, width, seed)))


def image_rows(sources: list[np.ndarray], height: int, width: int, seed: int = 0) -> Iterator[np.ndarray]:
    """The image of `make_image` as bands of rows from top to bottom, for one that is too large to be held in memory."""
    rng = np.random.default_rng((seed, height, width))
    side = min(LARGEST_CROP, int(SOURCE_SHARE * min(min(s.shape[:2]) for s in sources)))
    overlap = round(side * OVERLAP_SHARE)
    step = side - overlap
    canvas = np.zeros((side, width + side, *sources[0].shape[2:]), np.uint8)  # the rows from `top` on
    for top in range(0, max(1, height - overlap), step):
        for left in range(0, max(1, width - overlap), step):
            _sew(canvas[:, left : left + side], _random_crop(sources, side, rng), overlap, top > 0, left > 0)
        last = top + step >= height - overlap
        yield canvas[: height - top if last else step, :width]
        canvas = np.concatenate([canvas[step:], np.zeros_like(canvas[:step])])


def _random_crop(sources: list[np.ndarray], side: int, rng: np.random.Generator) -> np.ndarray:
    source = sources[rng.integers(len(sources))]
    top, left = (rng.integers(n - side + 1) for n in source.shape[:2])
    crop = cv2.convertScaleAbs(source[top : top + side, left : left + side], alpha=rng.uniform(*BRIGHTNESS))
    crop = np.rot90(crop, rng.integers(4))
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def _sew(window: np.ndarray, crop: np.ndarray, overlap: int, above: bool, beside: bool) -> None:
    """Lay a crop on a part of the canvas whose first `overlap` rows (above) and columns (beside) are filled already."""
    cost = np.square(window.astype(np.float32) - crop).reshape(*crop.shape[:2], -1).sum(axis=2)
    strip = slice(SOFT_EDGE, overlap - SOFT_EDGE)  # the soft edge must not reach beyond the overlap
    position = np.arange(len(crop))
    new = np.ones(cost.shape, np.float32)
    if above:
        new *= position[:, None] >= cheapest_path(cost[strip].T)[None] + SOFT_EDGE
    if beside:
        new *= position[None] >= cheapest_path(cost[:, strip])[:, None] + SOFT_EDGE
    new = cv2.blur(new, (2 * SOFT_EDGE + 1,) * 2).reshape(cost.shape + (1,) * (crop.ndim - 2))
    window[:] = np.rint(window + new * (crop.astype(np.float32) - window))


def cheapest_path(cost: np.ndarray) -> np.ndarray:
    """The way from the first row to the last with the smallest sum of costs: a column a row, each at most 1 from the
    one before.

    Parameters
    ----------
    cost : float array of shape (H, W)

    Returns
    -------
    int array of shape (H,), columns.

    Examples
    --------
    >>> cheapest_path(np.array([[5.0, 0.0, 5.0], [5.0, 5.0, 1.0], [0.0, 5.0, 2.0]])).tolist()
    [1, 2, 2]
    """
    total = cost.copy()
    for before, row in zip(total, total[1:]):
        best = before.copy()
        np.minimum(best[1:], before[:-1], out=best[1:])
        np.minimum(best[:-1], before[1:], out=best[:-1])
        row += best
    path = np.empty(len(total), np.intp)
    path[-1] = total[-1].argmin()
    for y in range(len(total) - 2, -1, -1):
        first = max(0, path[y + 1] - 1)
        path[y] = first + total[y, first : path[y + 1] + 2].argmin()
    return path
