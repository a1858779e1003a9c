"""Labels as people have them: which file belongs to which image, and the reader for it.

| labels | file for an image x.tif |
| --- | --- |
| of predict.py, napari, Fiji | x.tif, x_label.tiff, x_labels.tif, x_mask.png, x_masks.tif, mask_x.png, label_x.png |
| CellProfiler | x_Objects.tiff |
| Cellpose | x_seg.npy, x_masks.tif, x_cp_masks.png; x_masks.png for x_img.png |
| NumPy | x.npy |
| QuPath | x.geojson, x.tif.geojson, x.json |
| ImageJ, Fiji | x.zip, x_rois.zip, x_RoiSet.zip, x.roi; RoiSet.zip for the only image |
| labelme | x.json |
| COCO | one JSON file, of any name, for all images |

A blank or a hyphen will do for "_", and x.tif for x. Any other file whose name begins with x_ or x- and that can be
read serves as well, if there is none of these. Labels may lie among the images. Where several files are an image's, the
one that was changed last counts, and what predict.py wrote only where there is nothing else: corrected labels replace
those that they were made from. A file that may be the labels of several images is taken for none of them.
"""

import functools
import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.outputs.label_tiff import LABEL_SUFFIX
from inference.outputs.products import PRODUCTS
from inference.running.naming import stem
from inference.running.provenance import Provenance, content_digest
from training.readers.coco import Coco, is_coco
from training.readers.label_images import RawLabels, read_label_image, read_numpy
from training.readers.label_outlines import is_geojson, read_geojson, read_imagej, read_json, read_labelme
from training.readers.listing import image_files
from training.tables import some

log = logging.getLogger(__name__)

Shape = tuple[int, int]
IMAGE_ENDINGS = (".tif", ".tiff", ".png", ".bmp", ".gif", ".webp", ".jpg", ".jpeg")


def read_json_labels(path: Path, shape: Shape) -> RawLabels:
    """Labels of one image in a JSON file, QuPath's or labelme's as its content tells; ValueError names the file."""
    content = read_json(path)
    if is_coco(content):
        Coco(path)  # says what is wrong with it, if something is
        raise ValueError(f"{path}: COCO's labels of many images; give them with --images and --labels")
    return (read_geojson if is_geojson(content) else read_labelme)(path, shape)


OUTLINES: dict[str, Callable[[Path, Shape], RawLabels]] = {
    ".geojson": read_geojson,
    ".json": read_json_labels,
    ".zip": read_imagej,
    ".roi": read_imagej,
}
ENDINGS = (*IMAGE_ENDINGS, ".npy", *OUTLINES)
SEPARATORS = "_ -"
NUMBERED = re.compile(rf"[{SEPARATORS}]+\d+(?:[{SEPARATORS}]|$)")  # behind an image's name: that of another image
CLOSE_WORDS = "labels?|masks?|roiset"  # what files of labels are called, also with nothing in between: xMask.tif
AFTER = re.compile(rf"(.+?)(?:[{SEPARATORS}](?:cp_masks|seg|objects|rois)|[{SEPARATORS}]?(?:{CLOSE_WORDS}))")
BEFORE = re.compile(rf"(?:labels?|masks?)[{SEPARATORS}](.+)")
IMAGE = re.compile(rf"(?:im(?:g|age)[{SEPARATORS}](.+))|(?:(.+)[{SEPARATORS}]im(?:g|age))")  # what images are called
ONLY = "roiset"  # what labels of the only image may be called
OTHER_RESULTS = ("_overlay", "_flows", "_outlines", "_cp_outlines", "_probabilities")
NAMED = 5  # files in a line of the log


@dataclass(frozen=True)
class Pair:
    """An image and its labels.

    image : its file
    label : their file
    read : called with the image's height and width, it reads the labels; ValueError names the file and the remedy
    """

    image: Path
    label: Path
    read: Callable[[Shape], RawLabels]


def name_of(path: Path) -> str:
    """A file's name without its ending, nor that of the image in it (x.tif.geojson), in small letters."""
    return plain(stem(path.stem if path.suffix.lower() in OUTLINES else path.name))


def owners(name: str) -> set[str]:
    """Names of the images that a file of labels with this name may belong to, with and without their endings.

    Examples
    --------
    >>> sorted(owners("a_masks"))
    ['a', 'a_masks']
    >>> sorted(owners("a.tif_label"))
    ['a', 'a.tif', 'a.tif_label']
    """
    found = {name}
    for pattern in (AFTER, BEFORE):
        if match := pattern.fullmatch(name):
            found |= {match[1], stem(match[1])}
    return found


def keys_of(pictures: Sequence[Path]) -> dict[Path, set[str]]:
    """The names by which each image's labels may call it: with its ending, without it or its last part (x.ome of
    x.ome.tif), and without "img" if no other image is called so.
    """
    names = {(p.parent, name_of(p)) for p in pictures}
    keys = {}
    for picture in pictures:
        name = name_of(picture)
        keys[picture] = {name, plain(picture.name), plain(picture.stem)}
        match = IMAGE.fullmatch(name)
        if match and (picture.parent, match[1] or match[2]) not in names:
            keys[picture].add(match[1] or match[2])
    if len(pictures) == 1:
        keys[pictures[0]].add(ONLY)
    return keys


def read_own_labels(path: Path, shape: Shape) -> RawLabels:
    """The labels of one file of an image of this height and width; raises ValueError naming the file."""
    suffix = path.suffix.lower()
    if suffix in OUTLINES:
        return OUTLINES[suffix](path, shape)
    return read_numpy(path) if suffix == ".npy" else read_label_image(path)


def find_pairs(images: Path, labels: Path) -> tuple[list[Pair], list[Path]]:
    """The images of a folder and its sub-folders with their labels, and those without.

    Parameters
    ----------
    labels : folder, with the same sub-folders or without any, or one COCO file

    Raises
    ------
    ValueError
        If there are no images, no labels, or none that belong together.
    """
    if not images.is_dir():
        raise ValueError(f"{images}: no such folder; give the folder of images with --images")
    if not labels.exists():
        raise ValueError(f"{labels}: no such file or folder; give the folder of labels with --labels")
    files = [labels] if labels.is_file() else [p for p in sorted(labels.rglob("*")) if p.suffix.lower() in ENDINGS]
    files = [p for p in files if not p.name.startswith(".")]
    coco = _coco_files(files)
    if labels.is_file() and not coco:
        raise ValueError(
            f"{labels}: a file, and not COCO's for many images; give the folder in which the files of labels are"
        )
    files = [p for p in files if p not in {c.path for c in coco}]
    pictures = image_files(images, recursive=True)
    if images in labels.parents:
        pictures = [p for p in pictures if labels not in p.parents]
    pictures = _without_results(pictures)
    if not pictures:
        raise ValueError(f"{images}: no images there; check the path")
    resolved = {p.resolve() for p in pictures}
    files = [p for p in files if p.resolve() not in resolved]
    index = _Index(files, pictures, images, labels)
    entries = [(file, file.match(pictures)) for file in coco]
    own = index.labels_of_each(pictures)
    pairs, without = [], []
    for image in pictures:
        found = [(path, True, functools.partial(read_own_labels, path)) for path in own.get(image, ())]
        for file, those in entries:
            if entry := those.get(image):
                found.append((file.path, bool(entry.annotations), functools.partial(file.read, entry)))
        if not found:
            without.append(image)
            continue
        path, _, read = found[0] if len(found) == 1 else max(found, key=lambda one: (one[1], *_worth(one[0])))
        pairs.append(Pair(image, path, read))
        if len(found) > 1:
            others = ", ".join(other.name for other, *_ in found if other != path)
            log.info("%s: labels from %s, not from %s", image.name, path.name, others)
    left = [p for p in files if p not in index.taken and not name_of(p).endswith(OTHER_RESULTS)]
    if not pairs:
        known = [entry.parts[-1] for file in coco for entry in file.images if entry.parts]
        there = "; ".join(
            f"{what} {some(names, NAMED)}"
            for what, names in (("there are", [p.name for p in left]), ("COCO has", known))
            if names
        )
        raise ValueError(
            f"{labels}: no labels for any of the {len(pictures)} images of {images}; the labels of {pictures[0].name} "
            f"may be called {stem(pictures[0].name)}_label.tif{f' ({there})' if there else ''}; training.finetune "
            "--formats lists all names"
        )
    if left:
        log.warning(
            "%s: %d files belong to no image by their names: %s", labels, len(left), some([p.name for p in left], NAMED)
        )
    return pairs, without


def as_written(path: Path) -> bool:
    """Whether a file of labels is as predict.py wrote it: it says so itself, or the label image beside it does."""
    if path.suffix.lower() == ".npy":
        try:
            return read_numpy(path).untouched
        except ValueError:
            return False  # it is named when it is read
    if Provenance.of(path) is not None:
        return True
    for suffix in (product.suffix for product in PRODUCTS.values() if path.name.endswith(product.suffix)):
        beside = Provenance.of(path.with_name(path.name.removesuffix(suffix) + LABEL_SUFFIX))
        if beside is not None and beside.digests.get(suffix) == content_digest(path):
            return True
    return False


def _worth(path: Path) -> tuple[bool, int]:
    """Of several label files of an image the greatest one counts: whether it is not as predict.py wrote it, and when it
    was changed.
    """
    return not as_written(path), path.stat().st_mtime_ns


def _coco_files(files: Sequence[Path]) -> list[Coco]:
    """Those of them that are COCO. One that cannot be read is left to the image of its name, if there are others."""
    found = []
    for path in files:
        try:
            if path.suffix.lower() == ".json" and is_coco(read_json(path)):
                found.append(Coco(path))
        except ValueError:
            if len(files) == 1:
                raise
    return found


def plain(name: str) -> str:
    """A name in small letters, with accents as one character each, as not all systems write them."""
    return unicodedata.normalize("NFC", name).lower()


def _without_results(pictures: list[Path]) -> list[Path]:
    """Images without those that are made from others, beside them or in another folder: their labels, or pictures of
    these.
    """
    keys: dict[str, set[Path]] = defaultdict(set)
    for picture, own in keys_of(pictures).items():
        for key in own:
            keys[key].add(picture)

    def is_result(path: Path) -> bool:
        name = name_of(path)
        names = owners(name) - {name} | {name.removesuffix(s) for s in OTHER_RESULTS if name.endswith(s)}
        array = path.suffix.lower() == ".npy"
        return any(keys[n] - {path} for n in names & keys.keys()) or any(
            array and other.parent == path.parent and other.suffix.lower() != ".npy" for other in keys[name]
        )

    return [p for p in pictures if not is_result(p)]


class _Index:
    """Files of labels by the names of the images that they may belong to.

    taken : those that are an image's, also the older ones of several
    """

    def __init__(self, files: Sequence[Path], pictures: Sequence[Path], images: Path, labels: Path):
        self.taken: set[Path] = set()
        self._images, self._labels, self._keys = images, labels, keys_of(pictures)
        self._exact, self._begins = defaultdict(list), defaultdict(list)
        names, called = {name_of(p) for p in pictures}, set().union(*self._keys.values())
        for file in files:
            name = name_of(file)
            for owner in owners(name):
                self._exact[file.parent, owner].append(file)
            if not called.isdisjoint(owners(name)):
                continue  # as an image that is there
            longest = max((name[:n] for n in range(1, len(name)) if name[:n] in names), key=len, default="")
            rest = name[len(longest) :]
            if longest and rest[0] in SEPARATORS and not NUMBERED.match(rest) and not name.endswith(OTHER_RESULTS):
                self._begins[file.parent, longest].append(file)
        for key, own in list(self._begins.items()):
            if len(own) > 1 and len({re.sub(r"\d+", "", name_of(file)) for file in own}) == 1:
                del self._begins[key]
                log.warning(
                    "%s and %d more differ in a number alone: one file for each cell cannot be read; make one label "
                    "image of them",
                    own[0].name,
                    len(own) - 1,
                )

    def labels_of_each(self, pictures: Sequence[Path]) -> dict[Path, list[Path]]:
        """The label files of images; none of those that might be of several images."""
        found = {image: self._labels_of(image) for image in pictures}
        wanted: dict[Path, list[Path]] = defaultdict(list)
        for image, files in found.items():
            for file in files:
                wanted[file].append(image)
        for file, images in wanted.items():
            if len(images) > 1:
                whole = [image for image in images if plain(image.name) in owners(name_of(file))]
                kept = whole if len(whole) == 1 else []
                if not kept:
                    log.warning(
                        "%s: may be the labels of %s; put them into a sub-folder named as the image's, or name them "
                        "after the image with its ending",
                        file,
                        " and of ".join(str(image) for image in images[:NAMED]),
                    )
                for image in images:
                    if image not in kept:
                        found[image].remove(file)
        return found

    def _labels_of(self, image: Path) -> list[Path]:
        """In its sub-folder, or else in the top folder."""
        keys = self._keys[image]
        for folder in dict.fromkeys((self._labels / image.parent.relative_to(self._images), self._labels)):
            files = {file for key in keys for file in self._exact.get((folder, key), ())}
            files = sorted(files or self._begins.get((folder, name_of(image)), ()))
            if files:
                self.taken |= set(files)
                return files
        return []
