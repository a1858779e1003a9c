"""Rows of labels that were made in parts, each with names of its own: one number for each cell of the image."""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from inference.decoding.numbering import number_rows
from inference.outputs.label_rows import ZLIB_LEVEL
from inference.outputs.label_tiff import compressed

PACKED_ROWS_BYTES = 2**25  # of labels that are packed together


@dataclass(frozen=True)
class Border:
    """What other parts need to know of one.

    cells : number of names in it
    names : (n,) int32, of the cells that other parts may show too
    keys : (n,) int64, by which these know them
    """

    cells: int
    names: np.ndarray
    keys: np.ndarray


@dataclass(frozen=True)
class Part:
    """Rows of an image with names of cells: 1, 2, 3, ... in the order in which their pixels come.

    packed : the rows in order, each piece compressed, int32 of its shape
    probabilities : (cells,) float32
    """

    packed: tuple[tuple[bytes, tuple[int, int]], ...]
    probabilities: np.ndarray
    border: Border

    @classmethod
    def of(cls, rows: np.ndarray, keys: np.ndarray, probabilities: np.ndarray, crossing: np.ndarray) -> "Part":
        """Of rows with other names.

        Parameters
        ----------
        rows : (h, W) int32, contiguous; written over
        keys, probabilities, crossing : of the names 1, 2, 3, ...: the key, int64; the probability; and whether other
            parts may show the cell too
        """
        numbers = np.zeros(len(keys) + 1, np.int32)
        cells = number_rows(rows, numbers, 0)
        shown = np.flatnonzero(numbers[1:])
        shown = shown[np.argsort(numbers[1:][shown])]  # their numbers are 1, 2, 3, ...
        names = np.flatnonzero(crossing[shown]) + 1
        border = Border(cells, names.astype(np.int32), keys[shown[names - 1]])
        return cls(tuple(pack(rows)), probabilities[shown], border)

    def new(self, numbers: "Numbers") -> np.ndarray:
        """The probabilities of the cells that begin here, in the order of their numbers."""
        return self.probabilities[numbers.table(self.border.cells)[1:] > numbers.before]

    def rows(self, numbers: "Numbers", first: int, last: int) -> np.ndarray:
        """Some of the rows, [first, last), with the image's numbers: int32 (last - first, W)."""
        table, top, wanted = numbers.table(self.border.cells), 0, []
        for packed in self.packed:
            bottom = top + packed[1][0]
            if top < last and bottom > first:
                band = np.frombuffer(zlib.decompress(packed[0]), np.int32).reshape(packed[1])
                wanted.append(table[band[max(0, first - top) : last - top]])
            top = bottom
        return np.concatenate(wanted)


@dataclass(frozen=True)
class Numbers:
    """The numbers of a part's cells.

    before : number of cells that begin in parts above
    names, numbers : of the cells that do, and are shown in this part too
    """

    before: int
    names: np.ndarray
    numbers: np.ndarray

    def table(self, cells: int) -> np.ndarray:
        """(cells + 1,) int32, the number of each name."""
        new = np.ones(cells + 1, bool)
        new[0] = new[self.names] = False
        table = np.zeros(cells + 1, np.int32)
        table[new] = self.before + np.arange(1, np.count_nonzero(new) + 1)
        table[self.names] = self.numbers
        return table


def join(borders: Sequence[Border]) -> list[Numbers]:
    """The numbers of all parts' cells, from top to bottom: 1, 2, 3, ... as they come, row by row."""
    known: dict[int, int] = {}
    joined, before = [], 0
    for border in borders:
        seen = np.array([key in known for key in border.keys.tolist()], bool)
        old = Numbers(
            before, border.names[seen], np.array([known[key] for key in border.keys[seen].tolist()], np.int32)
        )
        table = old.table(border.cells)
        known |= zip(border.keys[~seen].tolist(), table[border.names[~seen]].tolist())
        before += border.cells - len(old.names)
        joined.append(old)
    return joined


def encode(
    rows: tuple[int, int],
    height: int,
    dtype: np.dtype,
    parts: Sequence[tuple[Part, Numbers, tuple[int, int]]],
) -> list[bytes]:
    """The strips of a label TIFF for some rows of an image.

    Parameters
    ----------
    rows : [top, bottom), of which the first is that of a strip
    height : rows of a strip
    parts : those that hold the rows, each one with its numbers and its own rows of the image
    """
    bands = [
        part.rows(numbers, max(0, rows[0] - top), min(rows[1], bottom) - top)
        for part, numbers, (top, bottom) in parts
        if bottom > rows[0] and top < rows[1]
    ]
    labels = np.concatenate(bands)
    return [compressed(labels[top : top + height], dtype) for top in range(0, len(labels), height)]


def pack(rows: np.ndarray) -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Rows (h, W) int32, compressed some at a time."""
    step = max(1, PACKED_ROWS_BYTES // (4 * rows.shape[1]))
    for top in range(0, len(rows), step):
        piece = np.ascontiguousarray(rows[top : top + step], np.int32)
        yield zlib.compress(piece.data, ZLIB_LEVEL), piece.shape
