"""Labels of many images in one COCO file."""

import logging
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

import numpy as np

from inference.running.naming import stem
from training.readers.label_images import RawLabels
from training.readers.label_outlines import Shape, draw_cells, pixels_inside, read_json, read_shapes

log = logging.getLogger(__name__)

T = TypeVar("T")
CROWD = 'give each that is one cell "iscrowd": 0'


class CocoImage(NamedTuple):
    """An image of the file.

    parts : of its path, also where Windows wrote it
    size : height and width; None where the file does not say
    annotations : its cells
    """

    parts: tuple[str, ...]
    size: tuple[int | None, int | None]
    annotations: list[dict]


class Coco:
    """A COCO file: the labels of all of its images.

    path : the file
    images : what it has
    masks : all annotations are marked as crowds, as CVAT and Datumaro mark cells that are painted as masks

    Raises ValueError if the file is none, or no annotation is of an image that it lists.
    """

    def __init__(self, path: Path):
        content = read_json(path)
        if not is_coco(content):
            raise ValueError(f"{path}: not a COCO file, which has images and annotations; export the labels again")
        self.path = path
        cells = defaultdict(list)
        try:
            self.masks = all(annotation.get("iscrowd") for annotation in content["annotations"])
            for annotation in content["annotations"]:
                cells[str(annotation["image_id"])].append(annotation)  # text: some programs write "1" and 1
            entries: dict[tuple[str, ...], CocoImage] = {}
            for image in content["images"]:
                parts = PurePosixPath(unicodedata.normalize("NFC", image["file_name"]).replace("\\", "/")).parts
                entry = CocoImage(parts, (image.get("height"), image.get("width")), [])
                entries.setdefault(parts, entry).annotations.extend(cells.pop(str(image["id"]), []))
            self.images = list(entries.values())
        except (AttributeError, KeyError, TypeError) as error:
            reason = f"one has no {error}" if isinstance(error, KeyError) else error
            raise ValueError(
                f"{path}: its images or annotations cannot be read ({reason}); export the labels again"
            ) from None
        if self.masks and content["annotations"]:
            log.warning("%s: all annotations are marked as crowds; each counts as a cell", path)
        if cells:
            strays = f"{path}: {sum(map(len, cells.values()))} annotations are of images that it does not list"
            if not any(image.annotations for image in self.images):
                raise ValueError(f"{strays}, and none is of another; export the labels again")
            log.warning("%s; they are left out", strays)

    def match(self, images: Iterable[Path]) -> dict[Path, CocoImage]:
        """The entries of images: of those with an image's file name, or else with its name but for the ending, the one
        whose path agrees with the image's from the end on for longest. An image with several such ones has none.
        """
        left = {image: tuple(unicodedata.normalize("NFC", part) for part in image.parts) for image in images}
        found: dict[Path, CocoImage] = {}
        for key in (str, lambda name: stem(name).lower()):
            ours, theirs = defaultdict(list), defaultdict(list)
            for image, parts in left.items():
                ours[key(parts[-1])].append(image)
            taken = {entry.parts for entry in found.values()}
            for entry in self.images:
                if entry.parts and entry.parts not in taken:
                    theirs[key(entry.parts[-1])].append(entry)
            for name, alike in ours.items():
                for image in alike:
                    entry = _nearest(left[image], {e.parts: e for e in theirs[name]})
                    if entry and _nearest(entry.parts, {left[i]: i for i in alike}) == image:
                        found[image] = entry
            left = {image: parts for image, parts in left.items() if image not in found}
        return found

    def read(self, entry: CocoImage, shape: Shape) -> RawLabels:
        """Labels of an image; raises ValueError if the file has it with another size, cells without an outline, or
        crowds alone.
        """
        size = tuple(own if own is not None else wanted for own, wanted in zip(entry.size, shape))
        if size != shape:
            raise ValueError(
                f"{self.path}: has {entry.parts[-1]} with {size[0]}x{size[1]} pixels, not {shape[0]}x{shape[1]}"
            )
        crowds = [] if self.masks else [a for a in entry.annotations if a.get("iscrowd")]
        if crowds and len(crowds) == len(entry.annotations):
            raise ValueError(f"{self.path}: {entry.parts[-1]} has regions of crowds alone, no cell; {CROWD}")
        if crowds:
            log.warning(
                "%s: %s has %d regions of crowds, which are no cells; %s",
                self.path,
                entry.parts[-1],
                len(crowds),
                CROWD,
            )
        alone = [a for a in entry.annotations if self.masks or not a.get("iscrowd")]
        cells = read_shapes(alone, lambda a: _pixels(a.get("segmentation"), shape), self.path)
        return draw_cells(cells, shape, self.path)


def is_coco(content) -> bool:
    """Whether the content of a JSON file is that of COCO."""
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


def _nearest(parts: tuple[str, ...], others: Mapping[tuple[str, ...], T]) -> T | None:
    """Of things by their paths, the one whose path agrees with this from the end on for longest; None if several do."""
    common = {}
    for other in others:
        pairs = enumerate(zip(parts[::-1], other[::-1]))
        common[other] = next((n for n, (a, b) in pairs if n and a != b), min(len(parts), len(other)))
    best = [other for other, length in common.items() if length == max(common.values())]
    return others[best[0]] if len(best) == 1 else None


def _pixels(segmentation, shape: Shape) -> np.ndarray:
    if not segmentation:
        raise ValueError("it has no outline, at most a box; export polygons or masks")
    if isinstance(segmentation, list):
        parts = [pixels_inside([np.reshape(ring, (-1, 2))], shape) for ring in segmentation]
        return np.unique(np.concatenate(parts))
    height, width = segmentation["size"]
    if (height, width) != shape:
        raise ValueError(f"a mask of {height}x{width} pixels for an image of {shape[0]}x{shape[1]}")
    counts = segmentation["counts"]
    runs = decode_counts(counts) if isinstance(counts, str) else np.asarray(counts, np.int64)
    if runs.min(initial=0) < 0 or runs.sum() != height * width:
        raise ValueError(f"a mask's counts do not add up to its {height}x{width} pixels")
    ends = np.cumsum(runs)
    inside = [np.arange(end - run, end) for run, end in zip(runs[1::2], ends[1::2])]
    columns, rows = np.divmod(np.concatenate([np.zeros(0, np.int64), *inside]), height)
    return np.sort(rows * width + columns)


def decode_counts(text: str) -> np.ndarray:
    """Run lengths of COCO's compressed text: 5 bits a character from the lowest on, a sixth says that more follow; from
    the fourth number on each is the difference to the last but one.

    Examples
    --------
    >>> decode_counts("62")
    array([6, 2])
    """
    numbers: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            if bits & 0x10:
                value -= 1 << shift
            numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
            value = shift = 0
    return np.array(numbers, np.int64)
