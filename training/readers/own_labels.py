"""Labels as people have them: which file belongs to which image, and the reader for it.

| labels | file for an image x.tif |
| --- | --- |
| of predict.py, napari, Fiji | x.tif, x_label.tiff, x_labels.tif, x_mask.png, x_masks.tif |
| CellProfiler | x_Objects.tiff |
| Cellpose | x_seg.npy, x_masks.tif, x_cp_masks.png |
| NumPy | x.npy |
| QuPath | x.geojson |
| ImageJ, Fiji | x.zip, x_rois.zip, x_RoiSet.zip, x.roi |
| labelme | x.json |
| COCO | one JSON file, of any name, for all images |

Any other file whose name begins with x_ or x- and that can be read serves as well, if there is none of these. Labels
may lie among the images. Where several files are an image's, the one that was changed last counts: corrected labels
replace those that they were made from.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inference.naming import stem
from training.readers.label_images import RawLabels, read_label_image, read_numpy
from training.readers.label_outlines import (
    Coco,
    is_coco,
    read_geojson,
    read_imagej,
    read_json,
    read_labelme,
)
from training.readers.listing import image_files

log = logging.getLogger(__name__)

Shape = tuple[int, int]
IMAGE_ENDINGS = (".tif", ".tiff", ".png", ".bmp", ".gif", ".webp", ".jpg", ".jpeg")
OUTLINES: dict[str, Callable[[Path, Shape], RawLabels]] = {
    ".geojson": read_geojson,
    ".json": read_labelme,
    ".zip": read_imagej,
    ".roi": read_imagej,
}
ENDINGS = (*IMAGE_ENDINGS, ".npy", *OUTLINES)
SUFFIXES = (
    "_label",
    "_labels",
    "_mask",
    "_masks",
    "_cp_masks",
    "_seg",
    "_objects",
    "_rois",
    "_roiset",
)
OTHER_RESULTS = ("_overlay", "_flows", "_outlines", "_cp_outlines", "_probabilities")


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
    """A file's name without its ending, in small letters."""
    return (path.stem if path.suffix.lower() in OUTLINES else stem(path.name)).lower()


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
    coco = [Coco(p) for p in files if p.suffix.lower() == ".json" and is_coco(read_json(p))]
    files = [p for p in files if p not in {c.path for c in coco}]
    own = {p.resolve() for p in files}
    pictures = image_files(images, recursive=True)
    names = {(p.parent, name_of(p)) for p in pictures}
    pictures = [p for p in pictures if not (p.resolve() in own and _is_result(p, names))]
    if not pictures:
        raise ValueError(f"{images}: no images there; check the path")
    pairs, without = [], []
    for image in pictures:
        found = _labels_of(image, images, [p for p in files if p.resolve() != image.resolve()], labels, pictures)
        file = next((c for c in coco if image in c), None)
        if file:
            pairs.append(Pair(image, file.path, lambda shape, image=image, file=file: file.read(image, shape)))
        elif found:
            pairs.append(Pair(image, found, lambda shape, found=found: read_own_labels(found, shape)))
        else:
            without.append(image)
    if not pairs:
        raise ValueError(
            f"{labels}: no labels for any of the {len(pictures)} images of {images}; the labels of {pictures[0].name} "
            f"may be called {stem(pictures[0].name)}_label.tif; training.finetune --formats lists all names"
        )
    return pairs, without


def _is_result(path: Path, names: set[tuple[Path, str]]) -> bool:
    """Whether a file beside the images is made from one of them: its labels, or a picture of these."""
    name = name_of(path)
    return any(
        name.endswith(suffix) and (path.parent, name.removesuffix(suffix)) in names
        for suffix in (*SUFFIXES, *OTHER_RESULTS)
    )


def _labels_of(image: Path, images: Path, files: list[Path], labels: Path, pictures: list[Path]) -> Path | None:
    """The label file of an image: in the sub-folder that it is in, or else in the top folder; the one changed last."""
    name, inner = name_of(image), image.parent.relative_to(images)
    for folder in dict.fromkeys((labels / inner, labels)):
        near = [p for p in files if p.parent == folder]
        exact = [p for p in near if name_of(p) in (name, *(name + suffix for suffix in SUFFIXES))]
        exact = [p for p in exact if p not in pictures or name_of(p) != name]
        exact = exact or [p for p in near if _begins_with(p, name, pictures)]
        if exact:
            newest = max(exact, key=lambda p: p.stat().st_mtime_ns)
            if len(exact) > 1:
                others = ", ".join(p.name for p in exact if p != newest)
                log.info("%s: labels from %s, which was changed last (not %s)", image.name, newest.name, others)
            return newest
    return None


def _begins_with(path: Path, name: str, pictures: list[Path]) -> bool:
    """Whether a file is named after this image, and after none with a longer name."""
    own = name_of(path)
    if path in pictures or own.endswith(OTHER_RESULTS) or not own.startswith((f"{name}_", f"{name}-")):
        return False
    return not any(own.startswith(longer) for p in pictures if len(longer := name_of(p)) > len(name))
