"""A file of a run, as its tasks know it."""

from dataclasses import dataclass
from pathlib import Path

from inference.running.finding import Found

Place = tuple[int, int]  # of an image in the run: its file's place, and its number in the file


@dataclass(frozen=True)
class File:
    """One of the run's.

    place : its number among all
    name : of its results, below the output folder
    """

    place: int
    found: Found
    name: Path
