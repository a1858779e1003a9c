"""A picture in a store with any order of axes, put together from its planes and channels as regions of it are asked
for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

# Percentiles that become dark and full in a merged channel: its brightest spots matter, specks do not.
MERGED_LIMITS = (1, 99.9)
SAMPLE_SIDE = 1024  # rows and columns that the percentiles of a merged channel are taken from
MERGED = np.dtype(np.uint16)


@dataclass(frozen=True)
class Regions:
    """A picture as an array of shape (H, W) or (H, W, C) that is read region by region.

    store : numpy or Zarr array, or anything else with shape, dtype and slicing
    y, x : axes of the store
    channel : axis of the store, or None
    channels : of each channel of the picture the entries of the channel axis, several of which are merged; () for all
    of them
    planes : entry of a further axis, or "max" or "mean" over it; an axis that is not named has its first entry taken
    convert : from stored (h, w) or (h, w, S) pixels to colours, or None
    converted : number of channels and dtype that `convert` gives
    inverted : 0 is white
    absent : bool, of the first axes, planes that are not there, which projections leave out; None where all are
    """

    store: Any
    y: int
    x: int
    channel: int | None = None
    channels: tuple[tuple[int, ...], ...] = ()
    planes: tuple[tuple[int, int | str], ...] = ()
    convert: Callable[[np.ndarray], np.ndarray] | None = None
    converted: tuple[int, np.dtype] | None = None
    inverted: bool = False
    absent: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        count = len(self._groups)
        return (self.store.shape[self.y], self.store.shape[self.x], *((count,) if count > 1 else ()))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        if any(len(group) > 1 for group in self._groups):
            return MERGED
        return self._stored_dtype

    @property
    def _stored_dtype(self) -> np.dtype:
        dtype = np.dtype(self.store.dtype if self.converted is None else self.converted[1]).newbyteorder("=")
        return np.dtype(np.uint8) if dtype.kind == "b" else dtype

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    @property
    def _groups(self) -> tuple[tuple[int, ...], ...]:
        if self.channels:
            return self.channels
        count = self.converted[0] if self.converted else 1 if self.channel is None else self.store.shape[self.channel]
        return tuple((i,) for i in range(count))

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        """The region [rows, columns] as a new array of shape (h, w) or (h, w, C)."""
        groups = self._groups
        if self.dtype == self._stored_dtype and all(len(group) == 1 for group in groups):
            block = self._read(region, tuple(entry for (entry,) in groups))
        else:
            block = np.stack([self._merge(region, group) for group in groups], axis=-1)
        if block.ndim == 3 and len(groups) == 1:
            block = block[..., 0]
        return np.ascontiguousarray(block, self.dtype)

    def _merge(self, region: tuple[slice, slice], group: tuple[int, ...]) -> np.ndarray:
        """Mean of some channels, each stretched to the whole range of uint16, so that the brightest one does not
        outweigh the others."""
        total = np.zeros((), np.float32)
        for entry in group:
            low, high = self._merged_limits[entry]
            total = total + np.clip((finite(self._read(region, (entry,))[..., 0]) - low) / max(high - low, 1e-12), 0, 1)
        return np.rint(total / len(group) * np.iinfo(MERGED).max).astype(MERGED)

    @cached_property
    def _merged_limits(self) -> dict[int, tuple[float, float]]:
        y, x = (slice(None, None, max(1, n // SAMPLE_SIDE)) for n in self.shape[:2])
        limits = {}
        for entry in {entry for group in self.channels for entry in group}:
            low, high = np.percentile(finite(self._read((y, x), (entry,))), MERGED_LIMITS).tolist()
            limits[entry] = low, high
        return limits

    def _read(self, region: tuple[slice, slice], entries: tuple[int, ...]) -> np.ndarray:
        """Some channels of a region: (h, w, entries), or (h, w) of a store without channels."""
        if self.absent is not None and self.convert is None and len(entries) > 1:  # each channel has planes of its own
            return np.concatenate([self._read(region, (entry,)) for entry in entries], axis=-1)
        place: list[int | slice] = [0] * len(self.store.shape)
        place[self.y], place[self.x] = region
        order = [self.y, self.x]
        if self.channel is not None:
            first, last = (0, self.store.shape[self.channel] - 1) if self.convert else (min(entries), max(entries))
            place[self.channel] = slice(first, last + 1)
            order.append(self.channel)
        block = self._project(place, order, [(axis, how) for axis, how in self.planes if isinstance(how, str)])
        if self.convert is not None:
            return block[..., list(entries)]
        if self.channel is None or entries == tuple(range(first, last + 1)):
            return block
        return block[..., [entry - first for entry in entries]]

    def _project(self, place: list, order: list[int], projected: list[tuple[int, str]]) -> np.ndarray:
        """The place in the store, its axes in this order, and further ones to be projected: colours, not the numbers
        that stand for them. Holds two planes at a time and none of a file that is read by regions."""
        for axis, how in self.planes:
            if not isinstance(how, str):
                place[axis] = how
        if not projected:
            block = np.asarray(self.store[tuple(place)])
            block = np.moveaxis(block, [sorted(order).index(axis) for axis in order], range(len(order)))
            if self.convert is not None:
                return self.convert(block)
            return invert(block) if self.inverted else block
        (axis, how), *rest = projected
        places = [[i if a == axis else p for a, p in enumerate(place)] for i in range(self.store.shape[axis])]
        there = [one for one in places if not self._is_absent(one, rest)] or places
        return reduce_planes((self._project(one, order, rest) for one in there), len(there), how)

    def _is_absent(self, place: list, projected: list[tuple[int, str]]) -> bool:
        """Whether nothing of a place is there, wherever it is along axes that are projected."""
        if self.absent is None:
            return False
        index = [slice(None) if axis in dict(projected) else entry for axis, entry in enumerate(place)]
        return bool(self.absent[tuple(index[: self.absent.ndim])].all())


def finite(plane: np.ndarray) -> np.ndarray:
    """Pixels as float32, 0 where they are no number or infinite."""
    return np.nan_to_num(plane.astype(np.float32, copy=False), posinf=0, neginf=0)


def reduce_planes(planes: Iterator[np.ndarray], count: int, how: str) -> np.ndarray:
    """Maximum or mean of `count` planes, which are taken one by one; of their dtype, means of integers are rounded.

    What is no number in a plane does not count.
    """
    first = next(planes)
    if how == "max":
        total = first.copy()
        for plane in planes:
            np.fmax(total, plane, out=total)
        return total
    if first.dtype.kind in "iub":
        total = sum(planes, first.astype(np.float64))
        return np.rint(total / count).astype(first.dtype)
    total, known = np.zeros(first.shape), np.zeros(first.shape)
    for plane in chain([first], planes):
        number = ~np.isnan(plane)
        np.add(total, plane, out=total, where=number)
        known += number
    mean = np.divide(total, known, out=np.full(first.shape, np.nan), where=known > 0)
    return mean.astype(first.dtype)


def invert(block: np.ndarray) -> np.ndarray:
    """What is stored as 0 for white, with bright pixels high; two-level images carry this flag by habit and stay as
    they are."""
    if block.dtype.kind == "b":
        return block
    return ~block if block.dtype.kind in "ui" else -block
