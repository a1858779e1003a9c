"""Pictures of the cells that were found and of those that were not."""

import cv2
import numpy as np

from inference.image.forms import to_three_channels
from inference.image.normalisation import normalise
from inference.reading import read_image
from training.measure.judging import COLOURS, FOUND, SPURIOUS, Judged

PANEL = 700  # pixels; height and width of each side of a picture at most
CAPTION = 22


def picture(judged: Judged, window: tuple[slice, slice] | None = None) -> np.ndarray:
    """True and predicted outlines side by side under a caption, (H, W, 3) uint8 RGB.

    window : the rows and columns that are shown, at most PANEL of each [those of `worst_window`]
    """
    image = to_three_channels(normalise(read_image(judged.case.image).pixels))
    window = window or worst_window(judged)
    zoom = PANEL // max(s.stop - s.start for s in window)
    sides = []
    for labels, kinds in ((judged.truth, judged.true_fates), (judged.prediction, judged.predicted_fates)):
        panel, cells = (array[window].repeat(zoom, 0).repeat(zoom, 1) for array in (image, labels))
        edge = (cells > 0) & (cv2.erode(cells.astype(np.float64), None) != cv2.dilate(cells.astype(np.float64), None))
        panel[edge] = COLOURS[kinds[cells[edge]]]
        sides.append(panel)
    both = np.concatenate([sides[0], np.full((len(sides[0]), 4, 3), 255, np.uint8), sides[1]], axis=1)
    caption = np.zeros((CAPTION, max(both.shape[1], PANEL), 3), np.uint8)
    text = f"{judged.case.source}/{judged.case.image.stem}  F1 {judged.f1:.2f}  " + "  ".join(
        f"{kind} {count}" for kind, count in judged.counts.items()
    )
    text = text.encode("ascii", "replace").decode()  # OpenCV draws no other letters, and some end the process
    cv2.putText(caption, text, (4, CAPTION - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    both = np.pad(both, ((0, 0), (0, caption.shape[1] - both.shape[1]), (0, 0)))
    return np.concatenate([caption, both])


def worst_window(judged: Judged) -> tuple[slice, slice]:
    """The part of an image that a picture shows: at most PANEL pixels high and wide, with the most pixels of failed
    cells.
    """
    lost = (judged.true_fates != FOUND)[judged.truth] & (judged.truth > 0)
    failed = lost | (judged.predicted_fates == SPURIOUS)[judged.prediction] & (judged.prediction > 0)
    total = cv2.integral(failed.astype(np.uint8))
    height, width = (min(n, PANEL) for n in failed.shape)
    tops, lefts = (
        np.unique(np.linspace(0, n - side, 1 + 4 * (n - side) // side, dtype=int))
        for n, side in zip(failed.shape, (height, width))
    )
    top, left = max(
        ((y, x) for y in tops for x in lefts),
        key=lambda corner: int(
            total[corner[0] + height, corner[1] + width]
            - total[corner[0], corner[1] + width]
            - total[corner[0] + height, corner[1]]
            + total[corner]
        ),
    )
    return slice(int(top), int(top) + height), slice(int(left), int(left) + width)
