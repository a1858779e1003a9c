"""models.likeness: on which side, and how far away."""

import numpy as np
import pytest

from models.likeness import Likeness

LIKENESS = Likeness((1.0, 2.0), (0.5, 2.0), (1.0, -1.0), 0.5, 3.0)


@pytest.mark.parametrize(
    "features, expected",
    [
        ((1.0, 2.0), True),  # the centre
        ((0.5, 2.0), False),  # on the plane's other side: -1 + 0.5
        ((1.0, 2.8), True),  # -0.4 + 0.5
        ((1.0, 3.2), False),  # -0.6 + 0.5
        ((2.4, 2.0), True),  # 2.8 of its spread away
        ((2.6, 2.0), False),  # 3.2
    ],
)
def test_on_their_side_and_near(features, expected):
    assert LIKENESS.holds(np.array(features, np.float32)) is expected


def test_what_is_not_known_is_not_like():
    assert not LIKENESS.holds(None)
