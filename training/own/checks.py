"""What may be wrong with labels, told from their numbers and shapes alone. Pure functions on label images."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy import ndimage

from training.readers.label_images import RawLabels

MASK_PARTS = 3  # parts per value from which on values are taken for kinds of tissue, not for cells
MOST_KINDS = 20  # values that a mask of kinds has at most
PART_SHARE = 0.1  # of the largest part's area; smaller parts are not counted
NOISE = 3  # scattered single pixels per cell from which on the numbers are noise
SCATTERED = 2  # pixels; larger parts are not scattered ones
FAR = 3  # pixels; scattered ones are farther than this from any cell's inside...
FAR_SHARE = 0.5  # ...in this share if a JPEG made them; interpolation makes them at the borders
INTERPOLATED = "the labels were resized, turned or moved with interpolation; do it again with nearest neighbour"
LOSSY = "the labels were once a JPEG or another lossy file; export them anew as TIFF or PNG"
MASK_NUMBER = 255  # of one cell alone hardly ever
ODD = 0.25  # share of images of one number with several parts, from which on that is not one cell's
OVERLAP = 0.05  # share of outlines, or of the labelled pixels; less is not named
RINGS = 0.2  # share of the numbers that are rings around others, from which on borders are interpolated
RING_OF = 1.5  # times as large as a ring, at least, is the cell that it is around; thin cells in rows are alike
HOLE = 0.01  # share of a cell's area; smaller holes are not named...
SMALLEST_HOLE = 4  # ...nor are those of fewer pixels
SPECK = 0.03  # of the median area
SMALLEST_CELL = 5  # pixels
SLIVER = 2  # pixels; thickness
ENOUGH = 5  # cells from which on a median says what is small


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong.

    kind : in a word or two
    text : in a sentence, with the remedy
    cells : numbers of the labels concerned; none if it is all of them
    fatal : labels like these cannot be trained on
    spots : bool (H, W), pixels to show, where they are too small to be seen; None if it is the cells
    """

    kind: str
    text: str
    cells: tuple[int, ...] = ()
    fatal: bool = False
    spots: np.ndarray | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class CellShape:
    """Of one label.

    pieces : areas of its connected parts in pixels, largest first
    hole : enclosed background pixels
    thin : no 3x3 square fits into it
    sides : thickness at each image border that it touches, in pixels
    ring : thin, between a higher number and a lower one, and far smaller than one of them
    """

    number: int
    pieces: tuple[int, ...]
    hole: int
    thin: bool
    sides: tuple[int, ...]
    ring: bool

    @property
    def area(self) -> int:
        return sum(self.pieces)

    @property
    def parts(self) -> int:
        """Pieces that are not small beside the largest."""
        return sum(area >= PART_SHARE * self.pieces[0] for area in self.pieces)

    @property
    def hollow(self) -> bool:
        """With a hole that is not small."""
        return self.hole >= max(SMALLEST_HOLE, HOLE * self.area)


def cell_shapes(labels: np.ndarray) -> list[CellShape]:
    """The shape of each label of an image (H, W), 0 is background."""
    shapes, areas = [], np.bincount(labels.ravel())
    for number, place in enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1):
        if place is None:
            continue
        (top, bottom), (left, right) = ((s.start, s.stop) for s in place)
        mask = np.pad(labels[place] == number, 1).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
        pieces = tuple(sorted(stats[1:, cv2.CC_STAT_AREA].tolist(), reverse=True))
        outside = cv2.connectedComponents(1 - mask, connectivity=4)[1]
        enclosed = (outside != outside[0, 0]) & (mask == 0)
        hole = int((enclosed[1:-1, 1:-1] & (labels[place] == 0)).sum())
        thin = not cv2.erode(mask, np.ones((3, 3), np.uint8)).any()
        sides = []
        if top == 0 or bottom == labels.shape[0]:
            sides.append(bottom - top)
        if left == 0 or right == labels.shape[1]:
            sides.append(right - left)
        around = labels[top - 1 : bottom + 1, left - 1 : right + 1]
        ring = thin and not sides and _between(around, number, mask, areas)
        shapes.append(CellShape(number, pieces, hole, thin, tuple(sides), ring))
    return shapes


def _between(around: np.ndarray, number: int, mask: np.ndarray, areas: np.ndarray) -> bool:
    """Whether a label lies between a higher number and a lower one, and is far smaller than the larger cell of them."""
    beside = np.unique(around[(cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0) & (around != number)])
    cells = beside[beside > 0]
    larger = cells.size > 0 and areas[cells].max() >= RING_OF * areas[number]
    return bool((beside > number).any() and (beside < number).any() and larger)


def check_labels(raw: RawLabels) -> list[Finding]:
    """What looks wrong with labels as they were read, the worst first."""
    labels = raw.labels
    if raw.lossy:
        return [Finding("JPEG", "stored as JPEG, which changes the numbers; save the labels as TIFF or PNG", (), True)]
    shapes = cell_shapes(labels)
    if not shapes:
        return [_scaled(raw)] if raw.fractions else []
    for wrong in (
        _fractions(raw, shapes),
        _background(labels),
        _noise(labels, shapes),
        _rings(labels, shapes),
        _mask(shapes),
    ):
        if wrong:
            return [wrong]
    doubts = (_overlap(raw, shapes), _fragments(shapes), _holes(shapes), _specks(shapes), _slivers(shapes))
    return [finding for finding in doubts if finding]


def check_set(images: Sequence[np.ndarray]) -> Finding | None:
    """What is wrong with label images (H, W) with cells taken together: masks of touching cells have one part each, but
    not in all images.
    """
    numbers = {number for labels in images for number in np.unique(labels).tolist() if number}
    if len(images) < 2 or len(numbers) != 1:
        return None
    number = numbers.pop()
    mask = number == MASK_NUMBER  # else one cell an image, such as an embryo, is as likely, and may have a hole
    odd = sum(shape.parts > 1 or (mask and shape.hollow) for labels in images for shape in cell_shapes(labels))
    if odd < (1 if mask else max(1, ODD * len(images))):
        return None
    return Finding(
        "0/255 mask",
        f"all {len(images)} images have the number {number} alone, in {odd} of them with several parts or a "
        "hole: all cells count as one; each needs a number of its own (Fiji: Analyze Particles, Count Masks)",
        (),
        True,
    )


def _scaled(raw: RawLabels) -> Finding:
    return Finding(
        "scaled",
        f"{raw.fractions} pixels are fractions, and none is above 1: the labels were scaled to 0..1; save them "
        "as whole numbers (CellProfiler: ConvertObjectsToImage, uint16)",
        (),
        True,
    )


def _fractions(raw: RawLabels, shapes: Sequence[CellShape]) -> Finding | None:
    if max(shape.number for shape in shapes) == 1 and raw.fractions >= sum(shape.area for shape in shapes):
        return _scaled(raw)
    what = f"{len(shapes)} numbers, {raw.fractions} pixels are no whole numbers"
    return Finding("interpolated borders", f"{what}: {INTERPOLATED}", (), True) if raw.fractions else None


def _rings(labels: np.ndarray, shapes: Sequence[CellShape]) -> Finding | None:
    rings = tuple(s.number for s in shapes if s.ring)
    if len(rings) < 3 or len(rings) < RINGS * len(shapes):
        return None
    what = f"{len(shapes)} numbers, {len(rings)} of them are rings"
    return Finding("interpolated borders", f"{what}: {INTERPOLATED}", rings, True, np.isin(labels, rings))


def _noise(labels: np.ndarray, shapes: Sequence[CellShape]) -> Finding | None:
    scattered = sum(area <= SCATTERED for s in shapes for area in s.pieces)
    cells = sum(s.pieces[0] > SMALLEST_CELL and not s.thin for s in shapes)
    if scattered < 20 or scattered < NOISE * cells:
        return None
    spots = _spots(labels)
    values = labels.astype(float)
    inside = (cv2.erode(values, np.ones((3, 3))) == cv2.dilate(values, np.ones((3, 3)))) & (labels > 0)
    far = (ndimage.distance_transform_edt(~inside) > FAR)[spots].mean() if inside.any() else 1
    what = f"{scattered} scattered pixels beside {cells} cells"
    if far < FAR_SHARE:
        text = f"{what}, most at their borders: {INTERPOLATED}. Or {LOSSY}"
        return Finding("interpolated borders", text, (), True, spots)
    return Finding("JPEG", f"{what}: {LOSSY}. Or {INTERPOLATED}", (), True, spots)


def _spots(labels: np.ndarray) -> np.ndarray:
    """Scattered pixels, bool (H, W)."""
    from skimage.measure import label

    pieces = label(labels.astype(np.int64), background=0, connectivity=2)
    return (np.bincount(pieces.ravel())[pieces] <= SCATTERED) & (labels > 0)


def _background(labels: np.ndarray) -> Finding | None:
    areas = np.bincount(labels.ravel())
    sides = [set(np.unique(side).tolist()) for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1])]
    around = set.intersection(*sides) - {0}
    number = max(around, key=lambda n: areas[n], default=0)
    if not number or (areas[0] and areas[number] <= labels.size / 2):
        return None
    return Finding(
        "background is a cell",
        f"number {number} touches all four borders and has {100 * areas[number] / labels.size:.0f} % of the pixels: it "
        "seems to be the background, which must be 0; and each cell needs a number of its own",
        (number,),
        True,
    )


def _mask(shapes: Sequence[CellShape]) -> Finding | None:
    parts = sum(s.parts for s in shapes)
    alone = len(shapes) == 1 and shapes[0].number == MASK_NUMBER and (parts > 1 or shapes[0].hollow)
    if not alone and (len(shapes) > MOST_KINDS or parts < MASK_PARTS * len(shapes)):
        return None
    values = ", ".join(str(s.number) for s in shapes)
    what = f"{parts} parts share" if parts > 1 else "one part with a hole has"
    return Finding(
        "0/255 mask" if len(shapes) == 1 else "semantic mask",
        f"{what} the number{'s' if len(shapes) > 1 else ''} {values}, so that all count as {len(shapes)}; each cell "
        "needs a number of its own (Fiji: Analyze Particles, Count Masks)",
        tuple(s.number for s in shapes),
        True,
    )


def _overlap(raw: RawLabels, shapes: Sequence[CellShape]) -> Finding | None:
    outlines, area = len(shapes) + raw.hidden, sum(s.area for s in shapes)
    if raw.hidden <= OVERLAP * outlines and raw.overlap <= OVERLAP * area:
        return None
    return Finding(
        "overlapping outlines",
        f"{raw.hidden} of {outlines} outlines lie beneath others or beyond the image, and {raw.overlap} pixels are in "
        "several; remove outlines of regions, and export in pixels of this image",
        (),
        raw.hidden > outlines / 2,
    )


def _fragments(shapes: Sequence[CellShape]) -> Finding | None:
    cells = tuple(s.number for s in shapes if len(s.pieces) > 1)
    return cells and Finding("fragments", "cells in several pieces; remove the stray ones, or number them anew", cells)


def _holes(shapes: Sequence[CellShape]) -> Finding | None:
    cells = tuple(s.number for s in shapes if s.hollow)
    return cells and Finding("holes", "cells with holes; fill them, unless they are really there", cells)


def _specks(shapes: Sequence[CellShape]) -> Finding | None:
    least = max(SMALLEST_CELL, SPECK * float(np.median([s.area for s in shapes])) if len(shapes) >= ENOUGH else 0)
    cells = tuple(s.number for s in shapes if s.area < least and not s.sides)
    return cells and Finding("specks", f"cells of fewer than {least:.0f} pixels; erase them", cells)


def _slivers(shapes: Sequence[CellShape]) -> Finding | None:
    cells = tuple(s.number for s in shapes if s.sides and min(s.sides) <= SLIVER)
    return cells and Finding(
        "border slivers", f"cells of which at most {SLIVER} pixels are in the image; erase them", cells
    )
