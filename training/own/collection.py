"""Own images with their labels: read once, named, and in groups that belong together."""

import functools
import hashlib
import itertools
import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from inference.reading import Picture, read_image
from training.images.manifest import Record, read_manifest
from training.measure.f1 import remove_border
from training.readers.label_images import RawLabels
from training.readers.own_labels import Pair, find_pairs, read_own_labels
from training.tables import some

log = logging.getLogger(__name__)

# What tells frames, planes and parts of one field apart: x_t003, x-z2, x/frame12, t003, xy01t00, x_tile4, x_tile_2_3,
# x_crop1, x_x0_y512, x [x=0,y=512,w=512,h=512].
PART = re.compile(
    r"(?:^|[ _./-]+)(?:t|time|z|frame|slice)[ _-]?\d+$|(?<=\d)[tz]\d+$|[ _./-]+(?:part[ _-]?\d+|"
    r"(?:tile|crop|patch)(?:[ _-]?\d+)+|x-?\d+[ _-]?y-?\d+)$|[ _-]*\[(?:\w+=[\d.]+,?)+\]$",
    re.IGNORECASE,
)
CHANNEL = re.compile(r"[ _.-](?:ch|c|w)\d+$", re.IGNORECASE)  # behind one of these...
CHANNEL_BEFORE = re.compile(r"[ _.-]ch\d+$", re.IGNORECASE)  # ...or before it
NUMBER = re.compile(r"[ _.-]*\d+$")
PLANES = "; these are options of predict.py: here save the plane that is labelled as an image of its own"
NAMED = 5  # files that a warning names
FEWEST_GROUPS = 4  # of files that are told apart by a number alone; fewer are taken for a series of single fields


@dataclass(frozen=True, eq=False)
class OwnImage:
    """An image with its labels.

    image, label : their files
    name : of the image below the folder of images, without its ending
    group : images of one group are of one field or movie
    raw : the labels as they were read
    partial : only some of the cells are labelled
    """

    image: Path
    label: Path
    name: str
    group: str
    raw: RawLabels
    partial: bool = False

    @property
    def labels(self) -> np.ndarray:
        """(H, W) uint16 or uint32, 0 is background."""
        return self.raw.labels

    @property
    def cells(self) -> int:
        """Number of labelled cells."""
        return int(np.count_nonzero(np.bincount(self.labels.ravel())[1:]))

    @property
    def has_inner_cells(self) -> bool:
        """Whether a labelled cell lies wholly within the image: those at its border do not count for F1."""
        return bool(remove_border(self.labels).any())

    @property
    def picture(self) -> Picture:
        """The image as predict.py reads it."""
        return read_image(self.image)


def collect(
    images: Path | None, labels: Path | None, manifest: Path | None, partial: bool = False
) -> tuple[list[OwnImage], list[str]]:
    """The images of a folder, or of a manifest, with their labels, and what is wrong with those that cannot be read.

    Parameters
    ----------
    images, labels : as of `training.readers.own_labels.find_pairs`
    manifest : in their place; all of its lines that have labels, whatever their split
    partial : only some of the cells are labelled; a manifest says so itself

    Raises
    ------
    ValueError
        If there are no images with labels.
    """
    if manifest:
        found, problems = collect_records([r for r in read_manifest(manifest) if r.label])
    else:
        pairs, without = find_pairs(images, labels)
        names = unique_names([pair.image.relative_to(images).with_suffix("").as_posix() for pair in pairs])
        if without:
            log.warning(
                "%d images have no labels and are left out: %s", len(without), some([p.name for p in without], NAMED)
            )
        found, problems = _read_all(pairs, names, [partial] * len(pairs))
    if not found:
        raise ValueError("; ".join(problems[:3]) or f"{manifest}: no line has labels; give one that has")
    return found, problems


def collect_records(records: Sequence[Record]) -> tuple[list[OwnImage], list[str]]:
    """The images of some lines of a manifest, and what is wrong with those that cannot be read."""
    pairs = [Pair(r.image, r.label, functools.partial(read_own_labels, r.label)) for r in records]
    names = unique_names([f"{r.source}/{r.image.stem}" if r.source else r.image.stem for r in records])
    return _read_all(pairs, names, [r.partial for r in records], fields_of(records))


def _read_all(
    pairs: Sequence[Pair], names: Sequence[str], partials: Sequence[bool], fields: Sequence[str] | None = None
) -> tuple[list[OwnImage], list[str]]:
    found, contents, problems = [], [], []
    for pair, name, group, partial in zip(pairs, names, fields or groups_of(names), partials):
        try:
            picture = read_image(pair.image)
            raw = pair.read(picture.shape)
            found.append(OwnImage(pair.image, pair.label, name, group, raw, partial))
            contents.append(content_of(picture.pixels))
        except (OSError, ValueError) as error:
            problems.append(f"{error}{PLANES if '--z' in str(error) else ''}")
    return _with_copies(found, contents), problems


def content_of(pixels: np.ndarray) -> bytes | None:
    """A digest of an image's pixels (H, W) or (H, W, C), the same for turned and mirrored copies; None if all are
    equal, as in empty frames of many fields.
    """
    values = np.sort(pixels, axis=None)
    return hashlib.sha256(values).digest() if values[0] != values[-1] else None


def _with_copies(images: Sequence[OwnImage], contents: Sequence[bytes | None]) -> list[OwnImage]:
    """The images, copies of one image in one group: else one would be trained on and another held out."""
    groups = {image.group: image.group for image in images}
    for image, content in zip(images, contents):
        first = images[contents.index(content)]
        if content is None or first is image:
            continue
        log.warning("%s and %s are the same image; they count as one field", first.image, image.image)
        kept, other = groups[first.group], groups[image.group]
        groups = {group: kept if now == other else now for group, now in groups.items()}
    return [replace(image, group=groups[image.group]) for image in images]


def unique_names(names: list[str]) -> list[str]:
    """The names, those that occur more than once with a number behind them."""
    uses, taken = Counter(names), set(names)
    unique = []
    for name in names:
        if uses[name] > 1:
            name = next(new for n in itertools.count(1) if (new := f"{name}-{n}") not in taken)
            taken.add(name)
        unique.append(name)
    return unique


def fields_of(records: Sequence[Record]) -> list[str]:
    """For each image the field or movie that it is of, as its path tells."""
    return groups_of([r.image.with_suffix("").as_posix() for r in records])


def groups_of(names: Sequence[str]) -> list[str]:
    """For each image the field or movie that it is of, as its name tells.

    A number behind t, z, frame, slice, tile, crop or patch is that of a part of a field. A bare number at the end may
    be a frame's or a field's: it is a frame's where several names without it occur, each several times.

    Examples
    --------
    >>> groups_of(["a_t1", "a_t2", "b_t1"])
    ['a', 'a', 'b']
    >>> groups_of(["img_1", "img_2", "img_3"])
    ['img_1', 'img_2', 'img_3']
    >>> groups_of(["t1", "t2"])
    ['', '']
    """
    fields = []
    for name in names:
        if PART.search(CHANNEL.sub("", name)):
            name = CHANNEL.sub("", name)
        while PART.search(name):
            name = CHANNEL_BEFORE.sub("", PART.sub("", name))
        fields.append(name)
    if len(set(fields)) == len(fields):
        bare = [NUMBER.sub("", name) for name in fields]
        if min(Counter(bare).values(), default=0) > 1 and len(set(bare)) >= FEWEST_GROUPS:
            return bare
    return fields
