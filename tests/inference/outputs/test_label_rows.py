"""Label rows: read again and again, in regular bands, with other numbers."""

from dataclasses import replace

import numpy as np
import pytest
from bands import bands_of

from inference.outputs.label_rows import LabelRows, LabelStore

LABELS = np.arange(35, dtype=np.int32).reshape(7, 5)
HEIGHTS = [(7,), (1,), (3,), (2, 5), (1, 4, 2)]


@pytest.fixture(params=HEIGHTS, ids=str)
def rows(request, tmp_path):
    with LabelStore(tmp_path) as store:
        store.add([LABELS[:3] + 7], (3, 5))
        rows = store.add(bands_of(LABELS, request.param), LABELS.shape)
        store.add([LABELS[:3] + 9], (3, 5))
        yield rows


def test_stored_rows_can_be_read_twice_and_at_the_same_time(rows):
    assert rows.shape == (7, 5)
    assert rows.cells == 34
    for one, other in zip(rows, rows):
        assert np.array_equal(one, other)
    assert np.array_equal(rows.array(), LABELS)
    assert np.array_equal(rows.array(), LABELS)


def test_the_store_leaves_no_file(tmp_path):
    with LabelStore(tmp_path) as store:
        store.add([LABELS], LABELS.shape)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("margin", [0, 1, 2])
@pytest.mark.parametrize("height", [1, 2, 3, 7, 99])
def test_regular_bands_are_those_of_the_padded_image(rows, height, margin):
    padded = np.pad(LABELS, ((margin, margin), (0, 0)))
    bands = list(rows.regular(height, margin))
    assert [top for top, _ in bands] == list(range(0, 7, height))
    for top, band in bands:
        assert np.array_equal(band, padded[top : min(7, top + height) + 2 * margin])


@pytest.mark.parametrize("every", [1, 2, 3, 7, 50])
def test_thinned(rows, every):
    assert np.array_equal(rows.thinned(every), LABELS[::every, ::every])


def test_renumbered_twice(rows):
    numbers = np.zeros(35, np.int32)
    numbers[[3, 5, 34]] = 1, 2, 3
    once = rows.renumbered(numbers)
    twice = once.renumbered(np.array([0, 0, 1, 2], np.int32))
    assert once.cells == 3
    assert np.array_equal(once.array(), numbers[LABELS])
    assert twice.cells == 2
    assert np.array_equal(np.argwhere(twice.array()), [[1, 0], [6, 4]])


def test_bands_are_no_larger_than_asked_for():
    rows = replace(LabelRows.of(LABELS), band_pixels=10)
    assert [band.shape for band in rows] == [(2, 5), (2, 5), (2, 5), (1, 5)]


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_array_of_another_type(rows, dtype):
    assert rows.array(dtype).dtype == dtype
    assert np.array_equal(rows.array(dtype), LABELS)
