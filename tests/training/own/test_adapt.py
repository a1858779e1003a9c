"""training.own.adapt: how often own images are drawn, and how long fitting goes on."""

from pathlib import Path

import numpy as np
import pytest

from training.datasets import Sample, balanced_weights
from training.manifest import Record
from training.own import adapt
from training.own.adapt import in_time, own_factor


def records(source, count, split="train"):
    return [Record(Path(f"{source}{n}"), Path("l"), split, source) for n in range(count)]


@pytest.mark.parametrize("others", [{"x": 40}, {"x": 9, "y": 1, "z": 30}])
def test_own_images_are_half_of_the_crops(others):
    own, rest = records("own", 7), [r for s, n in others.items() for r in records(s, n)]
    samples = [Sample(r, np.zeros(0), np.zeros(0), 1.0, 0) for r in own + rest]
    weights = balanced_weights(samples, factors=dict(own_factor(own + records("own", 3, "val"), rest)))
    assert weights[:7].sum() == pytest.approx(0.5)


def test_without_others_there_is_no_factor():
    assert own_factor(records("own", 7), []) == []


def test_fitting_ends_in_time_and_has_at_least_one_image(monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(adapt.time, "monotonic", lambda: next(clock))
    assert list(in_time("abcdef", 35)) == ["a", "b", "c"]
    assert list(in_time("abcdef", 1)) == ["a"]
