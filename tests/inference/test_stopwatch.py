"""Seconds by stage, on a clock that is set by hand."""

import pytest

from inference import stopwatch
from inference.stopwatch import Stopwatch


@pytest.fixture
def now(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: clock[0])
    return clock


def test_a_stage_within_another_is_not_counted_twice(now):
    clock = Stopwatch()
    with clock("outer"):
        now[0] += 1
        with clock("inner"):
            now[0] += 2
        now[0] += 4
    assert clock.seconds == {"inner": 2, "outer": 5}


def test_stages_add_up(now):
    clock = Stopwatch()
    for _ in range(3):
        with clock("a"):
            now[0] += 1
    assert clock.seconds == {"a": 3}


def test_an_error_ends_a_stage(now):
    clock = Stopwatch()
    with pytest.raises(ValueError), clock("a"):
        now[0] += 1
        raise ValueError
    assert clock.seconds == {"a": 1}


def test_the_making_of_items_is_counted_not_their_use(now):
    def make():
        for n in range(2):
            now[0] += 1
            yield n

    clock = Stopwatch()
    for _ in clock.steps("make", make()):
        now[0] += 10
    assert clock.seconds == {"make": 2}


def test_a_timed_function(now):
    def work(n):
        now[0] += n
        return 2 * n

    clock = Stopwatch()
    assert [clock("work")(work)(n) for n in (3, 2)] == [6, 4]
    assert clock.seconds == {"work": 5}
