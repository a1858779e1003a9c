"""The folder of the five networks, and of those that were fine-tuned beside them, checked before the first image."""

import math
from pathlib import Path

from models.checkpoint import network_kinds, read_config
from models.checksums import CheckpointError, check_file, check_listed
from models.classes import CLASSES, REFERENCE_FILE, ROUTER_FILE
from models.config import Config
from models.likeness import Likeness

FILES = (ROUTER_FILE, *(c.file for c in CLASSES))
OWN_FILES = tuple(c.own_file for c in CLASSES)
ALL_FILES = (*FILES, *OWN_FILES, REFERENCE_FILE)  # that it may hold
REMEDY = "fetch the weights again, or give another folder with --weights"


def check_weights(folder: Path, verify: bool = False) -> None:
    """Read the headers of all five networks, and of those that were fine-tuned beside them: kind, class, and that the
    files are as long as they say.

    Parameters
    ----------
    verify : whether the sums of all files are compared too, which else is done for each file when it is loaded

    Raises
    ------
    CheckpointError
        If a file is missing, not in SHA256SUMS, damaged, of another program or in the place of another one. The message
        names it.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: {', '.join(missing)} missing; give the folder of all five networks with --weights"
        )
    check_listed(folder, FILES)
    for name in (*FILES, *own_files(folder)):
        path = folder / name
        kind, config = read_config(path)
        wanted = [own for own in network_kinds() if (own == "router") == (name == ROUTER_FILE)]
        if kind not in wanted:
            raise CheckpointError(f"{path}: a {kind} network in the place of a {' or '.join(wanted)} one; {REMEDY}")
        if config.file not in ("", name):
            raise CheckpointError(f"{path}: it is {config.file} in the place of another one; {REMEDY}")
        if kind != "router" and not (isinstance(config.diameter, int | float) and 0 < config.diameter < math.inf):
            raise CheckpointError(f"{path}: its cell diameter {config.diameter!r} is no number of pixels; {REMEDY}")
        if name not in FILES:
            check_likeness(path, config)
    if verify:
        for name in ALL_FILES:
            if (folder / name).exists():
                check_file(folder / name)


def check_likeness(path: Path, config: Config) -> None:
    """Raise CheckpointError if the configuration of a checkpoint does not say which images it serves."""
    try:
        Likeness(**config.likeness)
    except TypeError:
        raise CheckpointError(f"{path}: does not say which images it is for; make it with training.finetune") from None


def own_files(folder: Path) -> list[str]:
    """Names of the networks, listed in SHA256SUMS, that were fine-tuned on images of one's own beside their class's.

    Raises CheckpointError if there is no such list, or if one of the files is not listed.
    """
    listed = check_listed(folder, [name for name in OWN_FILES if (folder / name).exists()])
    return [name for name in OWN_FILES if name in listed]
