"""Stores that read what is asked for: against NumPy's indexing, with a count of what was read."""

from pathlib import Path

import numpy as np
import pytest

from inference.reading import stores
from inference.reading.picture import ImageError
from inference.reading.stores import Chunks, Deferred, Mapped, Planes, StoreSettings

ARRAY = np.random.default_rng(0).integers(0, 255, (2, 3, 6, 8), np.uint8)
PLACES = [
    (0, slice(1, 3), slice(1, 5), slice(2, 8)),
    (1, 2, slice(None), slice(None)),
    (slice(None), slice(None), slice(0, 6, 2), slice(1, 99, 3)),
    (slice(1, 2), 0, slice(5, 6), slice(7, 8)),
]


def test_what_fits_in_memory():
    settings = StoreSettings(whole_bytes=1000)
    assert settings.fits_in_memory(1000)
    assert not settings.fits_in_memory(1001)


@pytest.mark.parametrize("keep, reads", [(True, 1), (False, 2)])
def test_deferred_pixels_are_read_when_the_first_are_asked_for(keep, reads):
    done = []
    store = Deferred(ARRAY.shape, ARRAY.dtype, lambda: done.append(1) or ARRAY, keep)
    assert not done
    for place in PLACES[:2]:
        assert np.array_equal(store[place], ARRAY[place])
    assert len(done) == reads


def test_a_file_is_mapped_anew_for_each_region_and_copied():
    done = []
    store = Mapped(ARRAY.shape, ARRAY.dtype, lambda: done.append(1) or ARRAY)
    for place in PLACES:
        found = store[place]
        assert np.array_equal(found, ARRAY[place])
        assert not np.shares_memory(found, ARRAY)
    assert len(done) == len(PLACES)


@pytest.mark.parametrize("place", PLACES)
def test_planes(place):
    """Only the planes, rows and columns that are asked for are read."""
    read = []

    def plane(entries, rows, columns):
        read.append((*entries, rows.start, rows.stop, columns.start, columns.stop))
        return ARRAY[(*entries, rows, columns)]

    found = Planes(ARRAY.shape, ARRAY.dtype, plane)[place]
    expected = ARRAY[place]
    assert found.shape == expected.shape
    assert np.array_equal(found, expected)
    assert len(read) == np.zeros(ARRAY.shape[:2])[place[:2]].size
    ends = [part.indices(n)[:2] for part, n in zip(place[2:], ARRAY.shape[2:])]
    assert {entry[2:] for entry in read} == {(*ends[0], *ends[1])}


def test_planes_with_samples():
    colours = np.moveaxis(ARRAY, 1, -1)  # (2, 6, 8, 3)
    store = Planes(
        colours.shape, colours.dtype, lambda entries, rows, columns: colours[(*entries, rows, columns)], True
    )
    for place in ((0, slice(1, 5), slice(2, 8), slice(0, 2)), (slice(None), slice(0, 6, 2), slice(None), slice(None))):
        assert np.array_equal(store[place], colours[place])


class Broken:
    shape, dtype = (4, 4), np.dtype(np.uint8)

    def __init__(self, error):
        self.error = error

    def __getitem__(self, region):
        raise self.error


def test_a_chunk_that_cannot_be_decoded_names_the_file():
    store = Chunks(Path("folder/a.tif"), Broken(RuntimeError("bad code")))
    assert (store.shape, store.dtype) == ((4, 4), np.uint8)
    with pytest.raises(ImageError, match=r"^a\.tif: a part of the image is damaged \(bad code\); copy it again"):
        store[:2, :2]


def test_too_little_memory_is_no_damage():
    with pytest.raises(MemoryError):
        Chunks(Path("a.tif"), Broken(MemoryError()))[:2, :2]


@pytest.mark.parametrize("step", [3, 10, 40])
def test_every_nth_row_of_a_plane_is_read_some_at_a_time(monkeypatch, step):
    monkeypatch.setattr(stores, "BAND_PIXELS", 900)
    plane, sizes = np.arange(100 * 37).reshape(100, 37), []

    def read(entries, rows, columns):
        sizes.append(plane[rows, columns].size)
        return plane[rows, columns]

    found = Planes(plane.shape, plane.dtype, read)[5::step, 2::4]
    assert np.array_equal(found, plane[5::step, 2::4])
    assert max(sizes) <= max(900, step * 37)
