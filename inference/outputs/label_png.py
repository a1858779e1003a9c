"""Labels as a gray PNG of 16 bits."""

from pathlib import Path

import cv2
import numpy as np

from inference.limits import LIMITS
from inference.outputs.label_rows import LabelRows
from inference.outputs.refusal import OutputRefused
from inference.outputs.whole_file import whole_file

MOST_CELLS = 65_535


def write_label_png(path: Path, labels: LabelRows, most_pixels: int = LIMITS.png_pixels) -> None:
    """Write the labels, 0 is background.

    Parameters
    ----------
    most_pixels : that are encoded in one go

    Raises
    ------
    OutputRefused
        If there are more cells than 16 bits can tell, or more than `most_pixels`.
    """
    height, width = labels.shape
    if labels.cells > MOST_CELLS or height * width > most_pixels:
        raise OutputRefused(
            f"a PNG has no room for {labels.cells} cells on {width}x{height} pixels; use the label TIFF"
        )
    ok, data = cv2.imencode(".png", labels.array(np.uint16), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert ok, "OpenCV encodes any uint16 plane"
    with whole_file(path) as partial:
        partial.write_bytes(data)
