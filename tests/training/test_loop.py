"""training.loop: which crops a step has, how many lie ready, who makes them."""

import pytest

from training.loop import StepSampler


@pytest.mark.parametrize("size", (1, 2, 4))
def test_crops_of_all_processes_are_those_of_one(size):
    streams = [iter(StepSampler(5, 8, rank, size)) for rank in range(size)]
    for step in (5, 6, 7):
        assert [i for stream in streams for i in next(stream)] == list(range(step * 8, step * 8 + 8))


def test_batch_that_cannot_be_dealt_out():
    with pytest.raises(ValueError, match="multiple of the number of processes, 3, got 8"):
        StepSampler(0, 8, 0, 3)
