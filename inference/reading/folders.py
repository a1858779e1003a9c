"""What is in a folder that is an image, such as a Zarr."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_in(folder: Path) -> Iterator[Path]:
    """All files in a folder and its folders, in the order of their names, links followed; each folder once."""
    seen = set()
    for base, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(base)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders.sort()
        yield from (Path(base, name) for name in sorted(names))
