"""A file that travels in parts, with a list of their checksums."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from models.checksums import SUMS_FILE, read_checksums

RESULTS, LOG = "results.tar", "device.log"  # what a device sends: the first in parts


def split(path: Path, folder: Path, size: int, first: int = 0, most: int | None = None) -> int | None:
    """Write parts of a file to a folder, and SHA256SUMS, which lists all its parts, whether they are written or not.

    Parameters
    ----------
    size : of a part in bytes; the last one may be smaller
    first : number of the first part to write
    most : number of parts to write; None for all

    Returns
    -------
    Number of the first part that is left to be written, or None.
    """
    sums, left = [], None
    with open(path, "rb") as file:
        for number, piece in enumerate(iter(lambda: file.read(size), b"")):
            name = f"{path.name}.{number:03d}"
            sums.append(f"{hashlib.sha256(piece).hexdigest()}  {name}\n")
            if number < first:
                continue
            if most is not None and number >= first + most:
                left = number if left is None else left
                continue
            (folder / name).write_bytes(piece)
    (folder / SUMS_FILE).write_text("".join(sums), encoding="utf-8")
    return left


def join(folders: Sequence[Path], target: Path) -> None:
    """Put the parts of `target`'s name in some folders together.

    Raises ValueError if a list of checksums is missing or is of another file, or a part is missing or damaged. The
    message names it.
    """
    for folder in folders:
        if not (folder / SUMS_FILE).exists():
            raise ValueError(f"{folder / SUMS_FILE}: no such file; it comes with the parts, copy it too")
    lists = [read_checksums(folder) for folder in folders]
    if any(other != lists[0] for other in lists):
        raise ValueError(
            f"{', '.join(str(folder / SUMS_FILE) for folder in folders)}: of different results; give the folders of "
            "one training"
        )
    with open(target, "wb") as whole:
        in_order = sorted(lists[0].items(), key=lambda item: int(item[0].rpartition(".")[2]))
        for number, (name, digest) in enumerate(in_order):
            found = [folder / name for folder in folders if (folder / name).exists()]
            if not found:
                raise ValueError(f"{name}: did not come back; let the device send from --first {number} again")
            sound = (data for path in found if hashlib.sha256(data := path.read_bytes()).hexdigest() == digest)
            if (data := next(sound, None)) is None:
                raise ValueError(f"{found[0]}: damaged; copy it again, or let the device send from --first {number}")
            whole.write(data)
