"""Which image files a run takes, and how their results are named."""

import logging
from pathlib import Path

from inference.outputs.label_tiff import LABEL_SUFFIX
from inference.outputs.products import PRODUCTS
from inference.reading import IMAGE_SUFFIXES, ZARR_SUFFIX, ImageError

log = logging.getLogger(__name__)

RESULT_SUFFIXES = (LABEL_SUFFIX, *(product.suffix for product in PRODUCTS.values()))


def find_images(source: Path) -> list[Path]:
    """The image file, or all image files of the folder in the order of their names. Raises ImageError if there is none."""
    if source.is_file() or source.suffix.lower() == ZARR_SUFFIX and source.is_dir():
        return [source]
    if not source.is_dir():
        raise ImageError(f"{source}: no such file or folder; give an image or a folder of images with -i")
    files = sorted(p for p in source.iterdir() if not p.name.startswith(".") and (p.is_file() or p.suffix.lower() == ZARR_SUFFIX))
    images = []
    for path in files:
        if path.name.endswith(RESULT_SUFFIXES):
            log.warning("%s: skipped, its name is that of a result of this program", path.name)
        elif path.suffix.lower() not in IMAGE_SUFFIXES:
            log.warning("%s: skipped, its name does not end in one of %s", path.name, " ".join(IMAGE_SUFFIXES))
        else:
            images.append(path)
    if not images:
        raise ImageError(f"{source}: no images in this folder; supported are {' '.join(IMAGE_SUFFIXES)}")
    return images


def label_names(paths: list[Path]) -> dict[Path, str]:
    """Name of each image's label file, without its suffix: the image's name up to its first dot, as the challenge wants it.

    Where two images would share a name, the later one keeps its full stem, or its whole name if that is taken too.
    """
    names: dict[Path, str] = {}
    taken = set()
    for path in paths:
        short = path.name.split(".")[0] or path.stem
        name = next(n for n in (short, path.stem, path.name) if n not in taken)
        taken.add(name)
        names[path] = name
    return names
