"""What reading gives: pixels with all that is known of them, or one clear error."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.reading.regions import Regions

LOST_PART = "a part of the image is missing"  # what errors say of files that are not whole


class ImageError(ValueError):
    """A file that cannot be segmented. The message names the file and the remedy."""


class AbsentImage(ImageError):
    """An image of a file that is not there, or empty; others of it may be."""


@dataclass(frozen=True)
class Picture:
    """A plane as it was read.

    pixels : array of shape (H, W) or (H, W, C) with C of 2 or 3, of the file's dtype; `Regions` of that shape for a
    large file
    axes : how the file's axes were read, for the report, such as "YXS (RGB)"
    channels : their names, as far as the file has them, in the order of the pixels' channels
    pixel_size : of a pixel in (y, x), micrometres; None where the file has none
    format : kind of file, such as "OME-TIFF"
    """

    pixels: np.ndarray | Regions
    axes: str
    warnings: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    pixel_size: tuple[float, float] | None = None
    format: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def reading(self) -> str:
        """One line that says how the file was read."""
        height, width = self.shape
        size = f", {self.pixel_size[1]:.4g} µm a pixel" if self.pixel_size else ""
        return f"{self.format}, {self.axes}, {width}x{height} pixels of {self.pixels.dtype}{size}"


@dataclass(frozen=True)
class Image:
    """One image of a file: a plane, or a stack of planes that are segmented one by one into a stack of labels.

    suffix : what its results' names have behind the file's name: "" for the only image, else "_s1", "_s2", ...
    name : of the image in the file, "" where it has none
    stack : number of planes along each axis of the stack; () for a single plane
    stack_axes : of the stack, "T", "Z", "TZ" or ""
    views : the planes, in the order of the stack, with pixels of which none has been read yet
    load : gives a view's plane, its pixels in memory where they are few
    partners : other files that hold parts of the file's images
    """

    suffix: str
    name: str
    stack: tuple[int, ...]
    stack_axes: str
    views: tuple[Picture, ...]
    load: Callable[[Picture], Picture]
    partners: tuple[Path, ...] = ()

    def open(self, number: int = 0) -> Picture:
        """A plane of the stack, from 0."""
        return self.load(self.views[number])

    def place(self, number: int) -> dict[str, int]:
        """Where a plane lies along each axis of the stack, from 0, such as {"T": 0, "Z": 2}; {} for the only plane."""
        entries = np.unravel_index(number, self.stack or (1,))
        return {axis: int(entry) for axis, entry in zip(self.stack_axes, entries)}

    def plane_suffix(self, number: int) -> str:
        """What results of a plane alone have behind the image's name: "" for the only plane, else such as "_t1_z3"."""
        return "".join(f"_{axis.lower()}{entry + 1}" for axis, entry in self.place(number).items())


def partners_of(images: Iterable[Image]) -> set[Path]:
    """The other files that hold parts of the images of a file."""
    return {partner for image in images for partner in image.partners}
