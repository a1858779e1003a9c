"""Parts of an image that tifffile does not find: it says so in its log, and goes on with what is left."""

import logging
import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from inference.reading.picture import LOST_PART, ImageError

LOG = "tifffile"
# Of parts of an image, and of tags without which pixels are read as what they are not.
LOSSES = re.compile(
    "are zeroed|invalid page offset|failed to read|corrupt|index out of range|"
    "TiffTag (25[6-9]|262|266|27[3789]|284|317|32[0-5]|33[89]) "
)
# Of planes, and of other files of a set, which `inference.reading.tiff` and `inference.reading.absent` look for.
LOOKED_FOR = re.compile(
    r"OME series failed to read (.* raised FileNotFoundError|\d+ files)|(OME series|MMStack) is missing \d+ "
)


def refuse_losses(path: Path, complaints: Iterable[str]) -> None:
    """Raise ImageError if one of the lines that were logged is of a part that is lost."""
    for line in complaints:
        if LOSSES.search(line) and not LOOKED_FOR.search(line):
            raise ImageError(f"{path.name}: {LOST_PART} ({line}); copy it again from its source, with all its files")


@contextmanager
def losses_refused(path: Path) -> Iterator[None]:
    """As `refuse_losses`, of what this thread logs meanwhile."""
    complaints: list[str] = []
    thread = threading.get_ident()

    def listen(record: logging.LogRecord) -> bool:
        if record.thread == thread:
            complaints.append(" ".join(record.getMessage().split()))
        return True

    log = logging.getLogger(LOG)
    log.addFilter(listen)  # a handler would keep warnings from being printed where a program has none
    try:
        yield
    finally:
        log.removeFilter(listen)
    refuse_losses(path, complaints)
