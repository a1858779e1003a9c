"""What a reader returns: the images of a data set with their labels, and the problems found on the way."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inference.reading import IMAGE_SUFFIXES, ImageError, read_image
from training.images.manifest import Problem, Record


class Drawing(NamedTuple):
    """Labels made from single cells.

    labels : (H, W), uint16 up to 65,535 cells, uint32 above; 0 is background
    overlap : pixels that a later cell claimed in vain
    hidden : cells without a pixel of their own, which get no label
    """

    labels: np.ndarray
    overlap: int
    hidden: int


@dataclass(frozen=True)
class Entry(Record):
    """An image of a data set: a line of the manifest in the making.

    label : the published label file, a function that draws the labels for the image's (height, width), or None
    split : also test, the publisher's own test set, which `training.prepare` turns into another
    modality : None to tell it from the pixels and append it to `source`
    name : of the files made for this image, relative and without suffix
    group : images of one group, such as a movie, go to the same side of the split
    """

    label: Path | Callable[[tuple[int, int]], Drawing] | None
    modality: str | None = ""
    name: str = ""
    group: str = ""


@dataclass
class Listing:
    """Images and problems in the order of the files."""

    entries: list[Record] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def report(self, path: Path, text: str) -> None:
        """Add a problem with `path`, which --skip leaves out."""
        self.problems.append(Problem(path, f"{path}: {text}"))

    def images_of(self, folder: Path, recursive: bool = False) -> list[Path]:
        """Image files of a folder that has to have some."""
        images = image_files(folder, recursive)
        if not images:
            self.report(folder, f"{'holds no images' if folder.is_dir() else 'no such folder'}; check the path")
        return images


def stem(path: Path) -> str:
    """File name without its suffix, ".ome.tif" being one."""
    return path.stem.removesuffix(".ome")


def image_files(folder: Path, recursive: bool = False) -> list[Path]:
    """Image files in a folder, sorted, without hidden ones; none if there is no such folder."""
    found = folder.rglob("*") if recursive else folder.glob("*")
    return sorted(p for p in found if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".") and p.is_file())


def read_pixels(path: Path) -> np.ndarray:
    """Pixels of an image file; raises ValueError with the whole path where `read_image` gives the name alone."""
    try:
        return read_image(path).pixels
    except ImageError as error:
        raise ValueError(f"{path}: {str(error).removeprefix(f'{path.name}: ')}") from None


def draw(cells: Iterable[np.ndarray], shape: tuple[int, int]) -> Drawing:
    """Label image from cells in order; a pixel that two cells claim stays with the first.

    Parameters
    ----------
    cells : for each cell the row-major indices of its pixels, integer array of shape (n,)
    shape : height and width of the image
    """
    labels = np.zeros(shape[0] * shape[1], np.uint32)
    overlap = hidden = count = 0
    for pixels in cells:
        free = pixels[labels[pixels] == 0]
        overlap += len(pixels) - len(free)
        if len(free):
            count += 1
            labels[free] = count
        else:
            hidden += 1
    return Drawing(
        labels.reshape(shape).astype(np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32), overlap, hidden
    )
