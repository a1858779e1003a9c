"""What a TIFF's metadata tell of an image: names of channels, the size of a pixel."""

from dataclasses import dataclass

import tifffile
from tifffile import TiffFile, TiffPage

from inference.reading.picture import Resolution
from inference.reading.units import LARGEST_PIXEL, micrometres

DOTS_UNITS = {2: 25_400.0, 3: 10_000.0}  # micrometres in TIFF's inch and centimetre


@dataclass(frozen=True)
class Details:
    """Of one series.

    channels : names, or ()
    pixel_size : (y, x) in micrometres, or None
    resolution : as `inference.reading.picture.Picture` has it
    """

    channels: tuple[str, ...]
    pixel_size: tuple[float, float] | None
    resolution: Resolution | None


def details(tiff: TiffFile, number: int) -> Details:
    """What is known of the series `number` of a file."""
    page = tiff.series[number].keyframe
    resolution = _resolution(page)
    channels: tuple[str, ...] = ()
    size = None
    if tiff.is_ome:
        channels, size = _ome(tiff, number)
    elif tiff.is_imagej:
        labels = (tiff.imagej_metadata or {}).get("Labels") or ()
        channels = tuple(labels) if isinstance(labels, (list, tuple)) else ()
        size = _scaled(resolution, micrometres(1, str((tiff.imagej_metadata or {}).get("unit", ""))))
    elif page.is_svs:
        mpp = tifffile.tifffile.svs_description_metadata(page.description).get("MPP")
        size = (float(mpp), float(mpp)) if mpp else None
    if size is None and resolution is not None:
        size = _scaled(resolution, DOTS_UNITS.get(resolution[1]))
        size = size if size and max(size) <= LARGEST_PIXEL else None
    return Details(channels, size, resolution)


def _scaled(resolution: Resolution | None, unit: float | None) -> tuple[float, float] | None:
    """Size of a pixel (y, x) in micrometres from pixels per unit."""
    if resolution is None or unit is None:
        return None
    y, x = resolution[0]
    return unit / y, unit / x


def _resolution(page: TiffPage) -> Resolution | None:
    """(pixels per unit in y and x, TIFF's code of the unit), or None."""
    tags = page.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    (xn, xd), (yn, yd) = tags["XResolution"].value, tags["YResolution"].value
    if 0 in (xn, xd, yn, yd):
        return None
    return (yn / yd, xn / xd), int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 1


def _ome(tiff: TiffFile, number: int) -> tuple[tuple[str, ...], tuple[float, float] | None]:
    """Names of the channels and size of a pixel from OME-XML; nothing where it does not describe every series."""
    images = tifffile.xml2dict(tiff.ome_metadata)["OME"].get("Image", [])
    images = images if isinstance(images, list) else [images]
    if len(images) != len(tiff.series):
        return (), None
    pixels = images[number]["Pixels"]
    channels = pixels.get("Channel", [])
    names = tuple(str(channel.get("Name", "")) for channel in (channels if isinstance(channels, list) else [channels]))
    size = tuple(
        micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm")) for axis in "YX"
    )
    return names if any(names) else (), size if all(size) else None
