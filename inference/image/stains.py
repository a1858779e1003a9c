"""A brown stain that hides the nuclei of a tissue (DAB of immunohistochemistry), and an image without it."""

import numpy as np

from inference.image.colour import is_dark
from inference.image.content import Cutout
from inference.reading import Regions

# Chosen so that the brown is taken from no labelled image: those with much of it have sure sizes, or no surer ones
# without it.
DARKNESS = 0.4  # median over bright; an image up to this is no tissue in bright light
DENSITY = 0.3  # optical density of blue in a brown pixel, at least
STEP = 1.15  # factor, at least, from the density of red to that of green, and from there to that of blue
SHARE = 0.1  # of the pixels that are brown, from which on the stain may hide the nuclei
PIXELS_AT_ONCE = 2**18  # of which the stains are told, in float64
GAIN = 0.3  # in the agreement of the cells found at neighbouring sizes, for which the stain is taken away


def hides_nuclei(overview: np.ndarray) -> bool:
    """Whether so much of an image on a bright background is brown that nuclei may be hidden.

    Parameters
    ----------
    overview : normalised image in small, uint8, (H, W) or (H, W, 3)
    """
    if overview.ndim == 2 or is_dark(overview.reshape(-1, 3), DARKNESS):
        return False
    red, green, blue = np.moveaxis(-np.log10(np.maximum(overview, 1) / np.float32(255)), 2, 0)
    brown = (blue > DENSITY) & (blue > STEP * green) & (green > STEP * red)
    return bool(brown.mean() >= SHARE)


def clearer(without: float | None, before: float | None) -> bool:
    """Whether the cells found depend much less on the size that is assumed for them once the stain is gone, by the
    agreement (`inference.measuring.diameter.Measurement`) without and with it."""
    return (without or 0.0) >= (before or 0.0) + GAIN


def without_brown(pixels: np.ndarray) -> np.ndarray:
    """Pixels as they would be without DAB, by colour deconvolution (Ruifrok and Johnston, 2001): uint8, (h, w, 3).

    Parameters
    ----------
    pixels : uint8, (h, w, 3)
    """
    from skimage.color import combine_stains, hed_from_rgb, rgb_from_hed, separate_stains  # late: few images need it

    result = np.empty_like(pixels)
    rows = max(1, PIXELS_AT_ONCE // max(1, pixels.shape[1]))
    for top in range(0, len(pixels), rows):
        stains = separate_stains(pixels[top : top + rows], hed_from_rgb)  # haematoxylin, eosin, DAB
        stains[..., 2] = 0
        result[top : top + rows] = np.rint(np.clip(combine_stains(stains, rgb_from_hed), 0, 1) * 255)
    return result


class WithoutBrown:
    """The pixels of an image without DAB, made as they are asked for.

    Parameters
    ----------
    pixels : uint8, (H, W, 3)
    """

    def __init__(self, pixels: np.ndarray | Regions | Cutout):
        self.pixels = pixels
        self.shape: tuple[int, ...] = pixels.shape
        self.ndim: int = pixels.ndim
        self.dtype: np.dtype = pixels.dtype

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        return without_brown(self.pixels[region])
