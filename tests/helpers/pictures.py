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
