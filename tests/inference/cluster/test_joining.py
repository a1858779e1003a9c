"""Parts with names of their own become one label image with the numbers 1..n."""

import numpy as np
import pytest
from parts import put_together

from inference.cluster.joining import Border, Part, encode, join
from inference.cluster.splitting import strips_of
from inference.decoding.numbering import Numbering
from inference.outputs.label_rows import Strips
from inference.outputs.label_tiff import compressed
from inference.tiles import Tally

DTYPE = np.dtype("<u2")


def joined(labels, cuts, keep=lambda crossing: crossing):
    """The labels cut into parts below these rows, and put together."""
    edges = [0, *cuts, len(labels)]
    values = np.linspace(0, 1, labels.max(), dtype=np.float32)
    parts = []
    for top, bottom in zip(edges, edges[1:]):
        names = np.unique(labels[top:bottom])
        names = names[names > 0]
        own = np.searchsorted(names, labels[top:bottom]).astype(np.int32) + 1
        own[labels[top:bottom] == 0] = 0
        others = np.concatenate([labels[:top], labels[bottom:]])
        parts.append(Part.of(own, names.astype(np.int64) * 7, values[names - 1], keep(np.isin(names, others))))
    return put_together(parts)


def at_once(labels):
    tally = Tally()
    number = Numbering(tally)
    number.learn(np.linspace(0, 1, labels.max(), dtype=np.float32))
    return number(labels.copy()), np.concatenate(tally.probabilities)


@pytest.mark.parametrize("cuts", [(40,), (10, 11, 12, 50), range(1, 96), (0, 30, 30)])
@pytest.mark.parametrize("keep", [lambda crossing: crossing, np.ones_like], ids=["crossing", "all"])
def test_parts_are_numbered_as_the_whole(blobs, cuts, keep):
    """Also where more cells than need be are told to the others."""
    labels = blobs(5)
    rows, probabilities = joined(labels, cuts, keep)
    expected, of_each = at_once(labels)
    assert np.array_equal(rows, expected)
    assert np.array_equal(probabilities, of_each)


def test_a_cell_that_other_parts_are_not_told_of_is_another_one(blobs):
    rows, _ = joined(blobs(5), (40,), np.zeros_like)
    assert rows.max() > at_once(blobs(5))[0].max()


def test_numbers_of_parts_without_cells():
    nothing = Border(0, np.zeros(0, np.int32), np.zeros(0, np.int64))
    one = Border(2, np.array([2], np.int32), np.array([5]))
    numbers = join([nothing, one, nothing, one])
    assert [n.before for n in numbers] == [0, 0, 2, 2]
    assert numbers[1].table(2).tolist() == [0, 1, 2]
    assert numbers[3].table(2).tolist() == [0, 3, 2]


@pytest.mark.parametrize("height", [1, 7, 40, 96])
def test_strips_of_parts_are_those_of_the_whole(blobs, height):
    """Strips begin anywhere in a part, and may reach over several."""
    labels, _ = at_once(blobs(5))
    edges = [0, 40, 43, 44, 96]
    places = list(zip(edges, edges[1:]))
    names = [np.unique(labels[top:bottom], return_inverse=True) for top, bottom in places]
    parts = []
    for (top, bottom), (found, own) in zip(places, names):
        own = own.reshape(bottom - top, -1).astype(np.int32) + int(found[0] > 0)
        found = found[found > 0]
        parts.append(Part.of(own, found.astype(np.int64), np.zeros(len(found), np.float32), np.ones(len(found), bool)))
    together = list(zip(parts, join([part.border for part in parts]), places))
    strips = [
        s
        for rows in strips_of(places, height)
        for s in (encode(rows, height, DTYPE, together) if rows[1] > rows[0] else [])
    ]
    expected = [compressed(labels[top : top + height], DTYPE) for top in range(0, 96, height)]
    assert strips == expected
    read = np.concatenate(list(Strips(DTYPE, height, strips).read(labels.shape[1])))
    assert np.array_equal(read, labels)
    assert read.dtype == np.int32
