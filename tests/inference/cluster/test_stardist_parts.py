"""StarDist's cells from parts are those of the whole image, to the bit and to the number."""

import math

import numpy as np
import pytest
from parts import put_together
from stars import disks
from streamed import SCALES, cut

from inference import stardist
from inference.cluster.stardist_parts import (
    StarBand,
    TooFew,
    decide_band,
    decide_seam,
    find_in_tiles,
    image_rows,
    paint_band,
    seams,
    split,
)
from inference.decoding.polygons import Candidates
from inference.image.scaling import Sizes
from inference.stardist import LONGEST_RAY, Settings, count_survivors
from inference.tiles import Tally, spans
from models.stardist import RAYS
from tests.inference.test_stardist import LOOKS, star_maps


def in_parts(prob, dist, sizes, rows_of_tiles):
    """Labels and tally, from bands of so many rows of tiles."""
    edges = [span.low for span in spans(sizes.working[0])][::rows_of_tiles]
    bands = list(zip(edges, [*edges[1:], sizes.working[0]]))
    tiles = list(cut(sizes.working, prob, dist))
    decided = [
        decide_band(
            find_in_tiles([t for t in tiles if top <= t[0].y.low < bottom], Settings()),
            Settings(),
            (top, bottom),
            sizes.working[0],
        )
        for top, bottom in bands
    ]
    groups = seams([band.tied for band in decided])
    between = [decide_seam(decided[first : last + 1], Settings()) for first, last in groups]
    cells = Candidates.concatenate([*(band.survivors for band in decided), *between], RAYS)
    parts = [paint_band(cells, rows, sizes, (-math.inf, math.inf)) for rows in image_rows(bands, sizes)]
    tally = Tally()
    for own in (*(band.survivors for band in decided), *between):
        count_survivors(own, own.boxes(), sizes, tally)
    labels, probabilities = put_together(parts)
    tally.probabilities = [probabilities]
    return labels, tally, decided


@pytest.mark.parametrize("rows_of_tiles", [1, 2])
@pytest.mark.parametrize("look", LOOKS)
def test_parts_are_the_whole(look, rows_of_tiles):
    """Streamed on one machine, and in parts of one row of tiles (where all is tied) or two."""
    working = (2400, 120)
    scale = SCALES[list(LOOKS).index(look)]
    sizes = Sizes(tuple(round(n / scale) for n in working), working)
    prob, dist = star_maps(working, 7, **LOOKS[look])
    tally = Tally()
    expected = np.concatenate(list(stardist.rows(cut(working, prob, dist), Settings(), sizes, tally)))
    labels, parts_tally, decided = in_parts(prob, dist, sizes, rows_of_tiles)
    assert np.array_equal(labels, expected)
    assert len(decided) > 2
    assert expected.max() > 10
    assert (parts_tally.seam_cells, parts_tally.cut_cells) == (tally.seam_cells, tally.cut_cells)
    assert np.array_equal(np.concatenate(parts_tally.probabilities), np.concatenate(tally.probabilities))


def test_most_is_decided_within_a_band():
    working = (2400, 120)
    _, _, decided = in_parts(*star_maps(working, 1), Sizes(working, working), 3)
    assert not any(band.tied for band in decided)
    assert len(decided) == 2
    assert all(len(band.survivors) > 5 for band in decided)


def test_split_at_a_line_that_no_box_crosses():
    """Radii of 10: boxes [90, 110], [105, 125], [140, 160]; the first depends on the band above, the last on that
    below."""
    undecided = disks([(100, 50), (115, 50), (150, 50)], [10, 10, 10])
    upper, lower, tied = split(undecided, 95, 155)
    assert (upper.tolist(), lower.tolist(), tied) == ([0, 1], [2], False)
    upper, lower, tied = split(undecided, 95, 120)
    assert len(upper) == 3, "the second reaches the band below"
    assert not len(lower)
    assert tied, "the second touches the first"
    assert split(undecided, -math.inf, 155)[1].tolist() == [0, 1, 2], "of the first band nothing depends on one above"
    upper, lower, tied = split(undecided, 95, math.inf)
    assert (upper.tolist(), lower.tolist(), tied) == ([0, 1], [2], False), (
        "of the last band nothing depends on one below"
    )


def test_seams_are_of_neighbours_and_longer_where_a_band_is_tied():
    assert seams([False]) == []
    assert seams([False] * 3) == [(0, 1), (1, 2)]
    assert seams([False, True, False, True, True, False]) == [(0, 2), (2, 5)]


def test_a_candidate_of_the_next_band_suppresses_one_of_this():
    """Two disks over one another on both sides of row 1000, the lower one more probable."""
    pair = disks([(990, 50), (1005, 50)], [20, 20], [0.6, 0.9])
    above = decide_band(pair[np.array([0])], Settings(), (0, 1000), 2000)
    below = decide_band(pair[np.array([1])], Settings(), (1000, 2000), 2000)
    assert not len(above.survivors)
    assert not len(below.survivors)
    assert decide_seam([above, below], Settings()).prob.tolist() == pytest.approx([0.9])


def test_a_band_that_needs_more_than_it_was_given_says_so():
    """A chain of polygons, each one lying over the next, that reaches beyond the known rows."""
    chain = disks([(y, 50) for y in range(300, 1500, 30)], [20] * 40, np.linspace(0.9, 0.6, 40))
    sizes = Sizes((1600, 100), (1600, 100))
    part = paint_band(chain, (1300, 1400), sizes, (-math.inf, math.inf))
    assert part.border.cells >= 4
    with pytest.raises(TooFew):
        paint_band(chain, (1300, 1400), sizes, (1000, 1600))


def test_a_band_without_cells():
    nothing = Candidates.concatenate([], RAYS)
    band = decide_band(nothing, Settings(), (384, 1152), 2000)
    assert isinstance(band, StarBand)
    assert not band.tied
    assert LONGEST_RAY == 256
    part = paint_band(nothing, (10, 20), Sizes((40, 30), (40, 30)), (-math.inf, math.inf))
    assert [shape for _, shape in part.packed] == [(10, 30)]
    assert not part.border.cells
