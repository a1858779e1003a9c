"""What label files are made of: digests of the image, the options, the weights and the program, in the TIFF's Software
tag.

A file that has no such tag was not written by this program, and is nobody's to overwrite. One whose tag is the same
belongs to the same image, segmented in the same way.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from inference.reading.folders import files_in

PROGRAM = "multistream-cellseg"
DIGITS = 16  # of a digest, 64 bits
WHOLE_FILE = 2**26  # bytes; of a larger file the length, the time and SAMPLES pieces count
SAMPLES, SAMPLE_BYTES = 64, 2**16
SOFTWARE = 305  # TIFF tag
TAG = re.compile(
    rf"{PROGRAM} (?P<version>\S+) image:(?P<image>\w+) settings:(?P<settings>\w+) source:(?P<source>\w+) "
    r"files:(?P<files>\S*)( earlier:(?P<earlier>\S*))?"
)


@dataclass(frozen=True)
class Provenance:
    """What an image's results are made of.

    version : of the program
    image, settings : digests, see `file_digest` and `settings_digest`
    source : digest of the place of the image's file
    files : ends of the names of all files that are made of the image beside its labels
    earlier : of those that were made of the same image before, and not with these labels
    """

    version: str
    image: str
    settings: str
    source: str
    files: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()

    def __str__(self) -> str:
        """The Software tag."""
        tag = f"{PROGRAM} {self.version} image:{self.image} settings:{self.settings} source:{self.source} "
        tag += f"files:{','.join(self.files)}"
        return f"{tag} earlier:{','.join(self.earlier)}" if self.earlier else tag

    @classmethod
    def parse(cls, tag: str) -> "Provenance | None":
        """What a Software tag tells, or None for that of another program."""
        found = TAG.fullmatch(tag)
        if not found:
            return None
        files, earlier = (tuple(filter(None, (found[name] or "").split(","))) for name in ("files", "earlier"))
        return cls(found["version"], found["image"], found["settings"], found["source"], files, earlier)

    @classmethod
    def of(cls, labels: Path) -> "Provenance | None":
        """That of a label TIFF; None for any other file, or a pipe, which would wait for ever."""
        import tifffile  # late: most runs meet no old file

        if not labels.is_file():
            return None
        try:
            with tifffile.TiffFile(labels) as tiff:
                tag = tiff.pages[0].tags.get(SOFTWARE)
                return cls.parse(str(tag.value)) if tag else None
        except Exception:  # tifffile raises many kinds for broken files
            return None

    def same_labels(self, other: "Provenance | None") -> bool:
        """Whether labels with these two would be the same."""
        return other is not None and (self.version, self.image, self.settings) == (
            other.version,
            other.image,
            other.settings,
        )


def settings_digest(settings: Mapping[str, object], weights: Path) -> str:
    """Of everything but the image that labels depend on.

    Parameters
    ----------
    settings : by their names, values whose `repr` tells them apart
    weights : the list of checksums of the networks
    """
    digest = _hash()
    digest.update(
        repr(sorted((name, repr(value)) for name, value in settings.items())).encode("utf-8", "surrogateescape")
    )
    digest.update(weights.read_bytes() if weights.is_file() else b"")
    return digest.hexdigest()


def file_digest(path: Path, partners: Iterable[Path] = ()) -> str:
    """Of a file's content, or of a folder's. Of files above 64 MB only samples are read, with their length and time of
    change.

    Files in a folder count with their length and time, and small ones (the metadata) are read; so do `partners`, the
    other files that hold parts of the image.
    """
    digest = _hash()
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


def _hash():
    return hashlib.blake2b(digest_size=DIGITS // 2)


def _stamp(file: Path, folder: Path) -> bytes:
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(f"{file.name} in it is not a file but a pipe, socket or device")
    name = os.path.relpath(file, folder)
    return f"{name} {found.st_size} {found.st_mtime_ns};".encode("utf-8", "surrogateescape")
