"""Parts of an image that its file does not hold: formats let a program leave out what is empty, and a copy that was cut
short looks the same.
"""

import math
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inference.reading.folders import files_in
from inference.reading.picture import LOST_PART, AbsentImage, ImageError

if TYPE_CHECKING:
    import zarr
    from tifffile import TiffPageSeries

SEPARATORS = re.compile("[./]")  # in the names of chunks


def absent_chunks(path: Path, array: "zarr.Array") -> tuple[str, ...]:
    """A warning, where chunks of a Zarr array (or shards, which hold several) are not there, without the file's name.

    Parameters
    ----------
    path : of the folder or ZIP file in which the array lies

    Raises
    ------
    ImageError
        If none is there.
    """
    pieces = array.shards or array.chunks
    grid = tuple(math.ceil(n / piece) for n, piece in zip(array.shape, pieces))
    absent = math.prod(grid) - sum(_is_chunk(name, array, grid) for name in _files(path, array.path))
    return _said(path, absent, math.prod(grid), "chunks", f"count as {array.fill_value}")


def _is_chunk(name: str, array: "zarr.Array", grid: tuple[int, ...]) -> bool:
    place = tuple(int(part) for part in SEPARATORS.split(name) if part.isdecimal())
    inside = len(place) == len(grid) and all(number < count for number, count in zip(place, grid))
    return inside and array.metadata.encode_chunk_key(place) == name


def absent_parts(path: Path, series: "TiffPageSeries") -> tuple[str, ...]:
    """As `absent_chunks`, of the planes that a TIFF's description names and the file does not hold, and of strips or
    tiles: a length of 0 says that one is left out. ImageError also if a file's only page is one plane of several.
    """
    there = [page for page in series.pages if page is not None]
    absent = len(series.pages) - len(there)
    if absent and len(there) == 1 == len(there[0].parent.pages):
        raise ImageError(
            f"{path.name}: {LOST_PART} (of the {len(series.pages)} planes of its description it holds one); copy it "
            "again from its source, with all its files"
        )
    counts = [count for page in there for count in page.databytecounts]
    parts = _said(path, counts.count(0), len(counts), "strips or tiles", "are empty")
    return absent_recorded(absent, len(series.pages)) + parts


def absent_recorded(absent: int, every: int) -> tuple[str, ...]:
    """A warning, where planes are not there, without the file's name."""
    said = f"{absent} of {every} planes are not there and are empty; unless they were not recorded, copy it again"
    return (said,) * bool(absent)


def absent_planes(series: "TiffPageSeries") -> np.ndarray | None:
    """Which planes of a TIFF are not there, bool, of the axes before those of a plane; None where all are."""
    absent = np.array([page is None for page in series.pages])
    shape = series.shape[: len(series.shape) - len(series.keyframe.shape)]
    return absent.reshape(shape) if absent.any() and absent.size == math.prod(shape) else None


def _said(path: Path, absent: int, every: int, parts: str, meaning: str) -> tuple[str, ...]:
    if not absent:
        return ()
    if absent == every:
        raise AbsentImage(
            f"{path.name}: none of the image's {every} {parts} is there; copy it again from its source, or leave it "
            "out if it is empty"
        )
    said = f"{absent} of {every} {parts} are not there and {meaning}; unless empty parts were left out, copy it again"
    return (said,)


def _files(path: Path, folder: str) -> set[str]:
    """Names of all files in a folder of a folder or ZIP file, relative to it."""
    if path.is_dir():
        base = path / folder
        return {file.relative_to(base).as_posix() for file in files_in(base)}
    start = f"{folder}/" if folder else ""
    with zipfile.ZipFile(path) as file:
        return {name[len(start) :] for name in file.namelist() if name.startswith(start)}
