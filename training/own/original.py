"""A sample of the images that a network was made for: to see what fine-tuning has made it forget, and against it."""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from training.images.datasets import Sample, load_samples
from training.images.manifest import NoSuchSplit, Record, read_manifest
from training.synthetic.scenes import make, save
from training.validation import pick_balanced

log = logging.getLogger(__name__)

# Kinds of made images that show what the network of each class is for.
MADE = {
    0: ("nuclei", "membranes", "rods"),
    1: ("phase", "dic", "brightfield"),
    2: ("smear",),
    3: ("two_channels", "elongated"),
}
AT_HAND = Path("data/manifest.csv")  # where training/README.md has the list of images that networks are made from
SEED = 20  # of made images, which are drawn apart from those of training.synthesize
SAMPLE = 6  # images that are scored
MIXED = 40  # images that are trained on beside one's own
LOOKED_AT = 4  # times as many images are read to find those of a class


def made_sample(class_: int, folder: Path, count: int = SAMPLE) -> list[Sample]:
    """Images made by rule, of the kinds that the network of a class is for; they are kept in the folder."""
    records = []
    for number in range(count):
        kind = MADE[class_][number % len(MADE[class_])]
        image, label = folder / f"{number:06d}.png", folder / f"{number:06d}_label.png"
        if not label.exists():
            save(folder, f"{number:06d}", make(kind, np.random.default_rng([SEED, class_ + 1, number + 1])))
        records.append(Record(image, label, "val", f"made {kind}"))
    return load_samples(records)


def original_sample(
    manifest: Path, class_: int, splits: tuple[str, ...], count: int = SAMPLE, own: Iterable[Path] = ()
) -> list[Sample]:
    """At most `count` labelled images of a class, by the cue rules, of the first of these splits that has any.

    Parameters
    ----------
    own : images that are left out

    Raises
    ------
    ValueError
        If the manifest or a file of these splits cannot be read.
    """
    files = {path.resolve() for path in own}
    for split in splits:
        try:
            records = [r for r in read_manifest(manifest, split) if r.image.resolve() not in files]
        except NoSuchSplit:
            continue
        samples = load_samples(pick_balanced(records, LOOKED_AT * count))
        fitting = {s.record: s for s in samples if s.cue_class == class_}
        if fitting:
            return [fitting[r] for r in pick_balanced(list(fitting), count)]
    log.warning("%s: no image of class %d among those looked at", manifest, class_)
    return []
