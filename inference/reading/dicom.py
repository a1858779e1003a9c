"""DICOM, through pydicom: a picture, or frames of one; not the tiles of a whole slide."""

from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import apply_color_lut, pixel_array

from inference.reading.harmless import understood
from inference.reading.picture import ImageError
from inference.reading.series import Series
from inference.reading.stores import StoreSettings
from inference.reading.units import micrometres


def read(path: Path, kind: str, settings: StoreSettings) -> list[Series]:
    """The picture of a file, decoded."""
    data = pydicom.dcmread(path)
    if "PixelData" not in data:
        raise ImageError(
            f"{path.name}: this DICOM file has no picture in it ({data.get('Modality', 'no modality')}); export the "
            "image itself"
        )
    frames = int(data.get("NumberOfFrames") or 1)
    if frames > 1 and "TotalPixelMatrixRows" in data:
        raise ImageError(
            f"{path.name}: a whole slide cut into {frames} tiles is not read from DICOM; convert it to OME-TIFF, for "
            "example with QuPath or bfconvert"
        )
    pixels = pixel_array(data)
    palette = data.PhotometricInterpretation == "PALETTE COLOR"
    pixels = apply_color_lut(pixels, data) if palette else pixels
    samples = data.SamplesPerPixel > 1 or palette
    axes = ("T" if "FrameTime" in data or "FrameTimeVector" in data else "?") * (frames > 1) + "YX" + "S" * samples
    inverted = (data.PhotometricInterpretation == "MONOCHROME1") != (float(data.get("RescaleSlope") or 1) < 0)
    size, warnings = understood(lambda: _pixel_size(data), None)
    return [
        Series(
            pixels,
            axes,
            kind,
            colours="RGB" if samples else "",
            pixel_size=size,
            inverted=inverted,
            notes=("0 is white: inverted",) if inverted else (),
            warnings=warnings,
        )
    ]


def _pixel_size(data: pydicom.Dataset) -> tuple[float, float] | None:
    """(y, x) in micrometres; DICOM has millimetres."""
    spacing = data.get("PixelSpacing") or data.get("ImagerPixelSpacing")
    if not spacing and "SharedFunctionalGroupsSequence" in data:
        measures = data.SharedFunctionalGroupsSequence[0].get("PixelMeasuresSequence") or [{}]
        spacing = measures[0].get("PixelSpacing")
    if not spacing:
        return None
    y, x = (micrometres(length, "mm") for length in np.asarray(spacing, float))
    return (y, x) if y and x else None
