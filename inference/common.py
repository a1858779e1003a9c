"""Settings that all images of a run have in common, measured over all of them, so that a plate is treated alike."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from inference.finding import Found
from inference.normalisation import CommonEnds, Ends
from inference.reading import Picture, ReadOptions
from inference.safe_reading import SafeReader

if TYPE_CHECKING:
    from inference.request import Request
    from inference.segmenter import Segmenter

log = logging.getLogger(__name__)

Kind = tuple[str, int]  # type of the pixels, and number of channels: images of one kind can have a contrast in common


@dataclass(frozen=True)
class Common:
    """What the images of a run have in common.

    diameter : of their cells in pixels; None if each image has its own
    ends : of their contrast, for each kind of image; empty if each image has its own
    """

    diameter: float | None = None
    ends: dict[Kind, Ends] = field(default_factory=dict)

    def ends_of(self, picture: Picture) -> Ends | None:
        """Those of the contrast of an image."""
        return self.ends.get(_kind(picture))


def measure_common(files: Sequence[Found], reader: SafeReader, segmenter: "Segmenter", request: "Request") -> Common:
    """Look at all images of a run for what it asks for: the percentiles of all their pixels, the median of all
    diameters.

    Of a stack the middle plane is looked at. Files that cannot be read are passed over; they are reported when it is
    their turn.
    """
    collected: dict[Kind, CommonEnds] = {}
    if request.same_contrast:
        for picture in _readable(files, reader, request.reading):
            collected.setdefault(_kind(picture), CommonEnds()).add(picture.pixels, request.limits)
    common = Common(None, {kind: ends.ends for kind, ends in collected.items()})
    for (dtype, channels), ends in common.ends.items():
        shown = ", ".join(f"{low:g} to {high:g}" for low, high in ends)
        log.info("contrast of all %s images of %d channels: %s", dtype, channels, shown)
    if not request.same_diameter or request.diameter is not None:
        return common
    diameters = [
        segmenter.measure_diameter(picture, class_=request.class_, ends=common.ends_of(picture))
        for picture in _readable(files, reader, request.reading)
    ]
    if not diameters:
        return common
    log.info(
        "diameter of the cells of all images: %.1f px (%.1f to %.1f)",
        np.median(diameters),
        min(diameters),
        max(diameters),
    )
    return Common(float(np.median(diameters)), common.ends)


def _kind(picture: Picture) -> Kind:
    pixels = picture.pixels
    return str(pixels.dtype), 1 if pixels.ndim == 2 else pixels.shape[2]


def _readable(files: Sequence[Found], reader: SafeReader, options: ReadOptions) -> Iterator[Picture]:
    for found in files:
        try:
            images, _ = reader.open_images(found.path, options)
        except Exception as error:  # readers raise many kinds
            log.debug("%s: passed over while all images are looked at (%s)", found.path.name, error)
            continue
        for image in images:
            try:
                picture = image.open(len(image.views) // 2)
            except Exception as error:
                log.debug("%s: passed over while all images are looked at (%s)", found.path.name, error)
            else:
                yield picture
