"""Which of one's own images are held out: they choose the network, and tell what it gained."""

import hashlib
import logging
import math
from collections.abc import Sequence

from training.own.collection import OwnImage

log = logging.getLogger(__name__)

HELD_OUT = 0.25  # share of the fields
SEPARATE = 32  # fields from which on those that choose the network do not judge it: with fewer, three or less would
FEWEST = 2  # fields with cells: one to train on, one to hold out


def split_images(images: Sequence[OwnImage], seed: int = 0) -> dict[str, str]:
    """train, val or test for the name of each image; all images of a field are on one side.

    A field's place in the order depends on its name and the seed alone, but fields of which no cell is wholly inside an
    image are held out last. With few fields there are no images of split test.

    Raises ValueError if fewer than two images have cells.
    """
    fields: dict[str, bool] = {}
    for image in images:
        fields[image.group] = fields.get(image.group, False) or image.cells > 0
    groups = {image.name: image.group for image in images}
    if sum(fields.values()) < FEWEST:
        groups = {name: name for name in groups}
        fields = {image.name: image.cells > 0 for image in images}
        if sum(fields.values()) < FEWEST:
            raise ValueError(
                f"{sum(fields.values())} image with cells is too few: one is to be trained on and one to be held out; "
                "label another one"
            )
        log.warning("all images seem to be of one field or movie: the held-out F1 will be better than on another field")
    drawn = sorted(fields, key=lambda group: hashlib.sha256(f"{seed}/{group}".encode()).digest())
    inner = {groups[image.name] for image in images if image.has_inner_cells}
    full, empty = ([g for g in drawn if fields[g] is wanted] for wanted in (True, False))
    full.sort(key=lambda group: group not in inner)
    if not inner:
        log.warning("in no image is a cell wholly inside; those at the border do not count, so that F1 tells nothing")
    held = full[: math.ceil(len(full) * HELD_OUT) if len(full) > 4 else 1] + empty[: int(len(empty) * HELD_OUT)]
    val = held[::2][: len(held) // 2] if len(full) >= SEPARATE else held
    return {n: "val" if g in val else "test" if g in held else "train" for n, g in groups.items()}
