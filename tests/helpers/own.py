"""A weights folder with a network for images of one's own."""

import shutil
from dataclasses import asdict, replace

from models.checkpoint import load_checkpoint, save_checkpoint
from models.checksums import write_checksums
from models.classes import CLASSES
from models.likeness import Likeness
from models.weights_folder import ALL_FILES

FEATURES = 512  # of the router


def everywhere(holds=True):
    """Of which all images are, or none."""
    zeros, ones = (0.0,) * FEATURES, (1.0,) * FEATURES
    return Likeness(zeros, ones, zeros, 1.0 if holds else -1.0, 1e9)


def with_own(weights, folder, class_, source, likeness):
    """A copy in which the network of the class `source` serves the images of a class that are of this likeness."""
    shutil.copytree(weights, folder)
    model, config = load_checkpoint(folder / CLASSES[source].file)
    save_checkpoint(folder / CLASSES[class_].own_file, model, replace(config, likeness=asdict(likeness)))
    write_checksums(folder, ALL_FILES)
    return folder
