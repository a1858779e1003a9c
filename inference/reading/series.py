"""What the reader of a format hands over: an image of a file with all its axes, of which channels and planes are chosen
later."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MOST_SAMPLES = 4  # of a picture whose axes are not told; a longer last axis is that of the columns


@dataclass(frozen=True)
class Series:
    """One image of a file.

    store : numpy array, or anything with shape, dtype and slicing that reads what is asked for
    axes : a letter for each axis: T, Z, C, Y, X, S for the samples of a colour; any other one for pages whose meaning
    is not told
    format : kind of file, such as "OME-TIFF"
    name : of the image in the file
    channels : names of the entries of C, or of S where these are no colours; () where there are none
    colours : what the entries of S are, "RGB" or with further ones behind it; "" where they are channels like any other
    alpha : number of entries at the end of S that are no colours but opacity
    pixel_size : (y, x) in micrometres, or None
    convert, converted, inverted : as `inference.reading.regions.Regions` has them
    absent : bool, of the first axes, planes that are not there and would be read as empty; None where all are
    notes : what was decided in reading, for the line that says how
    warnings : without the file's name
    partners : other files that hold parts of the file's images
    """

    store: Any
    axes: str
    format: str
    name: str = ""
    channels: tuple[str, ...] = ()
    colours: str = ""
    alpha: int = 0
    pixel_size: tuple[float, float] | None = None
    convert: Callable[[np.ndarray], np.ndarray] | None = None
    converted: tuple[int, np.dtype] | None = None
    inverted: bool = False
    absent: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    partners: tuple[Path, ...] = ()
