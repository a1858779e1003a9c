"""Pixels in a file, with shape, dtype and slicing, of which only what is asked for is read."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from inference.reading.picture import ImageError

BAND_PIXELS = 2**25  # of which every n-th one is kept, and no more are in memory


@dataclass(frozen=True)
class StoreSettings:
    """What is read whole. The pixels do not depend on these."""

    whole_bytes: int = 2**28  # decoded; a larger picture is read region by region where its format allows
    chunk_bytes: int = 2**28  # decoded; a file with a larger strip or tile cannot be, and is read whole

    def fits_in_memory(self, decoded_bytes: int) -> bool:
        """Whether a picture of so many bytes is read whole, not region by region."""
        return decoded_bytes <= self.whole_bytes


STORE_SETTINGS = StoreSettings()


@dataclass(frozen=True)
class Deferred:
    """Pixels that are read whole when the first of them are asked for.

    load : gives the array
    keep : whether it is kept for the next planes
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]
    keep: bool = True

    @cached_property
    def _array(self) -> np.ndarray:
        return self.load()

    def __getitem__(self, region: tuple) -> np.ndarray:
        return (self._array if self.keep else self.load())[region]


@dataclass(frozen=True)
class Chunks:
    """A Zarr array whose file is named where a part of it cannot be read."""

    path: Path
    array: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    def __getitem__(self, region: tuple) -> np.ndarray:
        try:
            return self.array[region]
        except MemoryError:
            raise
        except Exception as error:  # of the codecs, which raise many kinds
            raise ImageError(
                f"{self.path.name}: a part of the image is damaged ({error}); copy it again from its source"
            ) from None


@dataclass(frozen=True)
class Mapped:
    """Uncompressed pixels in one piece of a file.

    map : maps the file, anew for each region: pages once read would stay in memory
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    map: Callable[[], np.ndarray]

    def __getitem__(self, region: tuple) -> np.ndarray:
        return np.array(self.map()[region])


@dataclass(frozen=True)
class Planes:
    """Pixels that a library reads a plane, or a part of one, at a time.

    shape : of all axes; the last ones are rows and columns, and with `samples` also the samples of a colour
    read : from the entries of the axes before, and slices of rows and columns with step 1, to pixels (h, w) or (h, w,
    S)
    samples : whether the last axis is that of samples
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[tuple[int, ...], slice, slice], np.ndarray]
    samples: bool = False

    def __getitem__(self, region: tuple) -> np.ndarray:
        last = 3 if self.samples else 2
        before, (rows, columns) = region[:-last], region[len(self.shape) - last :][:2]
        entries = [range(n)[part] if isinstance(part, slice) else part for part, n in zip(before, self.shape)]
        outer = [entry for entry in entries if isinstance(entry, range)]
        y, x = (slice(*part.indices(n)) for part, n in zip((rows, columns), self.shape[-last:]))
        planes = []
        for chosen in np.ndindex(*map(len, outer)):
            numbers = iter(chosen)
            place = tuple(entry[next(numbers)] if isinstance(entry, range) else entry for entry in entries)
            planes.append(self._some_of(place, y, x))
        stacked = np.stack(planes).reshape(*map(len, outer), *planes[0].shape)
        return stacked[..., region[-1]] if self.samples else stacked

    def _some_of(self, place: tuple[int, ...], y: slice, x: slice) -> np.ndarray:
        """Every n-th pixel of a plane, of which no more than BAND_PIXELS are in memory, so far as n allows."""
        columns = slice(x.start, x.stop)
        rows = max(1, BAND_PIXELS // max(1, x.stop - x.start) // y.step) * y.step
        tops = range(y.start, y.stop, rows) if y.step > 1 else ()
        if not tops:
            return self.read(place, slice(y.start, y.stop), columns)[:: y.step, :: x.step]
        parts = (slice(top, min(top + rows, y.stop)) for top in tops)
        return np.concatenate([self.read(place, part, columns)[:: y.step, :: x.step] for part in parts])
