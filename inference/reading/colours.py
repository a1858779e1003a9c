"""Stored numbers to colours: palettes, CMYK, Lab and YCbCr. OpenCV does the arithmetic where it has it."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from inference.reading.series import Series

RAMP_ENTRIES = 64  # a shorter table is no ramp: the colours of a drawing
RAMP_STEP = 16 / 255  # largest difference of neighbours in a ramp's red, green or blue
ROUNDING = 1 / 255  # by which the brightness of a falling ramp may rise
BRIGHTNESS = np.array([0.299, 0.587, 0.114])  # of red, green and blue; ITU-R BT.601


def converted(series: Series, name: str, convert: Callable[[np.ndarray], np.ndarray]) -> Series:
    """A series whose samples become red, green and blue as they are read: unsigned integers; floats become bytes."""
    dtype = np.dtype(series.store.dtype)
    return replace(
        series,
        convert=convert,
        converted=(3, np.dtype(f"u{1 if dtype.kind == 'f' else dtype.itemsize}")),
        colours="RGB",
        alpha=0,
        notes=(*series.notes, f"converted from {name}"),
    )


def with_palette(series: Series, palette: np.ndarray) -> Series:
    """A series of numbers of colours, perhaps with opacity beside them. A table whose neighbours are much alike, which
    no picture's colours are, is a ramp, as microscopes store it for display; it is left out.

    Parameters
    ----------
    palette : (entries, 3) uint16; some programs write numbers of 8 bits
    """
    if palette.max() <= np.iinfo(np.uint8).max:
        palette = palette * np.uint16(257)

    def colours(block: np.ndarray) -> np.ndarray:
        return np.take(palette, block[..., 0] if block.ndim == 3 else block, axis=0)

    inner = palette[1:-1] / 65535  # the ends may mark what is too dark or too bright
    if len(palette) >= RAMP_ENTRIES and np.abs(np.diff(inner, axis=0)).max() <= RAMP_STEP and np.ptp(inner) > 0:
        slopes = np.diff(inner @ BRIGHTNESS)
        falls = bool((slopes <= ROUNDING).all() and slopes.sum() < 0)
        return replace(
            series,
            inverted=falls,
            notes=(*series.notes, "falling colour ramp: inverted" if falls else "colour ramp left out"),
        )
    if (palette == palette[:, :1]).all():
        return replace(
            series,
            convert=lambda block: colours(block)[..., :1],
            converted=(1, palette.dtype),
            notes=(*series.notes, "table of grays"),
        )
    return replace(
        series,
        convert=colours,
        converted=(3, palette.dtype),
        colours="RGB",
        notes=(*series.notes, "table of colours"),
    )


def cmyk_to_rgb(block: np.ndarray) -> np.ndarray:
    """(h, w, 4 or more) unsigned integers, 0 is no ink -> (h, w, 3) of the same dtype, without a colour profile."""
    full = np.iinfo(block.dtype).max
    light = full - block[..., :4].astype(np.float32)
    return np.rint(light[..., :3] * light[..., 3:] / full).astype(block.dtype)


def lab_to_rgb(offset: bool) -> Callable[[np.ndarray], np.ndarray]:
    """A function from stored CIE L*a*b* (h, w, 3 or more) to RGB (h, w, 3), uint8 or uint16, uint8 for floats.

    Parameters
    ----------
    offset : whether a* and b* are stored with half of the range added (ICC's way), not as signed numbers
    """

    def convert(block: np.ndarray) -> np.ndarray:
        if block.dtype.kind == "f":
            lab, full = block[..., :3].astype(np.float32), 255
        else:
            block = block.astype(f"u{block.itemsize}")  # libvips has 16 bits written as signed ones
            full = np.iinfo(block.dtype).max
            unit = (full + 1) // 256
            signed = block[..., 1:3].astype(np.float32) / unit
            signed = signed - 128 if offset else np.where(signed >= 128, signed - 256, signed)
            lightness = block[..., :1].astype(np.float32) * (100 / (255 * unit if offset else full))
            lab = np.concatenate([lightness, signed], axis=-1, dtype=np.float32)
        rgb = np.clip(cv2.cvtColor(np.ascontiguousarray(lab), cv2.COLOR_Lab2RGB), 0, 1)
        return np.rint(rgb * full).astype(np.uint8 if full == 255 else block.dtype)

    return convert


def ycbcr_to_rgb(block: np.ndarray) -> np.ndarray:
    """(h, w, 3) of uint8 or uint16, the full range used -> RGB of the same shape and dtype."""
    return cv2.cvtColor(np.ascontiguousarray(block[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)
