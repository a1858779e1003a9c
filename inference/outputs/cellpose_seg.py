"""The `_seg.npy` file with which Cellpose's graphical interface shows cells, to look at them and to correct them."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np

from inference.outputs.borders import inner_border
from inference.outputs.label_rows import LabelRows
from inference.outputs.label_tiff import label_type
from inference.outputs.refusal import OutputRefused
from inference.outputs.whole_file import whole_file

MOST_PIXELS = 2**28  # the format holds all labels and outlines in one piece
ROWS = 256  # looked at in one go


def write_cellpose_seg(path: Path, labels: LabelRows, image: Path, diameter: float, band_rows: int = ROWS) -> None:
    """Write masks, outlines and what else Cellpose asks for; flows are not in it.

    Parameters
    ----------
    image : the image's file, which Cellpose opens
    diameter : typical diameter of the cells in pixels
    band_rows : that are looked at in one go

    Raises
    ------
    OutputRefused
        If the image has more than `MOST_PIXELS`.
    """
    height, width = labels.shape
    if height * width > MOST_PIXELS:
        raise OutputRefused(
            f"_seg.npy holds all labels at once, which {width}x{height} pixels are too many for; use the label TIFF"
        )
    dtype = np.dtype(label_type(labels.cells))
    content = {
        "masks": _Later(lambda: labels.array(dtype)),
        "outlines": _Later(lambda: _outlines(labels, dtype, band_rows)),
        "chan_choose": [0, 0],
        "ismanual": np.zeros(labels.cells, bool),
        "filename": str(image),
        "flows": [],
        "diameter": diameter,
        "est_diam": diameter,
    }
    with whole_file(path) as partial, open(partial, "wb") as file:
        # As np.save writes an object, but for protocol 5, which makes no copy of an array, and without pickle's memory
        # of what it has written, so that only one of the arrays is there at a time.
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(np.array(content, object)))
        pickler = pickle.Pickler(file, protocol=5)
        pickler.fast = True
        pickler.dump(np.array(content, object))


class _Later:
    """An array that is made when it is pickled, as which it comes back."""

    def __init__(self, make: Callable[[], np.ndarray]):
        self._make = make

    def __reduce_ex__(self, protocol):
        return self._make().__reduce_ex__(protocol)


def _outlines(labels: LabelRows, dtype: np.dtype, band_rows: int) -> np.ndarray:
    """The numbers of the cells' border pixels, 0 elsewhere: (H, W)."""
    outlines = np.empty(labels.shape, dtype)
    for top, block in labels.regular(band_rows, 1):
        border = inner_border(np.pad(block, ((0, 0), (1, 1))))
        outlines[top : top + len(border)] = np.where(border, block[1:-1], 0)
    return outlines
