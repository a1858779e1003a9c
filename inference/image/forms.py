"""An image in its normalised form: kept whole, made region by region as it is asked for, a part of one, or mirrored."""

import math
from collections.abc import Callable
from functools import cached_property

import cv2
import numpy as np

from inference.image.content import Box, Cutout, content_box, within
from inference.image.normalisation import Ends, Normalisation, Pixels, bands, step_for
from inference.image.straight_borders import at_straight_borders
from inference.limits import LIMITS, Limits


def normalised_image(
    pixels: Pixels, limits: Limits = LIMITS, ends: Ends | None = None, brown: bool = True
) -> "NormalisedForm":
    """As `normalise`, but a large image is normalised region by region, as they are asked for.

    The contrast of an image in empty surroundings is that of its content.

    Parameters
    ----------
    ends : as of `Normalisation.with_ends`, if they are not to be those of this image
    brown : as of `Normalisation`
    """
    return _in_surroundings(pixels, lambda part: Normalisation.measure(part, limits, brown).with_ends(ends), limits)


def normalised_by(pixels: Pixels, normalisation: Normalisation, limits: Limits = LIMITS) -> "NormalisedForm":
    """As `normalised_image`, by a normalisation that is known."""
    return _in_surroundings(pixels, lambda part: normalisation, limits)


def _in_surroundings(pixels: Pixels, measure: Callable[[Pixels], Normalisation], limits: Limits) -> "NormalisedForm":
    """The normalised form of an image by what is measured of it, or of its content, if all around that is empty."""
    image = _normalised(pixels, measure(pixels), limits)
    box = content_box(image.overview)
    if box is None:
        return image
    picture = at_straight_borders(image.overview, box) if image.reduction == 1 else None
    rows, columns = picture or (slice(part.start * image.reduction, part.stop * image.reduction) for part in box)
    image = _normalised(pixels, measure(Cutout(pixels, (rows, columns))), limits)
    image.content, image.embedded = Part(image, (rows, columns)), picture is not None
    return image


def _normalised(pixels: Pixels, normalisation: Normalisation, limits: Limits) -> "NormalisedForm":
    if math.prod(pixels.shape[:2]) > limits.whole_pixels:
        return LargeImage(pixels, normalisation, limits)
    image = NormalisedImage(normalisation(pixels[:, :]))
    image.normalisation = normalisation
    return image


class NormalisedForm:
    """An image in its normalised form, of which regions may be asked for.

    Parameters
    ----------
    box : rows and columns of the image that it is a part of; None for all

    Attributes
    ----------
    shape : height and width in pixels
    gray : whether it has one channel
    reduction : pixels of the image per pixel of its overview, along each axis
    content : the part that is not empty surroundings; mostly the image itself
    embedded : whether the content ends at straight borders: it is a picture that was put into surroundings
    normalisation : what made it of the image's pixels, if that is known
    """

    normalisation: Normalisation | None = None

    def __init__(self, shape: tuple[int, int], gray: bool, reduction: int = 1, box: Box | None = None):
        self.shape, self.gray, self.reduction = shape, gray, reduction
        self.box = box or (slice(0, shape[0]), slice(0, shape[1]))
        self.content: NormalisedForm = self
        self.embedded = False

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        """The region [rows, columns]: uint8, (h, w) or (h, w, 3)."""
        raise NotImplementedError

    @property
    def overview(self) -> np.ndarray:
        """The image in small: uint8, (H / reduction, W / reduction) without what is left over, or (..., 3)."""
        raise NotImplementedError


class NormalisedImage(NormalisedForm):
    """One that is kept whole.

    Parameters
    ----------
    whole : uint8, (H, W) or (H, W, 3)
    """

    def __init__(self, whole: np.ndarray):
        super().__init__(whole.shape[:2], whole.ndim == 2)
        self._whole = whole

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        return self._whole[region]

    @property
    def overview(self) -> np.ndarray:
        return self._whole


LONGEST_OVERVIEW = 32  # times as long as wide, if its shorter side is that of a large image's overview


class LargeImage(NormalisedForm):
    """One of which regions are made as they are asked for.

    Parameters
    ----------
    pixels : as `normalise` takes them
    normalisation : what is done to them
    """

    normalisation: Normalisation

    def __init__(self, pixels: Pixels, normalisation: Normalisation, limits: Limits = LIMITS):
        height, width = pixels.shape[:2]
        shorter, side = min(height, width), limits.overview_side
        of_long_ones = step_for((height, width), LONGEST_OVERVIEW * side**2)
        reduction = max(1, shorter // side, min(of_long_ones, shorter))
        super().__init__((height, width), normalisation.gray, reduction)
        self.pixels, self.normalisation, self.limits = pixels, normalisation, limits

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        return self.normalisation(self.pixels[region])

    @cached_property
    def overview(self) -> np.ndarray:
        """Means over squares of `reduction` pixels."""
        n = self.reduction
        if n == 1:
            return self[:, :]
        columns = self.shape[1] // n * n
        reduced = []
        for band in bands(self.pixels, self.limits, n):
            rows = len(band) // n * n
            if rows:
                band = self.normalisation(band[:rows, :columns])
                reduced.append(cv2.resize(band, (columns // n, rows // n), interpolation=cv2.INTER_AREA))
        return np.concatenate(reduced)


class Part(NormalisedForm):
    """A part of a normalised image, as an image of its own.

    Parameters
    ----------
    box : rows and columns of it, multiples of the image's reduction
    """

    def __init__(self, image: NormalisedForm, box: Box):
        shape = box[0].stop - box[0].start, box[1].stop - box[1].start
        super().__init__(shape, image.gray, image.reduction, box)
        self.image = image

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        return self.image[within(self.box, region)]

    @property
    def overview(self) -> np.ndarray:
        rows, columns = (slice(part.start // self.reduction, part.stop // self.reduction) for part in self.box)
        return self.image.overview[rows, columns]


class Mirrored(NormalisedForm):
    """A normalised image upside down, left to right, or both.

    Parameters
    ----------
    down, right : whether rows and columns run the other way
    """

    def __init__(self, image: NormalisedForm, down: bool, right: bool):
        super().__init__(image.shape, image.gray, image.reduction, image.box)
        self.image = image
        self._ways = slice(None, None, -1 if down else 1), slice(None, None, -1 if right else 1)

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        parts = []
        for part, n, way in zip(region, self.shape, self._ways):
            start, stop, _ = part.indices(n)
            parts.append(slice(start, stop) if way.step == 1 else slice(n - stop, n - start))
        steps = tuple(slice(None, None, part.step) for part in region)
        return np.ascontiguousarray(self.image[parts[0], parts[1]][self._ways][steps])

    @property
    def overview(self) -> np.ndarray:
        return np.ascontiguousarray(self.image.overview[self._ways])


def to_three_channels(image: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W, 3) by repetition; (H, W, 3) is returned as it is."""
    return image if image.ndim == 3 else cv2.merge([image] * 3)
