"""How much of an image is looked at or held in memory in one go."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """The cells do not depend on these, but for cells larger than `most_decoded_pixels`, and for the contrast of images
    of more than `whole_pixels` that are not of 8 or 16 bits, which is measured on a sample of that size."""

    whole_pixels: int = 2**25  # an image up to this size is normalised once and kept, a larger one region by region
    band_pixels: int = 2**23  # that are looked at in one go; OpenCV's histogram counts in float32, exact up to 2^24
    overview_side: int = 1024  # pixels at least on the shorter side of a large image's overview
    labels_in_memory: int = 2**26  # pixels; the labels of a larger image are written as they come
    png_pixels: int = 2**28  # of labels that are encoded as a PNG in one go
    shown_pixels: int = 2**25  # an image up to this size is shown in full in an overlay, a larger one in small:
    small_pixels: int = 2**24  # on this many pixels at most
    # Hover's maps, decoded band by band; see `inference.hover`
    decoded_pixels: int = 2**23  # in a band and its margins; the watershed takes some 60 bytes for each
    fewest_decoded_rows: int = 256  # in a band without its margins
    most_decoded_pixels: int = 2**24  # that are waited for, for the sake of a large cell


LIMITS = Limits()
