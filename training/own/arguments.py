"""The options by which commands are told of one's own images and their labels."""

import argparse
import logging
from pathlib import Path

from training.command import class_number
from training.own.collection import NAMED, OwnImage, collect
from training.readers.own_labels import as_written
from training.tables import some

log = logging.getLogger(__name__)


def add_data(parser: argparse.ArgumentParser) -> None:
    """--images, --labels, --manifest and --partial, for `own_images`."""
    add = parser.add_argument
    add("--images", type=Path, metavar="DIR", help="your images; sub-folders are looked into")
    add("--labels", type=Path, metavar="DIR", help="their labels, or one COCO file [beside the images]")
    add(
        "--manifest",
        type=Path,
        metavar="CSV",
        help="in place of both: a manifest (training.images.manifest), all its splits",
    )
    add("--partial", action="store_true", help="only some of the cells of each image are labelled")


def add_class(parser: argparse.ArgumentParser, text: str) -> None:
    """--class, of one network for all images; `text` says what it does."""
    parser.add_argument(
        "--class", dest="class_", type=class_number, metavar="CLASS", help=f"{text} [the router decides]"
    )


def _is_as_written(image: OwnImage) -> bool:
    return image.raw.untouched or (image.label.suffix.lower() != ".npy" and as_written(image.label))


def own_images(args: argparse.Namespace) -> tuple[list[OwnImage], int]:
    """The images of these arguments that can be read, and the number of others, which the log names."""
    if bool(args.images) == bool(args.manifest):
        raise ValueError("give either --images (with --labels) or --manifest")
    images, problems = collect(args.images, args.labels or args.images, args.manifest, args.partial)
    for problem in problems:
        log.error("%s", problem)
    if found := [image.label.name for image in images if _is_as_written(image)]:
        log.warning(
            "%d label files are as predict.py wrote them, mistakes and all; unless somebody has found them right, take "
            "them away: %s",
            len(found),
            some(found, NAMED),
        )
    return images, len(problems)
