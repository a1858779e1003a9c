"""Which image files a run takes: files, folders, patterns and lists; and what it leaves out, with the reason."""

import errno
import glob
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.reading.picture import ImageError
from inference.reading.sniff import IMAGE_ENDINGS, SHARED, ZARR_SUFFIX, kind_of

# Names, without their ending, of what this program, Cellpose, Omnipose, ilastik and others write beside images
RESULT = re.compile(
    r".*(_labels?|_masks?|_cp_(?:masks|outlines|flows|output)\w*|_outlines?|_flows|"
    r"_Simple Segmentation|_Object Predictions)",
    re.IGNORECASE | re.DOTALL,
)
RESULT_FILES = ("_seg.npy", "_overlay.png")  # whole ends of names


@dataclass(frozen=True)
class Found:
    """An image file, or the folder of a Zarr, to be segmented.

    folder : where its results go below the output folder
    """

    path: Path
    folder: Path = Path()


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is left out."""

    path: Path
    reason: str


def find_images(
    inputs: Sequence[str | Path], recursive: bool = False, any_name: bool = False
) -> tuple[list[Found], list[Skipped]]:
    """All images of the inputs, those of a folder in the order of their names, each one once.

    What is named is taken, whatever it is: a link to nothing, a pipe, or what may not be opened, is an image that
    fails, so that the others are done. In folders and patterns the content decides, and results of an earlier run are
    left out.

    Parameters
    ----------
    inputs : image files, folders, or patterns such as "day*/*.tif"
    recursive : whether folders in folders are gone into; results then go to folders of the same names
    any_name : whether nothing is left out for its name, but what macOS puts beside files

    Raises
    ------
    ImageError
        If an input does not exist, or there is no image.
    """
    entries: list[Found | Skipped] = []
    if not all(map(str, inputs)):
        raise ImageError("-i with an empty name (an unset variable?); give an image, a folder of images or a pattern")
    for source in map(Path, inputs):
        if os.path.isfile(source) or os.path.isdir(source) and _is_zarr(source):
            entries.append(Found(source))
        elif os.path.isdir(source):  # unlike that of a Path, this does not raise where one may not look
            inside = _inside(source)
            entries += [Found(source)] if inside is None else _walk(inside, source if recursive else None, any_name)
        elif _is_there(source):
            entries.append(Found(source))
        elif matches := sorted(glob.glob(str(source), recursive=True)):
            entries += _walk(list(map(Path, matches)), None, any_name)
        else:
            raise ImageError(
                f"{source}: no such file or folder; give an image, a folder of images or a pattern with -i"
            )
    images = each_once([entry for entry in entries if isinstance(entry, Found)])
    skipped = [entry for entry in entries if isinstance(entry, Skipped)]
    if not images:
        raise ImageError(f"{', '.join(map(str, inputs))}: no images in this folder" + _most(skipped))
    return images, skipped


def each_once(images: Iterable[Found]) -> list[Found]:
    """The images without those that came in twice. Links of several names to one file are several images."""
    return list({(os.path.realpath(f.path.parent), f.path.name): f for f in images}.values())


def images_in(source: Path) -> list[Path]:
    """The image file, or the images of a folder. Raises ImageError if there is none."""
    return [found.path for found in find_images([source])[0]]


def read_list(path: Path) -> list[Found]:
    """The images that a text file names, one a line; relative names start at the list's folder, # begins a comment.

    One that does not exist is an image that fails, so that the others are done. Raises ImageError if nothing is named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ImageError(
            f"{path}: cannot be read as a list of files ({error}); give a text file with a name a line"
        ) from None
    if "\0" in text:  # which no name holds; UTF-16 does
        raise ImageError(f"{path}: not a list of files in UTF-8, for it holds zero bytes; save it as plain text, UTF-8")
    lines = [line.strip() for line in text.splitlines()]
    images = [Found(path.parent / line) for line in lines if line and not line.startswith("#")]
    if not images:
        raise ImageError(f"{path}: no file is named in this list; write one a line")
    return images


def _walk(paths: list[Path], root: Path | None, any_name: bool) -> Iterator[Found | Skipped]:
    """What is to be done with each of some paths; folders are gone into below `root`."""
    for path in paths:
        found = Found(path, path.parent.relative_to(root) if root else Path())
        if reason := _named_out(path, any_name):
            yield Skipped(path, reason)
        elif reason := _no_file(path):
            yield found if _calls_itself_an_image(path) else Skipped(path, reason)
        elif path.is_dir() and not _is_zarr(path):
            if root is None and _calls_itself_an_image(path):
                yield found
            elif root is None:
                yield Skipped(path, "a folder; --recursive goes into it")
            elif path.is_symlink() and os.path.realpath(path) in set(map(os.path.realpath, path.parents)):
                yield Skipped(path, "a link to a folder that it is in")
            else:
                inside = _inside(path)
                yield from [found] if inside is None else _walk(inside, root, any_name)
        elif reason := _no_image(path):
            yield Skipped(path, reason)
        else:
            yield found


def _no_file(path: Path) -> str:
    """Why a path is no file or folder; "" if it is one. One that calls itself an image is an image that fails."""
    try:
        mode = path.stat().st_mode
    except OSError as error:  # of a link to nothing, in a circle, or to where one may not look
        return f"a link to nothing ({error.strerror})" if path.is_symlink() else f"cannot be opened ({error.strerror})"
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "a pipe, socket or device"


def _is_there(path: Path) -> bool:
    """Whether something has this name, or it is not to be told because a folder around it is closed."""
    try:
        path.lstat()
    except OSError as error:
        return error.errno == errno.EACCES
    return True


def _inside(folder: Path) -> list[Path] | None:
    """What a folder holds, by name; None for one that cannot be opened, which is then an image that fails."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return None


def _is_zarr(folder: Path) -> bool:
    try:
        return folder.suffix.lower() == ZARR_SUFFIX or kind_of(folder) is not None
    except OSError:  # of a closed folder
        return False


def _named_out(path: Path, any_name: bool) -> str:
    """Why a file is left out for its name; "" if it is not. What macOS puts beside files always is."""
    if path.name.startswith("._" if any_name else "."):
        return "hidden"
    results = path.name.endswith(RESULT_FILES) or any(map(RESULT.fullmatch, (path.name.split(".")[0], path.stem)))
    if results and not any_name:
        return "its name is that of a result; name the file with -i if it is an image"
    return ""


def _no_image(path: Path) -> str:
    """Why a file is left out for its content; "" for an image, and for a file that calls itself one, which fails
    aloud."""
    if _calls_itself_an_image(path) or path.is_dir():
        return ""
    try:
        kind = kind_of(path)
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    if kind is None or kind in SHARED:  # which hold anything
        return "not an image"
    return ""


def _calls_itself_an_image(path: Path) -> bool:
    return path.name.lower().endswith(IMAGE_ENDINGS)


def _most(skipped: list[Skipped]) -> str:
    """The first things that were left out, for the message that nothing is left."""
    if not skipped:
        return "; it is empty"
    some = "; ".join(f"{entry.path.name} ({entry.reason})" for entry in skipped[:3])
    return f"; left out: {some}" + (f" and {len(skipped) - 3} more" if len(skipped) > 3 else "")
