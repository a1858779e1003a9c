"""training.learning.loop: which crops a step has, how many lie ready, who makes them; when a network is kept."""

import multiprocessing
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from training.learning.distributed import Team
from training.learning.loop import StepSampler, default_workers, make_loader, prefetched, run_validation, working
from training.learning.segmenter_trainer import SegmenterTrainer


@pytest.mark.parametrize("size", (1, 2, 4))
def test_crops_of_all_processes_are_those_of_one(size):
    streams = [iter(StepSampler(5, 8, rank, size)) for rank in range(size)]
    for step in (5, 6, 7):
        assert [i for stream in streams for i in next(stream)] == list(range(step * 8, step * 8 + 8))


def test_batch_that_cannot_be_dealt_out():
    with pytest.raises(ValueError, match="multiple of the number of processes, 3, got 8"):
        StepSampler(0, 8, 0, 3)


@pytest.mark.parametrize(
    "kilobytes, batch, workers, expected",
    [
        (1, 8, 1, 16),  # never more than 16
        (2300, 16, 1, 7),  # 256 MiB hold seven such batches
        (2300, 16, 8, 2),  # each worker has its share, but at least 2
    ],
)
def test_bytes_decide_how_many_batches_lie_ready(kilobytes, batch, workers, expected):
    crop = {
        "image": torch.zeros(kilobytes * 512, dtype=torch.uint8),
        "dist": torch.zeros(kilobytes * 256, dtype=torch.float16),
    }
    assert prefetched(crop, batch, workers) == expected


def test_default_workers(monkeypatch):
    """One beside the network on a CPU; a GPU leaves the cores free."""
    assert default_workers(torch.device("cpu")) == 1
    for cores, expected in ((1, 1), (8, 7), (64, 16)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, n=cores: range(n))
        assert default_workers(torch.device("cuda")) == expected


def test_the_first_crop_is_made_before_there_are_workers():
    """So that what numba compiles for it is compiled once, and the processes that are forked later have it."""

    class Asked(list):
        def __getitem__(self, number):
            self.append(number)
            return {"image": torch.zeros(4, dtype=torch.uint8)}

    data = Asked()
    make_loader(data, SimpleNamespace(batch=8, workers=2), Team(torch.device("cpu")), 5)
    assert list(data) == [40]


class Crops:
    """Ones of four bytes, without end."""

    def __getitem__(self, number):
        return {"image": torch.ones(4, dtype=torch.uint8)}


@pytest.mark.parametrize("workers", [0, 1])
def test_workers_end_with_the_block_though_an_error_holds_the_iterator(workers):
    loader = make_loader(Crops(), SimpleNamespace(batch=2, workers=workers), Team(torch.device("cpu")), 0)
    others = set(multiprocessing.active_children())  # Dask's, in other tests
    with pytest.raises(KeyError) as held, working(loader) as batches:
        assert next(batches)["image"].shape == (2, 4)
        assert len(set(multiprocessing.active_children()) - others) == workers
        raise KeyError(batches)
    assert held.value.args == (batches,)
    assert not set(multiprocessing.active_children()) - others


ERROR = """
import torch
from types import SimpleNamespace
from training.learning.distributed import Team
from training.learning.loop import make_loader, working
class Crops:
    def __getitem__(self, number):
        return {"image": torch.ones(4, dtype=torch.uint8)}
def train():
    loader = make_loader(Crops(), SimpleNamespace(batch=2, workers=1), Team(torch.device("cpu")), 0)
    with working(loader) as batches:
        next(batches)
        raise KeyError("a mistake")
train()
"""


def test_a_program_that_an_error_ends_does_not_wait_for_its_workers():
    """They ignore the signal by which Python ends processes that are left."""
    run = subprocess.run(
        [sys.executable, "-c", ERROR], cwd=Path(__file__).parents[3], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 1
    assert "a mistake" in run.stderr


def test_without_validation_images_the_next_network_is_kept_as_late_as_with_them():
    """After ten minutes the network is written, and at the next step not again."""
    written = []
    trainer = SimpleNamespace(
        settings=SimpleNamespace(validate_steps=None, validate_every=10.0),
        team=SimpleNamespace(leads=True),
        SHARED_VALIDATION=True,
        average=None,
        networks=lambda _: ["hover"],
        write=written.append,
        step=7,
        seconds=601.0,
        validated=(-1, 0.0),
    )
    assert SegmenterTrainer.validation_is_due(trainer)
    assert run_validation(trainer, [], None)
    trainer.step, trainer.seconds = 8, 602.0
    assert not SegmenterTrainer.validation_is_due(trainer)
    assert written == ["hover"]
