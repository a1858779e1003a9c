"""What a TIFF's metadata tell of an image: names of channels, the size of a pixel."""

import math
from dataclasses import dataclass, replace

import tifffile
from tifffile import TiffFile, TiffPage

from inference.reading.harmless import understood
from inference.reading.units import LARGEST_PIXEL, micrometres

Resolution = tuple[tuple[float, float], int]  # pixels per unit in (y, x), and TIFF's code of the unit
NO_UNIT = 1  # that code
NO_LENGTHS = ("pixel", "reference frame")  # OME's units that say that the size is not known
INCH = ("inch", "inches", "in")  # ImageJ's unit of what has a resolution in dots per inch
DOTS_UNITS = {2: 25_400.0, 3: 10_000.0}  # micrometres in TIFF's inch and centimetre


@dataclass(frozen=True)
class Details:
    """Of one series.

    channels : names, or ()
    pixel_size : (y, x) in micrometres, or None
    warnings : of what was not understood and is left out
    """

    channels: tuple[str, ...] = ()
    pixel_size: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()


def details(tiff: TiffFile, number: int) -> Details:
    """What is known of the series `number` of a file. What is not understood costs nobody the labels."""
    known, warnings = understood(lambda: _details(tiff, number), Details())
    return replace(known, warnings=known.warnings + warnings)


def _details(tiff: TiffFile, number: int) -> Details:
    page = tiff.series[number].keyframe
    resolution = _resolution(page)
    warnings: tuple[str, ...] = ()
    if resolution is None and "XResolution" in page.tags and "YResolution" in page.tags:
        warnings = ("its resolution cannot be true and is left out",)
    channels: tuple[str, ...] = ()
    size = None
    if tiff.is_ome:
        channels, size, said = _ome(tiff, number)
        warnings += said
    elif tiff.is_imagej:
        labels = (tiff.imagej_metadata or {}).get("Labels") or ()
        of_colours = "S" in tiff.series[number].axes  # a label is that of a slice
        channels = tuple(labels) if isinstance(labels, (list, tuple)) and not of_colours else ()
        unit = str((tiff.imagej_metadata or {}).get("unit", ""))
        size = _scaled(resolution, micrometres(1, unit))
        if size and unit.lower() in INCH and max(size) > LARGEST_PIXEL:
            size = None
    elif page.is_svs:
        mpp = tifffile.tifffile.svs_description_metadata(page.description).get("MPP")
        size = (float(mpp), float(mpp)) if mpp else None
    if size is None and resolution is not None:
        size = _scaled(resolution, DOTS_UNITS.get(resolution[1]))
        size = size if size and max(size) <= LARGEST_PIXEL else None
    return Details(channels, size, warnings)


def _scaled(resolution: Resolution | None, unit: float | None) -> tuple[float, float] | None:
    """Size of a pixel (y, x) in micrometres from pixels per unit."""
    if resolution is None or unit is None:
        return None
    y, x = resolution[0]
    return unit / y, unit / x


def _resolution(page: TiffPage) -> Resolution | None:
    """What a page's tags say, if it can be true."""
    tags = page.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    y, x = (_number(tags[name].value) for name in ("YResolution", "XResolution"))
    unit = int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else NO_UNIT
    return ((y, x), unit if unit in DOTS_UNITS else NO_UNIT) if 0 < y < math.inf and 0 < x < math.inf else None


def _number(value: object) -> float:
    """Of a tag that is a fraction, or that a program has stored as a plain number."""
    numerator, denominator, *_ = (*value, 1) if isinstance(value, tuple) else (value, 1)
    return float(numerator) / float(denominator) if denominator else 0.0


def _ome(tiff: TiffFile, number: int) -> tuple[tuple[str, ...], tuple[float, float] | None, tuple[str, ...]]:
    """Names of the channels, size of a pixel, and warnings, from OME-XML; nothing where it does not tell which of its
    images is the series.
    """
    images = tifffile.xml2dict(tiff.ome_metadata or "")["OME"].get("Image", [])
    images = images if isinstance(images, list) else [images]
    if len(images) == len(tiff.series):
        image = images[number]
    else:  # images whose files are not there are no series
        named = [image for image in images if str(image.get("Name", "")) == tiff.series[number].name]
        if len(named) != 1:
            return (), None, ()
        image = named[0]
    pixels = image["Pixels"]
    channels = pixels.get("Channel", [])
    names = tuple(str(channel.get("Name", "")) for channel in (channels if isinstance(channels, list) else [channels]))
    told = [(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "YX"]
    sizes = [micrometres(length, unit) for length, unit in told]
    wrong = [
        f"{length} {unit}"
        for (length, unit), size in zip(told, sizes)
        if length is not None and size is None and unit not in NO_LENGTHS
    ]
    warnings = (f"its pixel size of {wrong[0][:50]} is not understood and is left out",) if wrong else ()
    y, x = sizes
    return names if any(names) else (), (y, x) if y and x else None, warnings
