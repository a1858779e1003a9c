"""Digests of files: whether an image is still the one that labels were made of."""

import hashlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from inference.reading.folders import files_in

DIGITS = 16  # of a digest, 64 bits
WHOLE_FILE = 2**26  # bytes; of a larger file the length, the time and SAMPLES pieces count
SAMPLES, SAMPLE_BYTES = 64, 2**16


def new_digest():
    """A short hash, to be updated with bytes."""
    return hashlib.blake2b(digest_size=DIGITS // 2)


def file_digest(path: Path, partners: Iterable[Path] = ()) -> str:
    """Of a file's content, or of a folder's. Of files above 64 MB only samples are read, with their length and time of
    change.

    Files in a folder count with their length and time, and small ones (the metadata) are read; so do `partners`, the
    other files that hold parts of the image.
    """
    digest = new_digest()
    for partner in sorted(partners):
        digest.update(_stamp(partner, path.parent))
    if path.is_dir():
        for file in sorted(files_in(path)):
            digest.update(_stamp(file, path))
            if file.name.startswith(".z") or file.suffix == ".json":
                digest.update(file.read_bytes())
        return digest.hexdigest()
    size = path.stat().st_size
    with open(path, "rb") as opened:
        if size <= WHOLE_FILE:
            digest.update(opened.read())
        else:
            digest.update(_stamp(path, path.parent))
            for number in range(SAMPLES):
                opened.seek((size - SAMPLE_BYTES) * number // (SAMPLES - 1))
                digest.update(opened.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _stamp(file: Path, folder: Path) -> bytes:
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{file.name} in it is not a file but a pipe, socket or device")
    name = os.path.relpath(file, folder)
    return f"{name} {found.st_size} {found.st_mtime_ns};".encode("utf-8", "surrogateescape")
