"""The seam between an image's labels and the files that are made of them, all in one pass."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from inference.reading import Picture

if TYPE_CHECKING:  # it imports torch, which an output does not need
    from inference.segmenter import Segmentation, Summary


class Writer(Protocol):
    """One file of one image."""

    def add(self, rows: np.ndarray) -> None:
        """The next label rows of the image, from top to bottom: int32 of shape (rows, W). The array is not to be changed."""

    def finish(self, summary: "Summary") -> None:
        """Write the file, whole or not at all. Called after the last rows; never, if the image fails before."""


class Output(Protocol):
    """One kind of file.

    suffix : of the file's name; the image's name comes before it
    """

    suffix: str

    def begin(self, path: Path, picture: Picture, segmentation: "Segmentation") -> Writer:
        """Begin the file `path` for an image: the picture as it was read, its normalised form and the plan of its segmentation."""
