"""inference/turned.py: maps of a window upright and turned by half a circle, put together."""

import numpy as np
import pytest

from inference.kinds import KINDS
from inference.segmenter import Segmenter
from inference.turned import SeenTwice
from models.config import Config


class Teacher:
    """A network that knows the labels of windows, which it tells by their first pixels, and errs in the lower half."""

    config, batch, overlaps = Config(diameter=16.0), 1, False

    def __init__(self, kind, labels):
        self.kind, self.labels, self.seen = kind, labels, []

    def __call__(self, windows):
        self.seen.append(windows)
        turned = bool(windows[0, 0, 0, 0])
        first, second = KINDS[self.kind].targets(
            np.ascontiguousarray(self.labels[::-1, ::-1] if turned else self.labels)
        )
        first[:, first.shape[1] // 2 :] += 0.5
        return first[None], second[None]


@pytest.mark.parametrize("kind", KINDS)
def test_both_maps_tell_the_same_cells(kind, blobs):
    """Places and directions are turned back, and an error that stays below is halved everywhere."""
    labels = blobs(0, (64, 96))
    windows = np.zeros((1, 64, 96, 3), np.uint8)
    windows[:, -1, -1] = 1  # so that the turned window begins with it
    teacher = Teacher(kind, labels)
    first, second = SeenTwice(teacher)(windows)
    wanted, directions = KINDS[kind].targets(labels)
    np.testing.assert_allclose(first[0], wanted + 0.25, atol=0.01)
    assert np.abs(second[0] - directions)[:, wanted[0] > 0.5].mean() < 0.05 * np.abs(directions).max()
    assert sorted(int(seen[0, 0, 0, 0]) for seen in teacher.seen) == [0, 1]


def test_rays_count_by_the_probability():
    """What is said where no cell is seen counts for nothing; nothing at all does no harm."""
    prob, rays = np.float32([0.6, 0.0, 0.3, 0.0]).reshape(1, 1, 1, 4), np.full((1, 4, 1, 4), 10, np.float32)
    other, opposite = np.float32([0.0, 0.6, 0.1, 0.0]).reshape(1, 1, 1, 4), np.full((1, 4, 1, 4), 2, np.float32)
    probability, distances = KINDS["stardist"].mean_with_turned((prob, rays), (other, opposite))
    np.testing.assert_allclose(probability[0, 0, 0], [0.3, 0.3, 0.2, 0.0])
    np.testing.assert_allclose(distances[0, 0, 0], [10, 2, 8, 2])


@pytest.mark.parametrize("kind, expected", [("stardist", [3, 4, 1, 2]), ("hover", [-1, -2])])
def test_directions_of_a_turned_window(kind, expected):
    """A ray to the right is one to the left there, and what points down points up."""
    nothing, directions = np.zeros((1, 1, 1, 1), np.float32), np.arange(1, len(expected) + 1, dtype=np.float32)
    maps = nothing, np.zeros((1, len(expected), 1, 1), np.float32)
    seen = nothing + (kind == "stardist"), directions.reshape(1, -1, 1, 1)
    _, mean = KINDS[kind].mean_with_turned(maps, seen)
    np.testing.assert_allclose(mean.ravel() * (1 if kind == "stardist" else 2), expected)


def test_labels_are_made_of_both_unless_quickly():
    network = Teacher("stardist", np.zeros((64, 64), np.int32))
    assert isinstance(Segmenter(None, {0: network}, "cpu").labelling(network), SeenTwice)
    assert Segmenter(None, {0: network}, "cpu", quick=True).labelling(network) is network
