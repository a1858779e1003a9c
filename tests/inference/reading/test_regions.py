"""Pictures that are read region by region, from stores with any order of axes: against NumPy's indexing."""

import numpy as np
import pytest

from inference.reading.regions import Regions, invert, reduce_planes

RNG = np.random.default_rng(0)
CYX = RNG.integers(0, 60_000, (4, 7, 9), np.uint16)
PART = (slice(2, 6), slice(1, 8, 3))


def assert_same(found, expected):
    """The whole, a part, and what is known without reading."""
    assert (found.shape, found.ndim, found.dtype, found.nbytes) == (
        expected.shape,
        expected.ndim,
        expected.dtype,
        expected.nbytes,
    )
    assert np.array_equal(found[:, :], expected)
    assert np.array_equal(found[PART], expected[PART])
    assert found[PART].flags.c_contiguous


def test_a_plane():
    assert_same(Regions(CYX[0], 0, 1), CYX[0])


def test_columns_before_rows():
    assert_same(Regions(CYX[0].T, 1, 0), CYX[0])


def test_big_endian_numbers_become_native():
    assert_same(Regions(CYX[0].astype(">u2"), 0, 1), CYX[0])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_channels_on_any_axis(axis):
    store = np.moveaxis(CYX, 0, axis)
    rest = [i for i in range(3) if i != axis]
    assert_same(Regions(store, *rest, channel=axis), np.moveaxis(CYX, 0, -1))


@pytest.mark.parametrize("chosen", [(2,), (3, 1), (1, 2, 3)])
def test_chosen_channels_in_their_order(chosen):
    expected = np.moveaxis(CYX[list(chosen)], 0, -1)
    groups = tuple((entry,) for entry in chosen)
    assert_same(Regions(CYX, 1, 2, 0, groups), expected if len(chosen) > 1 else expected[..., 0])


def test_other_axes_have_their_first_entry_taken_or_the_one_that_is_named():
    store = RNG.integers(0, 255, (3, 2, 7, 9), np.uint8)
    assert_same(Regions(store, 2, 3), store[0, 0])
    assert_same(Regions(store, 2, 3, planes=((0, 2), (1, 1))), store[2, 1])


def test_projections():
    """The mean of integers is rounded; one axis projected over the projection of another."""
    store = RNG.integers(0, 255, (3, 2, 7, 9), np.uint8)
    assert_same(Regions(store, 2, 3, planes=((0, "max"), (1, 1))), store[:, 1].max(axis=0))
    assert_same(Regions(store, 2, 3, planes=((0, "mean"),)), np.rint(store[:, 0].mean(axis=0)).astype(np.uint8))
    assert_same(Regions(store, 2, 3, planes=((0, "max"), (1, "max"))), store.max(axis=(0, 1)))


def test_a_conversion_sees_all_samples_and_its_channels_are_chosen():
    """Here each colour is the sum of the four samples, times 1, 2 and 3."""
    store = RNG.integers(0, 20, (7, 9, 4), np.uint8)
    total = store.sum(axis=-1, dtype=np.uint16)[..., None] * np.array([1, 2, 3], np.uint16)
    convert = {"convert": lambda block: block.sum(axis=-1, dtype=np.uint16)[..., None] * np.uint16([1, 2, 3])}
    converted = (3, np.dtype(np.uint16))
    assert_same(Regions(store, 0, 1, 2, converted=converted, **convert), total)
    assert_same(Regions(store, 0, 1, 2, ((2,),), converted=converted, **convert), total[..., 2])


@pytest.mark.parametrize("how, expected", [("max", [[30, 5, 8]]), ("mean", [[20, 5, 4]])])
def test_a_projection_is_one_of_colours_not_of_their_numbers(how, expected):
    """Of two planes with the first and the last colour of a table."""
    table = np.array([[30, 5, 0], [99, 99, 99], [10, 5, 8]], np.uint16)
    store = np.array([[[0]], [[2]]], np.uint8)
    colours = Regions(store, 1, 2, planes=((0, how),), convert=lambda block: table[block], converted=(3, table.dtype))
    assert colours[:, :].tolist() == [expected]


def test_merged_channels_are_stretched_and_averaged():
    """A dim and a bright one: each has half of the range, where the other one is dark."""
    left = np.arange(10) < 5
    store = (
        np.stack([np.where(left, 10, 60), np.where(left, 9_000, 1_000)])[:, None].repeat(8, axis=1).astype(np.uint16)
    )
    found = Regions(store, 1, 2, 0, ((0, 1),))
    assert (found.shape, found.dtype) == ((8, 10), np.uint16)
    assert np.unique(found[:, :]).tolist() == [32_768]
    assert found[2:4, 3:7].shape == (2, 4)


def test_a_merged_channel_beside_one_that_is_not():
    left = np.arange(10) < 5
    store = np.stack([np.where(left, 0, 100), np.where(left, 0, 300), np.where(left, 7, 9)])[:, None].repeat(8, axis=1)
    pixels = Regions(store.astype(np.uint8), 1, 2, 0, ((0, 1), (2,)))[:, :]
    assert pixels.shape == (8, 10, 2)
    assert np.array_equal(pixels[0, :, 0] > 30_000, ~left)
    assert np.array_equal(pixels[0, :, 1] > 30_000, ~left), "all of them have the same range"


def test_white_is_zero():
    assert_same(Regions(CYX[0], 0, 1, inverted=True), 65_535 - CYX[0])
    assert invert(np.array([1.5, -2], np.float32)).tolist() == [-1.5, 2]
    assert invert(np.array([True, False])).tolist() == [True, False], "two levels stay as they are"


def test_two_levels_are_bytes():
    levels = CYX[0] > 30_000
    assert_same(Regions(levels, 0, 1), levels.astype(np.uint8))


@pytest.mark.parametrize("how, expected", [("max", [5, 7, np.nan]), ("mean", [4, 7, np.nan])])
def test_what_is_no_number_in_a_plane_does_not_count(how, expected):
    planes = np.array([[3, np.nan, np.nan], [5, 7, np.nan]], np.float32)
    np.testing.assert_array_equal(reduce_planes(iter(planes), 2, how), np.array(expected, np.float32))
