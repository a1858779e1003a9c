"""Hover's cells from parts are those of the whole image as one machine decodes it, to the bit and to the number."""

import numpy as np
import pytest
from parts import put_together
from streamed import SCALES, cut, grid_of

from inference import hover
from inference.cluster.hover_parts import HoverPlan
from inference.hover import Settings
from inference.image.scaling import Sizes
from inference.limits import Limits
from inference.tiles import Tally, spans
from tests.inference.test_hover import crowded_cells, hover_blocks, hover_maps_of


def in_parts(maps, sizes, limits):
    plan = HoverPlan(sizes, limits)
    tiles = list(cut(sizes.working, *maps))
    rows = spans(sizes.working[0])
    bands = []
    for number in range(len(plan.bands)):
        wanted = [rows[i] for i in plan.tile_rows(number)]
        bands.append(plan.decode(number, [t for t in tiles if t[0].y in wanted], Settings()))
    parts = [plan.part(number, [bands[i] for i in plan.bands_of(number)]) for number in range(len(bands))]
    return *put_together(parts), bands


def assert_as_streamed(maps, sizes, limits, fewest=2):
    tally = Tally()
    expected = np.concatenate(list(hover.rows(cut(sizes.working, *maps), Settings(), sizes, tally, limits)))
    labels, probabilities, bands = in_parts(maps, sizes, limits)
    assert np.array_equal(labels, expected)
    assert np.array_equal(probabilities, np.concatenate(tally.probabilities))
    assert (sum(band.cut for band in bands), sum(band.across for band in bands)) == (tally.cut_cells, tally.seam_cells)
    assert len(bands) >= fewest
    assert labels.max() == tally.cells > 0


@pytest.mark.parametrize("rows", [32, 75, 300])
@pytest.mark.parametrize("scale", SCALES)
def test_parts_are_the_whole(rows, scale):
    working = (1400, 130)
    sizes = Sizes(tuple(round(n / scale) for n in working), working)
    maps = hover_maps_of(crowded_cells(grid_of(working), 9, rows))
    assert_as_streamed(maps, sizes, Limits(decoded_pixels=1, fewest_decoded_rows=rows))


@pytest.mark.parametrize("top, bottom", [(100, 330), (20, 380)])
def test_a_cell_larger_than_a_band_and_its_margins(top, bottom):
    """It belongs to the band in which it begins, which grows until it has it whole, and lies in the rows of others."""
    working = (1600, 300)
    maps = hover_blocks(working, (top, bottom, 10, 60), (350, 390, 62, 70))
    limits = Limits(decoded_pixels=1, fewest_decoded_rows=50)
    assert_as_streamed(maps, Sizes(working, working), limits)
