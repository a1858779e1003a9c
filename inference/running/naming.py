"""How the results of each image are named, and that no two have one name."""

import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from inference.outputs.label_tiff import LABEL_SUFFIX
from inference.reading.picture import Image
from inference.reading.sniff import IMAGE_ENDINGS
from inference.running.finding import Found

LONG_ENDINGS = (
    ".ome.zarr.zip",
    ".ome.tiff",
    ".ome.tif",
    ".ome.btf",
    ".ome.tf2",
    ".ome.tf8",
    ".ome.zarr",
    ".zarr.zip",
    ".nii.gz",
)
FIRST_PLANES = ("_z1", "_t1", "_t1_z1")  # of stacks, see `inference.reading.Image.plane_suffix`
ENDINGS = (*LONG_ENDINGS, *IMAGE_ENDINGS, ".zip")


class Names(StrEnum):
    """What of a file's name its results keep."""

    STEM = "stem"  # all but the ending: a.b.tif -> a.b
    FULL = "full"  # all of it: a.b.tif -> a.b.tif
    CHALLENGE = "challenge"  # up to the first dot: a.b.tif -> a, as the NeurIPS 2022 challenge wants it


class NamesCollide(ValueError):
    """Images whose results would overwrite one another. The message names them and the remedy."""


def result_names(images: Sequence[Found], names: Names = Names.STEM) -> dict[Path, Path]:
    """Where the results of each image go below the output folder, without what is added for the kind of result.

    The name depends on the file's own name alone. In a challenge, where two share what is before their first dot, the
    later one keeps its stem, or its whole name if that is taken too.

    Raises
    ------
    NamesCollide
        Outside a challenge, where two images share a name.
    """
    if names is Names.CHALLENGE:
        return _challenge_names(images)
    chosen = {
        found.path: found.folder / (found.path.name if names is Names.FULL else stem(found.path.name))
        for found in images
    }
    owners: dict[Path, list[Path]] = {}
    for path, name in chosen.items():
        owners.setdefault(name, []).append(path)
    shared = [paths for paths in owners.values() if len(paths) > 1]
    if shared:
        same_file = any(len({path.name for path in paths}) < len(paths) for paths in shared)
        listed = "; ".join(" and ".join(map(str, paths)) for paths in shared[:5])
        more = f" and {len(shared) - 5} more" if len(shared) > 5 else ""
        raise NamesCollide(
            f"results of these would have the same name: {listed}{more}; "
            + (
                "give their common folder with --recursive, or run them one after the other into two output folders"
                if same_file or names is Names.FULL
                else "--full-names keeps the endings in the results' names"
            )
        )
    return chosen


def plane_files(target: Path, image: Image, suffixes: Sequence[str]) -> Mapping[str, Sequence[Path]]:
    """The files that are made of each plane of an image, by the ends of their names.

    Parameters
    ----------
    target : the image's files without what is added for their kinds
    """
    planes = [f"{target.name}{image.plane_suffix(n)}" for n in range(len(image.views))]
    return {suffix: [target.with_name(f"{plane}{suffix}") for plane in planes] for suffix in suffixes}


def left_over(target: Path, image: Image, suffix: str, written: Collection[Path]) -> list[Path]:
    """Files of an image that are there, made of its planes or of what it was read as before, such as a projection.

    Parameters
    ----------
    target : the image's files without what is added for their kinds
    suffix : the end of their names
    written : those that are made anew
    """
    own = [image.plane_suffix(n) for n in range(len(image.views))]
    # Those behind whose name there are labels are of a file that is called so.
    others = [plane for plane in FIRST_PLANES if not target.with_name(f"{target.name}{plane}{LABEL_SUFFIX}").exists()]
    files = [target.with_name(f"{target.name}{plane}{suffix}") for plane in dict.fromkeys(("", *own, *others))]
    return [file for file in files if file not in written and file.exists()]


def stem(name: str) -> str:
    """A file's name without its ending; what no image ends in belongs to the name."""
    for ending in ENDINGS:
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)]
    return name


def label_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Names of results in one folder: without the ending, or in full for those that differ in the ending alone."""
    stems = Counter(stem(path.name) for path in paths)
    return {path: stem(path.name) if stems[stem(path.name)] == 1 else path.name for path in paths}


def challenge_names(paths: Sequence[Path]) -> dict[Path, str]:
    """Names of results in one folder in a challenge."""
    return {path: str(name) for path, name in _challenge_names([Found(path) for path in paths]).items()}


def _challenge_names(images: Sequence[Found]) -> dict[Path, Path]:
    chosen: dict[Path, Path] = {}
    taken: set[Path] = set()
    for found in images:
        name = found.path.name
        short = name.split(".")[0] or found.path.stem
        numbered = (f"{name}-{n}" for n in itertools.count(2))
        candidates = (found.folder / n for n in itertools.chain((short, found.path.stem, name), numbered))
        chosen[found.path] = next(path for path in candidates if path not in taken)
        taken.add(chosen[found.path])
    return chosen
