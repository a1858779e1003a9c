"""Made images, whole and as large files give them."""

import cv2
import numpy as np

from inference.limits import Limits
from inference.reading import Regions

# Images of more than 1,000 pixels are large, and are looked at in bands of 500.
SMALL = Limits(whole_pixels=1000, band_pixels=500, overview_side=16)


def regions(pixels):
    """The pixels as a large file gives them: region by region."""
    return Regions(pixels, 0, 1, 2 if pixels.ndim == 3 else None)


def picture(shape, dtype):
    """Smooth noise; the darkest part is 0, which does not count."""
    noise = cv2.GaussianBlur(np.random.default_rng(0).random((*shape[:2], *shape[2:])), (0, 0), 2).reshape(shape)
    noise = np.maximum(noise - np.quantile(noise, 0.1), 0) / noise.max()
    return (
        noise.astype(dtype) if np.dtype(dtype).kind == "f" else (noise * min(np.iinfo(dtype).max, 60_000)).astype(dtype)
    )


def of_two_sizes(image, labels):
    """Small cells between large ones, as lymphocytes among other cells, and their labels: a picture of 256x256 pixels
    enlarged 2.5 times, and between its cells its own at half their size.
    """
    both, truth = (cv2.resize(part, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_NEAREST) for part in (image, labels))
    small, own = (cv2.resize(part, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST) for part in (image, labels))
    for top in range(0, 640, 128):
        for left in range(0, 640, 128):
            place = slice(top, top + 128), slice(left, left + 128)
            free = cv2.dilate((truth[place] > 0).astype(np.uint8), np.ones((9, 9))) == 0
            whole = np.bincount(own.ravel()) == np.bincount(own[free], minlength=own.max() + 1)
            shown = whole[own] & (own > 0)
            both[place][shown] = small[shown]
            truth[place][shown] = own[shown] + 1000 * (top + left // 100 + 1)
    return both, truth
