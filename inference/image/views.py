"""Parts of a normalised image at a coarser size: what the router looks at, and where the cells are measured."""

import cv2
import numpy as np

from inference.image.forms import NormalisedForm, to_three_channels
from models.router import VIEW_SHORTER_SIDE, VIEW_SIZE


def square(image: NormalisedForm, corner: tuple[int, int], side: int, finest: float) -> tuple[np.ndarray, int]:
    """The square of `side` pixels at `corner` (y, x) of an image, cut off at the image's border.

    Parameters
    ----------
    finest : pixels of the image that may be taken together along each axis; the square of a large image may then come
        from its overview

    Returns
    -------
    the square, uint8, (h, w) or (h, w, 3), and how many pixels of the image were taken together along each axis.
    """
    reduction = image.reduction
    if not 1 < reduction <= finest:
        return image[corner[0] : corner[0] + side, corner[1] : corner[1] + side], 1
    (top, left), side = (c // reduction for c in corner), max(1, side // reduction)
    return image.overview[top : top + side, left : left + side], reduction


def router_view(image: NormalisedForm) -> tuple[np.ndarray, float]:
    """The shorter side resized to 256 pixels, then the central 224x224.

    Returns
    -------
    view (224, 224, 3) uint8, and the number of its pixels per pixel of the image.
    """
    side = max(1, round(min(image.shape) * VIEW_SIZE / VIEW_SHORTER_SIDE))  # cut first: the rest would be thrown away
    height, width = image.shape
    return _square_view(image, ((height - side) // 2, (width - side) // 2), side)


def close_ups(image: NormalisedForm) -> list[tuple[np.ndarray, float]]:
    """Views of the liveliest part of an image at twice, four times, ... the router view's size, down to its own pixels.

    None for an image no larger than a router view.
    """
    views = []
    side = min(image.shape) * VIEW_SIZE // VIEW_SHORTER_SIDE // 2
    while side > VIEW_SIZE // 2:
        views.append(_square_view(image, liveliest_corner(image, side), side))
        side //= 2
    return views


def liveliest_corner(image: NormalisedForm, side: int) -> tuple[int, int]:
    """Corner (y, x) of the square with the largest standard deviation, on a 5x5 grid of positions.

    An empty corner of an image tells nothing about its cells. A square that does not fit starts at 0.
    """
    rows, columns = (np.linspace(0, max(0, n - side), 5, dtype=int) for n in image.shape)
    coarse = max(1, side // VIEW_SIZE)  # every n-th pixel is enough to compare

    def liveliness(corner: tuple[int, int]) -> float:
        part, reduction = square(image, corner, side, coarse)
        return float(part[:: max(1, coarse // reduction), :: max(1, coarse // reduction)].std())

    return max(((int(y), int(x)) for y in rows for x in columns), key=liveliness)


def _square_view(image: NormalisedForm, corner: tuple[int, int], side: int) -> tuple[np.ndarray, float]:
    """The square of `side` pixels at `corner` (y, x) as a view, and the view's pixels per pixel of the image."""
    part, _ = square(image, corner, side, side / VIEW_SIZE)
    view = cv2.resize(
        part, (VIEW_SIZE, VIEW_SIZE), interpolation=cv2.INTER_AREA if len(part) > VIEW_SIZE else cv2.INTER_LINEAR
    )
    return to_three_channels(view), VIEW_SIZE / side
