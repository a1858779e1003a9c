"""Whether there is memory for segmenting an image, said before the system would end the program for it."""

import math

from inference.limits import Limits
from inference.machine import available_memory
from inference.reading import ImageError, Picture

ROOM = 2**26  # bytes at least for the network's work on a window, and for all else


def check_memory(file: str, picture: Picture, limits: Limits) -> None:
    """Compare what an image takes at least with what is left: its normalised form, and its labels.

    Raises
    ------
    ImageError
        If it is not enough.
    """
    left = available_memory()
    if left is None:
        return
    pixels = math.prod(picture.shape)
    channels = 3 if picture.pixels.ndim == 3 else 1
    needed = (
        ROOM
        + (channels * pixels if pixels <= limits.whole_pixels else 0)
        + (4 * pixels if pixels <= limits.labels_in_memory else 0)
    )
    if needed > left:
        raise ImageError(
            f"{file}: segmenting {picture.shape[1]}x{picture.shape[0]} pixels takes {needed / 2**20:.0f} MB at "
            "least, and "
            f"{left / 2**20:.0f} MB are left; raise the container's memory limit or ulimit, or close other programs"
        )
