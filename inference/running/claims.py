"""Which files a run may write: nobody loses a file that is not a result of the same image by this program."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from inference.running.provenance import Provenance

HEADS = {  # how the files of these options begin: a report as CSV or JSON, a page
    "--report": re.compile(rb'status,image,|\[\s*(\{"status": |\])'),
    "--page": re.compile(rb'<!DOCTYPE html>\s.*<meta name="generator" content="multistream-cellseg">', re.DOTALL),
}
HEAD_BYTES = 200  # in which that is found
SYSTEM = ("/dev/", "/proc/")  # where a name may stand for any file that is open


class NotOurs(ValueError):
    """A file that would be overwritten and is not this program's, or is another image's. The message names it and the
    remedy.
    """


@dataclass(frozen=True)
class Claim:
    """The files of one image.

    tag : what the labels are made of
    complete : whether what is there is already made of the same
    stale : ends of the names of files that were made of other labels than these
    """

    tag: Provenance
    complete: bool
    stale: tuple[str, ...]
    _old: tuple[Path, ...]

    def clear(self) -> None:
        """Remove what was made of the labels before these: to be called before the labels are written.

        So a file beside labels that name it is always made of these labels, wherever a run is stopped.
        """
        for path in self._old:
            path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Claims:
    """The files of a run.

    inputs : real paths of the images of the run, which are never written to
    version, settings : as `Provenance` has them
    overwrite : whether files of others are written over
    """

    inputs: Collection[str]
    version: str
    settings: str
    overwrite: bool = False

    def claim(self, file: Path, image: str, labels: Path, others: Mapping[str, Sequence[Path]]) -> Claim:
        """What is to be written for an image.

        Parameters
        ----------
        file : of the image
        image : its digest
        labels : its label file
        others : further files by what their names end in

        Raises
        ------
        NotOurs
            If one of the files is there and may not be written over.
        """
        for path in (labels, *(path for paths in others.values() for path in paths)):
            self._refuse_input(file.name, path)
        source = blake2b(os.fsencode(os.path.abspath(file)), digest_size=8).hexdigest()
        tag = Provenance(self.version, image, self.settings, source, tuple(others))
        old = Provenance.of(labels) if labels.exists() else None
        known = (*old.files, *old.earlier) if old else ()
        if not self.overwrite:
            if os.path.lexists(labels) and not _is_empty(labels):
                if old is None:
                    raise NotOurs(
                        f"{file.name}: {labels} is there and not written by this version of this program; "
                        "--overwrite replaces it, or choose another output folder with -o"
                    )
                if old.image != image and old.source != source:
                    raise NotOurs(
                        f"{file.name}: {labels} holds the labels of another image; --overwrite replaces them, or "
                        "choose another output folder with -o"
                    )
            for suffix, paths in others.items():
                foreign = [path for path in paths if suffix not in known and os.path.lexists(path)]
                if foreign:
                    raise NotOurs(
                        f"{file.name}: {foreign[0]} is there and not made by this program of the same image; "
                        "--overwrite replaces it, or choose another output folder with -o"
                    )
        complete = (
            tag.same_labels(old)
            and old is not None
            and set(others) <= set(old.files)
            and all(path.exists() for paths in others.values() for path in paths)
        )
        earlier = tuple(dict.fromkeys(suffix for suffix in known if suffix not in others))
        return Claim(
            replace(tag, earlier=earlier),
            complete,
            () if tag.same_labels(old) else known,
            tuple(path for suffix, paths in others.items() if suffix in known or self.overwrite for path in paths),
        )

    def _refuse_input(self, name: str, path: Path) -> None:
        place = Path(os.path.realpath(path))
        if not {str(place), *map(str, place.parents)}.isdisjoint(self.inputs):
            raise NotOurs(
                f"{name}: {path} is an image of this run, or in one, and is not written over; choose another output "
                "folder with -o"
            )

    def check_table(self, option: str, path: Path, results: Collection[tuple[Path, str]] = ()) -> None:
        """Look at the place of a report or page before anything is done.

        Parameters
        ----------
        results : folders, and ends of names of the files that the run writes there

        Raises
        ------
        NotOurs
            If it is an image of this run, also by another name, or in the folder of one, a folder, a device, has the
            name of a result, or is a file that is no report or page.
        OSError
            If it cannot be written.
        """
        self._refuse_input(option, path)
        place = os.path.realpath(path)
        if any(os.path.realpath(folder) == os.path.dirname(place) and place.endswith(end) for folder, end in results):
            raise NotOurs(f"{option} {path}: results of this run have such names; give another one")
        if path.exists() and any(map(path.samefile, filter(os.path.exists, self.inputs))):
            raise NotOurs(f"{option} {path}: another name of an image of this run; give another place")
        if path.exists() and not path.is_file() or os.path.abspath(path).startswith(SYSTEM):
            raise NotOurs(f"{option} {path}: not a file but a folder, pipe or device; give the name of a file")
        make_folder(path.parent, option)
        if path.exists() and not self.overwrite:
            with open(path, "rb") as file:
                start = file.read(HEAD_BYTES)
            if start and not HEADS[option].match(start):
                raise NotOurs(
                    f"{option} {path}: there is a file that is no {option.strip('-')} of this program; --overwrite "
                    "replaces it, or give another name"
                )
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise PermissionError(f"{option} {path}: no permission to write there; give another place")


def make_folder(folder: Path, option: str) -> None:
    """Make a folder and those around it. Raises NotOurs, which names the option, where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotOurs(f"{option} {folder}: not a folder but a file, or a link to nothing; give another place") from None
    except OSError as error:
        raise NotOurs(f"{option} {folder}: cannot be made ({error.strerror}); give another place") from None


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.stat().st_size
