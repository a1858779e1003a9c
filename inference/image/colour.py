"""Fluorescence stored in colour: a single hue on a dark background, which one channel shows as well as all of them."""

import numpy as np

from inference.image.noise import shows_something
from inference.reading.regions import finite

# Fitted to the labelled images, and to gray fluorescence shown in random hues, as PNG and as JPEG of qualities 60 and
# 90. Stained and phase contrast images have a darkness of 0.66 and more, fluorescence of 0.5 and less. A hue leaves at
# most 0.011 of the brightness unexplained (but for one image with 0.03), two dyes 0.026 and more.
BRIGHT_PERCENTILE = 99.8  # what counts as bright; less than the brightest pixels, which may be hot
GROUND_PERCENTILE = 2.0
DARKNESS = 0.55  # median over bright; up to this the background is dark
COUNTED = 0.15  # of the range from ground to bright; darker pixels tell no hue
UNEXPLAINED = 0.015  # of the squared brightness, by one hue
FEWEST = 10  # pixels of which a hue can be told


def channel_of_one_hue(sample: np.ndarray) -> int | None:
    """The channel with the largest range, if the image has one hue on a dark background, whose other channels are empty
    or repeat it more weakly, or if all others have one value everywhere; None for any other image.

    Parameters
    ----------
    sample : pixels of the image, before normalisation; (..., C), any number format, NaN and infinities count as 0
    """
    colours = np.nan_to_num(sample.reshape(-1, sample.shape[-1]).astype(np.float64), posinf=0, neginf=0)
    if np.count_nonzero(np.ptp(colours, axis=0)) > 1 and not is_dark(colours):
        return None
    ground = np.percentile(colours, GROUND_PERCENTILE, axis=0)
    ranges = np.percentile(colours, BRIGHT_PERCENTILE, axis=0) - ground
    above = colours - ground
    above = above[above.max(axis=1) > COUNTED * ranges.max()]
    if len(above) < FEWEST:
        return None
    energies = np.linalg.eigvalsh(above.T @ above)  # rising
    return int(np.argmax(ranges)) if energies[:-1].sum() <= UNEXPLAINED * energies.sum() else None


def is_dark(colours: np.ndarray, darkness: float = DARKNESS) -> bool:
    """Whether half of an image is much darker than its brightest parts: than this share of them.

    Parameters
    ----------
    colours : (n, C)
    """
    brightest = colours.max(axis=1)
    return bool(np.median(brightest) <= darkness * np.percentile(brightest, BRIGHT_PERCENTILE))


def shows_more(sample: np.ndarray, single: int) -> bool:
    """Whether another channel shows something of its own, however dim beside the `single` one: a dye with a short
    exposure. Colours of 8 bits do not: what a JPEG does to one hue looks like something too.

    Parameters
    ----------
    sample : pixels of the image, before normalisation; (H, W, C), any number format
    """
    if sample.dtype == np.uint8:
        return False
    strong = finite(sample[..., single]).astype(np.float64)
    strong -= strong.mean()
    for other in range(sample.shape[2]):
        own = finite(sample[..., other]).astype(np.float64)
        rest = own - strong * (float((own * strong).sum()) / max(float((strong**2).sum()), 1e-12))
        if other != single and shows_something(rest):
            return True
    return False
