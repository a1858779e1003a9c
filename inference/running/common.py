"""Settings that all images of a run have in common, measured over all of them, so that a plate is treated alike."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from inference.image.normalisation import CommonEnds, Ends
from inference.reading import Picture, ReadOptions
from inference.reading.safe_reading import SafeReader
from inference.running.finding import Found

if TYPE_CHECKING:
    from inference.running.request import Request
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
    common = Common()
    if request.same_contrast:
        common = with_contrast([contrast_of(files, reader, request)])
    if request.same_diameter and request.diameter is None:
        common = with_diameter(common, diameters_of(files, reader, segmenter, request, common))
    return common


def contrast_of(files: Sequence[Found], reader: SafeReader, request: "Request") -> dict[Kind, CommonEnds]:
    """What the pixels of some images say of the contrast of all, for each kind of image."""
    collected: dict[Kind, CommonEnds] = {}
    for picture in _readable(files, reader, request.reading):
        collected.setdefault(_kind(picture), CommonEnds()).add(picture.pixels, request.limits)
    return collected


def with_contrast(parts: Sequence[dict[Kind, CommonEnds]]) -> Common:
    """What all images have in common, from what some and others say."""
    collected: dict[Kind, CommonEnds] = {}
    for part in parts:
        for kind, ends in part.items():
            collected.setdefault(kind, CommonEnds()).merge(ends)
    common = Common(None, {kind: of_all.ends for kind, of_all in collected.items()})
    for (dtype, channels), values in common.ends.items():
        shown = ", ".join(f"{low:g} to {high:g}" for low, high in values)
        log.info("contrast of all %s images of %d channels: %s", dtype, channels, shown)
    return common


def diameters_of(
    files: Sequence[Found], reader: SafeReader, segmenter: "Segmenter", request: "Request", common: Common
) -> list[float]:
    """The cell diameters of some images, in pixels."""
    return [
        segmenter.measure_diameter(picture, class_=request.class_, ends=common.ends_of(picture))
        for picture in _readable(files, reader, request.reading)
    ]


def with_diameter(common: Common, diameters: Sequence[float]) -> Common:
    """The same with the median of the diameters of all images, if there are any."""
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
