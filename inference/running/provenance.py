"""What label files are made of: digests of the image, the options, the weights and the program, in the TIFF's Software
tag, and digests of the files that were written beside them.

A file that has no such tag was not written by this program, and is nobody's to overwrite. One whose tag is the same
belongs to the same image, segmented in the same way.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path

from inference.reading.digests import new_digest

PROGRAM = "multistream-cellseg"
SOFTWARE = 305  # TIFF tag
TAG = re.compile(
    rf"{PROGRAM} (?P<version>\S+) image:(?P<image>\w+) settings:(?P<settings>\w+) source:(?P<source>\w+) "
    r"files:(?P<files>\S*)( earlier:(?P<earlier>\S*))?( digests:(?P<digests>\S*))?"
)
UNWRITTEN = "0" * 8  # in the place of a file's digest, until the file is there
REFUSED = "-" * 8  # of one that is not there, as its format cannot hold the image
PIECE = 2**20  # bytes of a file that are read at once


@dataclass(frozen=True)
class Provenance:
    """What an image's results are made of.

    version : of the program
    image, settings : digests, see `inference.reading.digests.file_digest` and `settings_digest`
    source : digest of the place of the image's file
    files : ends of the names of all files that are made of the image beside its labels
    earlier : of those that were made of the same image before, and not with these labels
    digests : of files beside the labels as this program wrote them, by the ends of their names, see `content_digest`
    """

    version: str
    image: str
    settings: str
    source: str
    files: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """The Software tag."""
        tag = f"{PROGRAM} {self.version} image:{self.image} settings:{self.settings} source:{self.source} "
        tag += f"files:{','.join(self.files)}"
        tag += f" earlier:{','.join(self.earlier)}" if self.earlier else ""
        digests = ",".join(f"{end}={digest}" for end, digest in self.digests.items())
        return f"{tag} digests:{digests}" if digests else tag

    @classmethod
    def parse(cls, tag: str) -> "Provenance | None":
        """What a Software tag tells, or None for that of another program."""
        found = TAG.fullmatch(tag)
        if not found:
            return None
        files, earlier = (tuple(filter(None, (found[name] or "").split(","))) for name in ("files", "earlier"))
        digests = dict(entry.split("=", 1) for entry in (found["digests"] or "").split(",") if "=" in entry)
        return cls(found["version"], found["image"], found["settings"], found["source"], files, earlier, digests)

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

    def note(self, labels: Path, digests: Mapping[str, str]) -> None:
        """Put digests in the places that the tag of a label TIFF has for them, unless another run has written other
        labels there meanwhile. Raises OSError.
        """
        import tifffile

        with tifffile.TiffFile(labels, mode="r+b") as tiff:
            tag = tiff.pages[0].tags[SOFTWARE]
            there = Provenance.parse(str(tag.value))
            if there is not None and self.same_labels(there):
                new = {end: digests.get(end, old) for end, old in there.digests.items()}
                tag.overwrite(str(replace(there, digests=new)))  # as long as before: nothing else is moved
                tiff.filehandle.flush()
                os.fsync(tiff.filehandle.fileno())

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
    digest = new_digest()
    digest.update(
        repr(sorted((name, repr(value)) for name, value in settings.items())).encode("utf-8", "surrogateescape")
    )
    digest.update(weights.read_bytes() if weights.is_file() else b"")
    return digest.hexdigest()


def content_digest(path: Path) -> str:
    """Of all that is in a file, as short as `UNWRITTEN`; "" for what is no file."""
    if not path.is_file():
        return ""
    digest = blake2b(digest_size=len(UNWRITTEN) // 2)
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()
