"""The outline of every cell along the edges of its pixels, as polygons, while the label rows go by."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from inference.compiled import compiled
from inference.outputs.extents import BOTTOM, Extents
from inference.outputs.label_rows import LabelRows

BATCH = 4096  # cells


def trace(labels: LabelRows, extents: Extents) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Polygons of the cells, each one after its last row has gone by.

    Yields
    ------
    numbers (n,) int64, rising, and the cells' polygons (n,) object: each one a valid shapely Polygon or, where a cell's
    pixels touch at corners alone or not at all, a MultiPolygon. It covers the cell's pixels exactly. x before y, in
    pixels; (0, 0) is the corner of the image.
    """
    waiting = np.zeros((0, 6), np.int64)
    for top, block in labels.regular(max(1, labels.band_pixels // (4 * labels.shape[1])), 1):
        waiting = np.concatenate([waiting, _edges(block, top)])
        done = extents.box[waiting[:, 0], BOTTOM] <= top + len(block) - 2
        if done.any():
            yield _polygons(waiting[done])
        waiting = waiting[~done]


def _edges(block: np.ndarray, top: int) -> np.ndarray:
    """Straight edges between the cells of a band and what is beside them, with the cell on the right hand side.

    An edge ends where it turns, where two parts of a cell touch at a corner, and at the band's end.

    Parameters
    ----------
    block : (rows + 2, W) int32, the band with a row above and below
    top : the band's first row

    Returns
    -------
    (n, 6) int64: cell, direction (0 right, 1 down, 2 left, 3 up), y and x of the start, y and x of the end.
    """
    wide = np.pad(block, ((0, 0), (1, 1)))
    inner, parts = wide[1:-1, 1:-1], []
    for direction, beside in (
        (0, wide[:-2, 1:-1]),
        (2, wide[2:, 1:-1]),
    ):  # above and below a pixel, joined along the row
        y, *x = _runs(inner != beside, inner)
        start, end = x if direction == 0 else reversed(x)
        cell, y = inner[y, x[0]], y + top + (direction == 2)
        parts.append(np.stack([cell, np.full_like(y, direction), y, start, y, end], axis=1))
    for direction, beside in (
        (1, wide[1:-1, 2:]),
        (3, wide[1:-1, :-2]),
    ):  # right and left of it, joined along the column
        column, *ends = _runs((inner != beside).T, inner.T)
        start, end = ends if direction == 1 else reversed(ends)
        cell, column = inner[ends[0], column], column + (direction == 1)
        parts.append(np.stack([cell, np.full_like(column, direction), start + top, column, end + top, column], axis=1))
    return np.concatenate(parts)


def _runs(edge: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Line, first place and place behind the last one of edges of one cell that follow one another in a line."""
    edge = edge & (labels > 0)
    joined = edge[:, 1:] & edge[:, :-1] & (labels[:, 1:] == labels[:, :-1])
    first, last = edge.copy(), edge
    first[:, 1:] &= ~joined
    last[:, :-1] &= ~joined
    line, start = np.nonzero(first)
    return line, start, np.nonzero(last)[1] + 1


def _polygons(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and polygons of the cells of which these are all edges."""
    import shapely  # late: optional, and only what has outlines needs it

    cell, direction, y0, x0, y1, x1 = edges[np.lexsort((edges[:, 3], edges[:, 2], edges[:, 0]))].T
    numbers, index = np.unique(cell, return_inverse=True)
    height, width = y1.max() + 1, x1.max() + 1
    # A number for each corner of each cell.
    start, end = ((index * height + y) * width + x for y, x in ((y0, x0), (y1, x1)))
    after = np.searchsorted(start, end)
    shared = np.flatnonzero(start[1:] == start[:-1])  # parts of the cell touch there, and two edges begin:
    two = np.isin(after, shared)
    after[two] += direction[after[two]] != (direction[two] + 1) % 4  # to the right, around the same pixel
    order, ring = _follow(after)
    before, ring_of = np.empty_like(after), np.empty_like(ring)
    before[after], ring_of[order] = np.arange(len(after)), ring
    turns = order[direction[order] != direction[before[order]]]
    corners, ring = np.stack([x0[turns], y0[turns]], axis=1), ring_of[turns]
    first = np.flatnonzero(np.diff(ring, prepend=-1))  # the uppermost corner of each ring
    owner = index[turns[first]]

    polygons = shapely.polygons(shapely.linearrings(corners.astype(np.float64), indices=ring))
    simple = np.bincount(owner, minlength=len(numbers)) == 1
    simple[owner[ring_of[shared[ring_of[shared] == ring_of[shared + 1]]]]] = False
    found = np.empty(len(numbers), object)
    found[owner[simple[owner]]] = polygons[simple[owner]]
    rings = np.split(corners, first[1:])
    for own in np.flatnonzero(~simple):
        found[own] = _assemble([rings[one] for one in np.flatnonzero(owner == own)])
    return numbers, found


@compiled
def _follow(after):
    """The edges in the order in which each one follows another, and the number of the ring of each: both (n,) int64."""
    order, ring = np.empty_like(after), np.empty_like(after)
    seen = np.zeros(len(after), np.bool_)
    place, rings = 0, 0
    for begin in range(len(after)):
        if seen[begin]:
            continue
        edge = begin
        while not seen[edge]:
            seen[edge] = True
            order[place], ring[place] = edge, rings
            place += 1
            edge = after[edge]
        rings += 1
    return order, ring


def _assemble(rings: list[np.ndarray]):
    """Polygon or MultiPolygon of all rings of a cell: outlines (clockwise) and holes, which may touch at corners."""
    from shapely import MultiPolygon, Polygon

    simple = [part for ring in rings for part in _split(ring.tolist())]
    shells = sorted((Polygon(part) for part in simple if _clockwise(part)), key=lambda shell: shell.area)
    holes: list[list] = [[] for _ in shells]
    for part in simple:
        if not _clockwise(part):
            hole = Polygon(part)
            holes[next(n for n, shell in enumerate(shells) if shell.covers(hole))].append(part)
    polygons = [Polygon(shell.exterior, inner) for shell, inner in zip(shells, holes)]
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)


def _split(corners: list[list[int]]) -> Iterator[list[list[int]]]:
    """Rings without a corner that comes twice, of one that has such corners."""
    path: list[list[int]] = []
    for corner in corners:
        if corner in path:
            begin = path.index(corner)
            yield path[begin:]
            del path[begin:]
        path.append(corner)
    yield path


def _clockwise(ring: list[list[int]]) -> bool:
    """Whether a ring has its inside on the right, y downwards."""
    x, y = np.array(ring).T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) > 0


def rings_of(polygon) -> list[np.ndarray]:
    """All rings of a polygon, outlines before their holes: (n, 2) int32, x and y, without the repeated end."""
    import shapely

    rings = []
    for part in shapely.get_parts(polygon):
        rings += [shapely.get_coordinates(ring)[:-1].astype(np.int32) for ring in (part.exterior, *part.interiors)]
    return rings


def largest_ring(polygon) -> np.ndarray:
    """The outer outline of a polygon, or of its largest part: (n, 2) int32, x and y, without the repeated end."""
    import shapely

    part = max(shapely.get_parts(polygon), key=lambda one: one.area)
    return shapely.get_coordinates(part.exterior)[:-1].astype(np.int32)


@dataclass
class PolygonStore:
    """Polygons in an unnamed file, to be read in the order of the cells' numbers, any number of times.

    place : (cells + 1, 2) int64, start and length of each cell's polygon in the file
    """

    file: BinaryIO
    place: np.ndarray

    def __len__(self) -> int:
        return len(self.place) - 1

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batches of numbers and polygons, as `trace` gives them."""
        import shapely

        for first in range(1, len(self.place), BATCH):
            numbers = np.arange(first, min(first + BATCH, len(self.place)))
            yield numbers, shapely.from_wkb([self._read(*place) for place in self.place[numbers].tolist()])

    def _read(self, start: int, length: int) -> bytes:
        self.file.seek(start)
        return self.file.read(length)


@contextmanager
def stored_polygons(labels: LabelRows, extents: Extents, folder: Path) -> Iterator[PolygonStore]:
    """The polygons of all cells, in an unnamed file in `folder` as long as the context lasts."""
    import shapely

    with tempfile.TemporaryFile(dir=folder) as file:
        place, end = np.zeros((labels.cells + 1, 2), np.int64), 0
        for numbers, polygons in trace(labels, extents):
            packed = shapely.to_wkb(polygons).tolist()
            lengths = np.array([len(one) for one in packed])
            place[numbers] = np.stack([end + np.cumsum(lengths) - lengths, lengths], axis=1)
            end += int(lengths.sum())
            file.write(b"".join(packed))
        yield PolygonStore(file, place)
