"""Sizes, forms and brightness against scikit-image's regionprops."""

import numpy as np
import pytest
from skimage.measure import regionprops_table

from inference.outputs.extents import Extents
from inference.outputs.label_rows import LabelRows
from inference.outputs.shapes import measure_intensities, measure_shapes

SHAPES = (
    "area bbox centroid perimeter eccentricity solidity axis_major_length axis_minor_length orientation "
    "equivalent_diameter_area"
).split()


def numbered(labels):
    """The same cells without gaps in their numbers."""
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)


def in_bands(labels, height):
    return LabelRows(
        labels.shape,
        int(labels.max()),
        lambda: (labels[top : top + height] for top in range(0, len(labels), height)),
        band_pixels=height * labels.shape[1],
    )


def assert_same_shapes(found, labels):
    wanted = regionprops_table(labels, properties=SHAPES)
    for name, values in wanted.items():
        if name == "orientation":  # of an axis: half a turn is the same; round cells have none
            turned = np.abs(np.sin(found[name] - values)) < 1e-6
            assert (turned | (wanted["eccentricity"] < 1e-6)).all()
        else:
            np.testing.assert_allclose(found[name], values, rtol=1e-9, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("height", [1, 5, 1000])
def test_shapes_are_those_of_regionprops(blobs, seed, height):
    labels = numbered(blobs(seed))
    rows = in_bands(labels, height)
    assert_same_shapes(measure_shapes(rows, Extents.measure(rows)), labels)


def test_shapes_of_cells_with_holes_and_pieces(hard_labels):
    rows = LabelRows.of(hard_labels)
    assert_same_shapes(measure_shapes(rows, Extents.measure(rows)), hard_labels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (3, 3)])
def test_a_cell_that_fills_the_image(shape):
    labels = np.ones(shape, np.int32)
    rows = LabelRows.of(labels)
    found = measure_shapes(rows, Extents.measure(rows))
    assert_same_shapes(found, labels)
    assert found["touches_border"].tolist() == [1]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.uint32, np.float32, np.float64])
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_intensities_are_those_of_regionprops(blobs, dtype, channels):
    labels = numbered(blobs(3))
    shape = labels.shape if channels is None else (*labels.shape, channels)
    pixels = (np.random.default_rng(0).random(shape) * 200 - (50 if np.dtype(dtype).kind in "if" else 0)).astype(dtype)
    rows = in_bands(labels, 7)
    found = measure_intensities(rows, Extents.measure(rows), pixels, ())
    wanted = regionprops_table(labels, pixels, properties=("intensity_mean", "intensity_min", "intensity_max"))
    if channels == 1:
        wanted = {name.removesuffix("-0"): values for name, values in wanted.items()}
    assert sorted(found) == sorted(wanted)
    for name, values in wanted.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-6, err_msg=name)


def test_columns_are_named_after_the_channels():
    rows = LabelRows.of(np.ones((2, 2), np.int32))
    pixels = np.arange(8).reshape(2, 2, 2)
    found = measure_intensities(rows, Extents.measure(rows), pixels, ("DAPI", "WGA"))
    assert found["intensity_mean-DAPI"].tolist() == [3]
    assert found["intensity_max-WGA"].tolist() == [7]


@pytest.mark.parametrize(
    "names, ends",
    [(("488", "488"), ("-488-0", "-488-1")), (("DAPI", "", ""), ("-DAPI", "-1", "-2")), (("a", "b"), ("-a", "-b"))],
)
def test_every_channel_has_columns(names, ends):
    labels = LabelRows.of(np.ones((4, 5), np.int32))
    columns = measure_intensities(labels, Extents.measure(labels), np.zeros((4, 5, len(names))), names)
    assert list(columns) == [f"intensity_{kind}{end}" for end in ends for kind in ("mean", "min", "max")]


def test_pixels_that_are_no_numbers_count_as_0():
    rows = LabelRows.of(np.ones((1, 3), np.int32))
    found = measure_intensities(rows, Extents.measure(rows), np.array([[np.nan, np.inf, 3.0]]), ())
    assert [found[f"intensity_{n}"].tolist() for n in ("mean", "min", "max")] == [[1], [0], [3]]


def test_no_cells():
    rows = LabelRows.of(np.zeros((4, 5), np.int32))
    extents = Extents.measure(rows)
    columns = measure_shapes(rows, extents) | measure_intensities(rows, extents, np.zeros((4, 5)), ())
    assert {column.shape for column in columns.values()} == {(0,)}
