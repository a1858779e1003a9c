"""Which files a run may write: nobody loses a file that is not a result of the same image by this program."""

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path

from inference.outputs.label_tiff import LABEL_SUFFIX, count_cells, holds_labels
from inference.running.provenance import REFUSED, UNWRITTEN, Provenance, content_digest

HEADS = {  # how the files of these options begin: a report as CSV or JSON, a page
    "--report": re.compile(rb'status,image,|\[\s*(\{"status": |\])'),
    "--page": re.compile(rb'<!DOCTYPE html>\s.*<meta name="generator" content="multistream-cellseg">', re.DOTALL),
}
HEAD_BYTES = 200  # in which that is found
SYSTEM = ("/dev/", "/proc/")  # where a name may stand for any file that is open


class NotOurs(ValueError):
    """A file that would be overwritten and is not this program's, is another image's, or was changed by somebody. The
    message names it and the remedy.
    """


@dataclass(frozen=True)
class Claim:
    """The files of one image.

    tag : what the labels are made of
    labels : the label file
    cells : in labels that are to be kept; None where they are to be made
    stale : ends of the names of files that were made of other labels than these
    """

    tag: Provenance
    labels: Path
    cells: int | None = None
    stale: tuple[str, ...] = ()
    _old: tuple[Path, ...] = ()
    _image: str = ""
    _guarded: tuple[Path, ...] = ()

    def clear(self) -> None:
        """Remove what was made of the labels before these: to be called before the labels are written.

        So a file beside labels that name it is always made of these labels, wherever a run is stopped. Raises NotOurs
        if somebody has changed one of them while the image was segmented; all of them are there then.
        """
        _refuse_changed(self._image, self.labels, self._guarded)
        for path in self._old:
            path.unlink(missing_ok=True)

    def seal(self, files: Iterable[Path], refused: Iterable[Path] = ()) -> None:
        """Note in the labels what files beside them are like, now that they are written: whether somebody changes them
        is seen by that.

        Parameters
        ----------
        refused : files that are not there, as their formats cannot hold the image
        """
        noted = {_end(self.labels, path): content_digest(path) for path in files if path.is_file()}
        noted |= {_end(self.labels, path): REFUSED for path in refused}
        if noted:
            self.tag.note(self.labels, noted)


@dataclass(frozen=True)
class Claims:
    """The files of a run.

    inputs : real paths of the images of the run, which are never written to
    version, settings : as `Provenance` has them
    overwrite : whether files of others are written over
    resume : whether labels that are complete are kept
    """

    inputs: Collection[str]
    version: str
    settings: str
    overwrite: bool = False
    resume: bool = False

    def claim(
        self, file: Path, image: str, labels: Path, others: Mapping[str, Sequence[Path]], shape: tuple[int, ...]
    ) -> Claim:
        """What is to be written for an image.

        Parameters
        ----------
        file : of the image
        image : its digest
        labels : its label file
        others : further files by what their names end in
        shape : of the labels, planes of a stack first

        Raises
        ------
        NotOurs
            If one of the files is there and may not be written over.
        OSError
            If one that this program wrote cannot be read, or a name is too long.
        """
        beside = tuple(path for paths in others.values() for path in paths)
        for path in (labels, *beside):
            self._refuse_input(file.name, path)
            with suppress(FileNotFoundError):
                path.lstat()  # which raises for a name that is too long
        place = os.path.realpath(file)  # in a container, folders of every host have one name, but not one number
        folder = os.stat(os.path.dirname(place)).st_ino
        source = blake2b(os.fsencode(f"{folder}:{place}"), digest_size=8).hexdigest()
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
        digests = old.digests if old else {}
        complete = (
            tag.same_labels(old)
            and old is not None
            and set(others) <= set(old.files)
            and all(path.exists() or digests.get(_end(labels, path)) == REFUSED for path in beside)
        )
        cells = count_cells(labels) if self.resume and complete and holds_labels(labels, shape) else None
        guarded = () if self.overwrite else beside
        if cells is None:
            _refuse_changed(file.name, labels, guarded)
        earlier = tuple(dict.fromkeys(suffix for suffix in known if suffix not in others))
        digests = {**digests, **{_end(labels, path): UNWRITTEN for path in beside}}
        return Claim(
            replace(tag, earlier=earlier, digests=digests),
            labels,
            cells,
            () if tag.same_labels(old) else known,
            tuple(path for suffix, paths in others.items() if suffix in known or self.overwrite for path in paths),
            file.name,
            guarded,
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


def _end(labels: Path, path: Path) -> str:
    """Of the name of a file, behind what the label file of its image begins with."""
    return path.name.removeprefix(labels.name.removesuffix(LABEL_SUFFIX))


def _refuse_changed(image: str, labels: Path, files: Sequence[Path]) -> None:
    """Raise NotOurs if a file is not as this program wrote it beside the labels; files that are gone do not matter."""
    found = [path for path in files if os.path.lexists(path)]
    old = Provenance.of(labels) if found else None
    written = old.digests if old else {}
    for path in found:
        digest = written.get(_end(labels, path), UNWRITTEN)
        if digest != UNWRITTEN and content_digest(path) != digest:
            raise NotOurs(
                f"{image}: {path} was changed after this program wrote it; move it away to keep it, or --overwrite "
                "replaces it"
            )


def make_folder(folder: Path, option: str) -> None:
    """Make a folder and those around it. Raises NotOurs, which names the option, where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotOurs(f"{option} {folder}: not a folder but a file, or a link to nothing; give another place") from None
    except OSError as error:
        raise NotOurs(f"{option} {folder}: cannot be made ({error.strerror}); give another place") from None


def check_folder(folder: Path, option: str) -> None:
    """Raise NotOurs or PermissionError, with the option, where `make_folder` or writing would fail; makes nothing."""
    place = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not place.is_dir():
        reason = "not a folder but a file, or a link to nothing" if place == folder else f"{place} is not a folder"
        raise NotOurs(f"{option} {folder}: {reason}; give another place")
    if not os.access(place, os.W_OK):
        raise PermissionError(
            f"{option} {folder}: no permission to write in {place}; change its owner or mode, or run as another user "
            "(--user)"
        )


def _is_empty(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and not path.stat().st_size
