"""Memory that an image takes at least, against what is left."""

from dataclasses import replace

import numpy as np
import pytest

from inference.limits import LIMITS
from inference.reading import ImageError, Picture
from inference.running import memory_need
from inference.running.memory_need import ROOM, check_memory

PICTURE = Picture(np.zeros((1000, 2000, 3), np.uint8), "YXS")


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        (LIMITS, ROOM + 3 * 2_000_000 + 4 * 2_000_000),
        (replace(LIMITS, labels_in_memory=1), ROOM + 3 * 2_000_000),
        (replace(LIMITS, labels_in_memory=1, whole_pixels=1), ROOM),
    ],
)
def test_enough_and_too_little(monkeypatch, limits, needed):
    monkeypatch.setattr(memory_need, "available_memory", lambda: needed)
    check_memory("a.tif", PICTURE, limits)
    monkeypatch.setattr(memory_need, "available_memory", lambda: needed - 1)
    with pytest.raises(ImageError, match="a.tif: segmenting 2000x1000 pixels takes"):
        check_memory("a.tif", PICTURE, limits)


def test_not_told(monkeypatch):
    monkeypatch.setattr(memory_need, "available_memory", lambda: None)
    check_memory("a.tif", PICTURE, LIMITS)
