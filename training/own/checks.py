"""What may be wrong with labels, told from their numbers and shapes alone. Pure functions on label images."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage

from training.readers.label_images import RawLabels

MASK_PARTS = 3  # parts per value from which on values are taken for kinds of tissue, not for cells
MOST_KINDS = 4  # values that a mask of kinds has at most
PART_SHARE = 0.1  # of the largest part's area; smaller parts are not counted
NOISE = 3  # scattered single pixels per cell from which on the numbers are noise
RINGS = 0.2  # share of the numbers that are rings around others, from which on borders are interpolated
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
    """

    kind: str
    text: str
    cells: tuple[int, ...] = ()
    fatal: bool = False


@dataclass(frozen=True)
class CellShape:
    """Of one label.

    pieces : areas of its connected parts in pixels, largest first
    hole : enclosed background pixels
    thin : no 3x3 square fits into it
    sides : thickness at each image border that it touches, in pixels
    ring : thin, and between a higher number and a lower one
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


def cell_shapes(labels: np.ndarray) -> list[CellShape]:
    """The shape of each label of an image (H, W), 0 is background."""
    shapes = []
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
        ring = thin and not sides and _between(labels[top - 1 : bottom + 1, left - 1 : right + 1], number, mask)
        shapes.append(CellShape(number, pieces, hole, thin, tuple(sides), ring))
    return shapes


def _between(around: np.ndarray, number: int, mask: np.ndarray) -> bool:
    beside = around[(cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0) & (around != number)]
    return bool((beside > number).any() and (beside < number).any())


def check_labels(raw: RawLabels) -> list[Finding]:
    """What looks wrong with labels as they were read, the worst first."""
    labels = raw.labels
    if raw.lossy:
        return [Finding("JPEG", "stored as JPEG, which changes the numbers; save the labels as TIFF or PNG", (), True)]
    shapes = cell_shapes(labels)
    if not shapes:
        return []
    for wrong in (_interpolated(raw, shapes), _noise(shapes), _mask(labels, shapes)):
        if wrong:
            return [wrong]
    return [finding for finding in (_fragments(shapes), _holes(shapes), _specks(shapes), _slivers(shapes)) if finding]


def _interpolated(raw: RawLabels, shapes: Sequence[CellShape]) -> Finding | None:
    rings = tuple(s.number for s in shapes if s.ring)
    if not raw.fractions and (len(rings) < 3 or len(rings) < RINGS * len(shapes)):
        return None
    how = f"{raw.fractions} pixels are no whole numbers" if raw.fractions else f"{len(rings)} of them are rings"
    return Finding(
        "interpolated borders",
        f"{len(shapes)} numbers, {how}: the labels were resized or turned with interpolation; do it again with "
        "nearest neighbour",
        rings,
        True,
    )


def _noise(shapes: Sequence[CellShape]) -> Finding | None:
    scattered = sum(area <= 2 for s in shapes for area in s.pieces)
    cells = sum(s.pieces[0] > SMALLEST_CELL and not s.thin for s in shapes)
    if scattered < 20 or scattered < NOISE * cells:
        return None
    return Finding(
        "JPEG",
        f"{scattered} scattered pixels beside {cells} cells: the labels were once a JPEG or another lossy file; export "
        "them anew as TIFF or PNG",
        (),
        True,
    )


def _mask(labels: np.ndarray, shapes: Sequence[CellShape]) -> Finding | None:
    if len(shapes) > MOST_KINDS:
        return None
    largest = max(s.pieces[0] for s in shapes)
    parts = [sum(area >= PART_SHARE * largest for area in s.pieces) for s in shapes]
    if sum(parts) < MASK_PARTS * len(shapes):
        return None
    values = ", ".join(str(s.number) for s in shapes)
    return Finding(
        "0/255 mask" if len(shapes) == 1 else "semantic mask",
        f"{sum(parts)} parts share the number{'s' if len(shapes) > 1 else ''} {values}, so that all count as "
        f"{len(shapes)}; each cell needs a number of its own (Fiji: Analyze Particles, Count Masks)",
        tuple(s.number for s in shapes),
        True,
    )


def _fragments(shapes: Sequence[CellShape]) -> Finding | None:
    cells = tuple(s.number for s in shapes if len(s.pieces) > 1)
    return cells and Finding("fragments", "cells in several pieces; remove the stray ones, or number them anew", cells)


def _holes(shapes: Sequence[CellShape]) -> Finding | None:
    cells = tuple(s.number for s in shapes if s.hole >= max(SMALLEST_HOLE, HOLE * s.area))
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
