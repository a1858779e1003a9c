"""The label rows of an image, to be read any number of times: in memory, or compressed in an unnamed file."""

import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ZLIB_LEVEL = 1  # of 9: level 6 makes label images a fifth smaller and takes several times as long
BAND_PIXELS = 2**22  # looked at in one go


@dataclass(frozen=True)
class Strips:
    """Labels as a label TIFF has them: strips of some rows, each one compressed.

    dtype : of the labels
    rows : of each strip but the last one
    data : of each strip
    """

    dtype: np.dtype
    rows: int
    data: Sequence[bytes]

    def read(self, width: int) -> Iterator[np.ndarray]:
        """The labels from top to bottom, int32 of shape (n, width)."""
        step = max(1, BAND_PIXELS // (width * self.rows))
        for first in range(0, len(self.data), step):
            pixels = b"".join(map(zlib.decompress, self.data[first : first + step]))
            yield np.frombuffer(pixels, self.dtype).reshape(-1, width).astype(np.int32)


@dataclass(frozen=True)
class LabelRows:
    """The labels of an image as bands of rows: 0 is background, cells are 1..cells.

    shape : height and width in pixels
    cells : the largest number
    read : gives the bands from top to bottom, int32 of shape (n, W), anew at each call
    numbers : (old cells + 1,) int32, a new number for each one that `read` gives, or None
    strips : the same labels as a label TIFF may have them, or None
    band_pixels : that are looked at in one go
    """

    shape: tuple[int, int]
    cells: int
    read: Callable[[], Iterator[np.ndarray]]
    numbers: np.ndarray | None = None
    strips: Strips | None = None
    band_pixels: int = BAND_PIXELS

    @classmethod
    def of_strips(cls, strips: Strips, shape: tuple[int, int], cells: int) -> "LabelRows":
        """Of a label TIFF's strips."""
        return cls(shape, cells, lambda: strips.read(shape[1]), strips=strips)

    @classmethod
    def of(cls, labels: np.ndarray) -> "LabelRows":
        """A label image (H, W) int32 that is in memory."""
        return cls(labels.shape, int(labels.max(initial=0)), lambda: iter([labels]))

    def renumbered(self, numbers: np.ndarray) -> "LabelRows":
        """The same with other numbers.

        Parameters
        ----------
        numbers : (cells + 1,) int32, the new number of each cell and of the background
        """
        if self.numbers is not None:
            numbers = numbers[self.numbers]
        return replace(self, numbers=numbers.astype(np.int32), cells=int(numbers.max()), strips=None)

    def __iter__(self) -> Iterator[np.ndarray]:
        """The bands, of any height up to `band_pixels`, int32 (n, W)."""
        step = max(1, self.band_pixels // self.shape[1])
        for band in self.read():
            for top in range(0, len(band), step):
                part = band[top : top + step]
                yield part if self.numbers is None else self.numbers[part]

    def regular(self, height: int, margin: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Bands of one height (the last one may be smaller) and the first row of each.

        Parameters
        ----------
        margin : rows that are added above and below each band: those of its neighbours, 0 beyond the image
        """
        outside = np.zeros((margin, self.shape[1]), np.int32)
        waiting, top = [outside], 0
        for band in self:
            waiting.append(band)
            if sum(map(len, waiting)) < height + 2 * margin:
                continue
            block = np.concatenate(waiting)
            while len(block) >= height + 2 * margin:
                yield top, block[: height + 2 * margin]
                block, top = block[height:], top + height
            waiting = [block]
        block = np.concatenate([*waiting, outside])
        while len(block) > 2 * margin:
            yield top, block[: height + 2 * margin]
            block, top = block[height:], top + height

    def array(self, dtype: type | np.dtype = np.int32) -> np.ndarray:
        """All labels at once, (H, W)."""
        labels: np.ndarray = np.empty(self.shape, dtype)
        top = 0
        for band in self:
            labels[top : top + len(band)] = band
            top += len(band)
        return labels

    def thinned(self, every: int) -> np.ndarray:
        """Every n-th row and column, (ceil(H / n), ceil(W / n)) int32."""
        kept, top = [], 0
        for band in self:
            kept.append(band[-top % every :: every, ::every])
            top += len(band)
        return np.concatenate(kept)


class LabelStore:
    """Label rows that are too large for the memory, compressed in an unnamed file in `folder`. A context: it lasts as
    long.
    """

    def __init__(self, folder: Path):
        self._file = tempfile.TemporaryFile(dir=folder)
        self._end = 0

    def add(self, rows: Iterable[np.ndarray], shape: tuple[int, int]) -> LabelRows:
        """Put the rows of an image into the store.

        Parameters
        ----------
        rows : bands of label rows from top to bottom, int32 of shape (n, W), read once
        shape : height and width of all rows
        """
        bands, cells = [], 0
        for band in rows:
            packed = zlib.compress(np.ascontiguousarray(band, np.int32).data, ZLIB_LEVEL)
            self._file.seek(self._end)
            self._file.write(packed)
            bands.append((self._end, len(packed), band.shape))
            self._end += len(packed)
            cells = max(cells, int(band.max(initial=0)))

        def read() -> Iterator[np.ndarray]:
            for start, size, band in bands:
                self._file.seek(start)
                packed = self._file.read(size)
                # a copy, because compiled code is for arrays that can be written to
                yield np.frombuffer(zlib.decompress(packed), np.int32).reshape(band).copy()

        return LabelRows(shape, cells, read)

    def __enter__(self) -> "LabelStore":
        return self

    def __exit__(self, *error) -> None:
        self._file.close()
