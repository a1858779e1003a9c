"""Read a microscopy image of any common kind and bring it to the 8-bit, three-channel form that the networks see."""

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

TIFF_SUFFIXES = (".tif", ".tiff", ".stk", ".lsm", ".btf", ".ome.tif", ".ome.tiff")
OPENCV_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
IMAGE_SUFFIXES = tuple(s for s in TIFF_SUFFIXES if s.count(".") == 1) + OPENCV_SUFFIXES

LOW_PERCENTILE, HIGH_PERCENTILE = 1, 99  # of the non-zero pixels of a channel (the authors' pre-processing)


class ImageError(ValueError):
    """A file that cannot be segmented. The message names the file and the remedy."""


@dataclass(frozen=True)
class Picture:
    """An image as it was read.

    pixels : array of shape (H, W) or (H, W, C) with C of 2 or 3, of the file's dtype
    axes : how the file's axes were read, for the report, such as "YXS (RGB)"
    resolution : pixels per unit in (y, x) and the TIFF unit, carried over to the labels; None where the file has none
    """

    pixels: np.ndarray
    axes: str
    resolution: tuple[tuple[float, float], int] | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[:2]


def read_image(path: Path) -> Picture:
    """Read one image file; the kind is told from its first bytes, not from its name.

    TIFF (8, 16, 32-bit integer, float; gray, RGB, RGBA, a few channels; strips, tiles, pyramids, OME, ImageJ) goes through
    tifffile, everything else (PNG, JPEG, BMP, WebP; gray, RGB, RGBA) through OpenCV. Alpha is dropped. JPEG's rotation
    flag is ignored: labels fit the stored pixels.

    Raises
    ------
    ImageError
        If the file is empty, damaged, not an image, or has more than one plane (z, time).
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            start = file.read(4)
    except OSError as error:
        raise ImageError(f"{path.name}: cannot be opened ({error.strerror}); check that the file exists and may be read") from None
    if not start:
        raise ImageError(f"{path.name}: the file is empty; copy it again from its source")
    picture = _read_tiff(path) if start[:2] in (b"II", b"MM") else _read_with_opencv(path)
    pixels = picture.pixels
    if pixels.size == 0:
        raise ImageError(f"{path.name}: the image has no pixels (shape {pixels.shape}); export it again")
    if pixels.dtype == bool:
        return Picture(pixels.astype(np.uint8), picture.axes, picture.resolution, picture.warnings)
    if pixels.dtype.kind not in "uif":
        raise ImageError(f"{path.name}: pixels of type {pixels.dtype} are not supported; save it as 8 or 16-bit integers or as floats")
    return picture


def _read_with_opencv(path: Path) -> Picture:
    data = np.fromfile(path, np.uint8)  # cv2.imread prints its own warnings and cannot read every path
    try:
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ImageError(f"{path.name}: cannot be decoded ({error.err}); convert it to TIFF or PNG") from None
    if pixels is None:
        raise ImageError(f"{path.name}: not a readable TIFF, PNG, JPEG, BMP or WebP file (damaged or cut short?); "
                         "copy it again, or convert it to TIFF or PNG")
    if pixels.ndim == 2:
        return Picture(pixels, "YX (gray)")
    if pixels.shape[2] == 2:
        return Picture(pixels[:, :, 0], "YXS (gray and alpha, alpha dropped)")
    alpha = pixels.shape[2] == 4
    code = cv2.COLOR_BGRA2RGB if alpha else cv2.COLOR_BGR2RGB
    return Picture(cv2.cvtColor(pixels, code), "YXS (RGBA, alpha dropped)" if alpha else "YXS (RGB)")


def _read_tiff(path: Path) -> Picture:
    import tifffile  # late: only TIFF input needs it this early

    try:
        with tifffile.TiffFile(path) as tiff:
            if not tiff.series:
                raise ImageError(f"{path.name}: the TIFF holds no image; export it again")
            series = tiff.series[0]
            page = series.keyframe
            pixels, axes = series.asarray(), series.axes
            resolution = _resolution(page)
            inverted = page.photometric == tifffile.PHOTOMETRIC.MINISWHITE
            palette = page.colormap if page.photometric == tifffile.PHOTOMETRIC.PALETTE else None
            alpha = bool(page.extrasamples)
    except ImageError:
        raise
    except Exception as error:  # tifffile and its codecs raise many kinds for damaged files
        raise ImageError(f"{path.name}: damaged or unsupported TIFF ({error}); copy it again, or save it as an "
                         "uncompressed or zlib-compressed TIFF") from None
    if palette is not None:
        pixels, axes = np.moveaxis(palette, 0, -1)[pixels], axes + "S"
    pixels, axes_read, warnings = _to_channels_last(path, pixels, axes, alpha)
    if inverted and pixels.dtype.kind == "u":  # two-level images carry this flag by habit
        pixels = np.iinfo(pixels.dtype).max - pixels
    return Picture(pixels, axes_read, resolution, warnings)


def _resolution(page) -> tuple[tuple[float, float], int] | None:
    """(pixels per unit in y and x, TIFF's code of the unit), or None."""
    tags = page.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    (xn, xd), (yn, yd) = tags["XResolution"].value, tags["YResolution"].value
    if 0 in (xn, xd, yn, yd):
        return None
    return (yn / yd, xn / xd), int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 1


def _to_channels_last(path: Path, pixels: np.ndarray, axes: str, alpha: bool) -> tuple[np.ndarray, str, tuple[str, ...]]:
    """(H, W) or (H, W, 2 or 3) from tifffile's array and its axes string."""
    named = axes
    keep = [i for i, n in enumerate(pixels.shape) if n > 1 or axes[i] in "YX"]
    pixels, axes = pixels.reshape([pixels.shape[i] for i in keep]), "".join(axes[i] for i in keep)
    if "Y" not in axes or "X" not in axes:
        raise ImageError(f"{path.name}: TIFF axes {named!r} have no height and width; save it as a plain 2-D image")
    others = [i for i, name in enumerate(axes) if name not in "YX"]
    if not others:
        return pixels, f"{named} (gray)", ()
    channel = next((i for i in others if axes[i] in "SC"), None)
    if channel is None and len(others) == 1 and axes[others[0]] not in "ZT" and pixels.shape[others[0]] <= 4:
        channel = others[0]  # an unnamed short axis holds channels
    planes = [i for i in others if i != channel]
    if planes:
        found = " x ".join(f"{pixels.shape[i]} {dict(Z='z planes', T='time points').get(axes[i], 'pages')}" for i in planes)
        raise ImageError(f"{path.name}: the file holds {found}; split it into one file a plane, or project it to one plane")
    pixels = np.ascontiguousarray(np.moveaxis(pixels, channel, -1)) if channel != len(axes) - 1 else pixels
    count = pixels.shape[2]
    if axes[channel] == "S" and alpha and count in (2, 4):
        pixels, count = pixels[:, :, :-1], count - 1
        named += ", alpha dropped"
    if count == 1:
        return pixels[:, :, 0], f"{named} (gray)", ()
    if count > 3:
        return pixels[:, :, :3], f"{named} (first 3 of {count} channels)", (f"{path.name}: {count} channels, the first three are used",)
    return pixels, f"{named} ({'RGB' if count == 3 else '2 channels'})", ()


def normalise(pixels: np.ndarray) -> np.ndarray:
    """Stretch each channel between percentiles 1 and 99 of its non-zero pixels to 8 bit.

    Parameters
    ----------
    pixels : array of shape (H, W) or (H, W, C), C of 1 to 3, any integer or float dtype; NaN and infinities count as 0

    Returns
    -------
    uint8 array of shape (H, W) for one channel or equal channels, else (H, W, 3): two channels become red and green.
    A channel without contrast becomes 0.

    Notes
    -----
    For 8 and 16-bit integers the percentiles come from a histogram and the stretch from a table: exact, without sorting.
    """
    if pixels.ndim == 2:
        return _normalise_channel(pixels)
    channels = [pixels[:, :, i] for i in range(pixels.shape[2])]
    if all(np.array_equal(channels[0], other) for other in channels[1:]):
        return _normalise_channel(channels[0])
    channels = [_normalise_channel(c) for c in channels]
    channels += [np.zeros_like(channels[0])] * (3 - len(channels))
    return cv2.merge(channels)


def _normalise_channel(channel: np.ndarray) -> np.ndarray:
    if channel.dtype in (np.uint8, np.uint16):
        return _normalise_by_histogram(np.ascontiguousarray(channel))
    channel = np.nan_to_num(channel.astype(np.float32, copy=False), nan=0, posinf=0, neginf=0)
    nonzero = channel[channel != 0]
    if nonzero.size == 0:
        return np.zeros(channel.shape, np.uint8)
    low, high = np.percentile(nonzero, (LOW_PERCENTILE, HIGH_PERCENTILE))
    return _stretch(channel, low, high)


def _stretch(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if not high > low:
        return np.zeros(values.shape, np.uint8)
    return (np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _normalise_by_histogram(channel: np.ndarray) -> np.ndarray:
    levels = np.iinfo(channel.dtype).max + 1
    counts = cv2.calcHist([channel], [0], None, [levels], [0, levels]).ravel().astype(np.int64)
    if channel.size > 2**24:  # OpenCV counts in float32, exact up to 2^24
        counts = np.bincount(channel.ravel(), minlength=levels)
    counts[0] = 0
    cumulative = np.cumsum(counts)
    total = int(cumulative[-1])
    if total == 0:
        return np.zeros(channel.shape, np.uint8)

    def percentile(q: float) -> float:  # linear interpolation between order statistics, as numpy.percentile
        position = (total - 1) * q / 100
        below = int(position)
        a, b = np.searchsorted(cumulative, (below, min(below + 1, total - 1)), side="right")
        return a + (b - a) * (position - below)

    table = _stretch(np.arange(levels, dtype=np.float64), percentile(LOW_PERCENTILE), percentile(HIGH_PERCENTILE))
    return cv2.LUT(channel, table) if channel.dtype == np.uint8 else table[channel]


def to_three_channels(image: np.ndarray) -> np.ndarray:
    """(H, W) -> (H, W, 3) by repetition; (H, W, 3) is returned as it is."""
    return image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
