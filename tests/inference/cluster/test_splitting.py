"""Images that are split among workers, when something comes between."""

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
from skimage.data import coins

pytest.importorskip("distributed")

from inference.cluster.file import File
from inference.cluster.splitting import Split
from inference.cluster.tasks import Large
from inference.reading import ImageError
from inference.running.finding import Found


@pytest.fixture
def slide(image):
    """An image that is split with these options."""
    image("slide.tif", cv2.resize(coins(), (260, 1500)))
    return "--route", "0", "--diameter", "28", "--dask-split", "100000"


def split(client, timeout):
    """An image with this --timeout, of which nothing is asked for yet."""
    request = SimpleNamespace(timeout=timeout, seconds_between_lines=30.0)
    return Split(
        client, SimpleNamespace(number="0", request=request), Large(File(0, Found(Path("slide.tif")), Path()), 0)
    )


def test_a_task_that_raises_a_timeout_error_ends_the_wait(workers):
    """As a slow file server does; it is not the time that an image may take."""

    def fail():
        raise TimeoutError(110, "Connection timed out")

    failed = workers.submit(fail, pure=False)
    with pytest.raises(TimeoutError, match="Connection timed out"):
        split(workers, timeout=5).wait([failed], "network")


@pytest.mark.parametrize(
    "wait", [Split.failure, lambda own, future: own.wait([future], "cells")], ids=["failure", "wait"]
)
def test_the_timeout_is_named_wherever_it_runs_out(workers, wait):
    slow = workers.submit(time.sleep, 2, pure=False)
    with pytest.raises(ImageError, match="slide.tif: not done after the 0.5 s of --timeout"):
        wait(split(workers, 0.5), slow)
    slow.cancel(force=True)


def test_a_stop_ends_an_image_that_is_split(tmp_path, run, slide, workers, monkeypatch):
    """Its tasks are not waited for, and leave the scheduler."""
    as_it_is = Split.stardist

    def stopped(self, *args):
        os.kill(os.getpid(), signal.SIGINT)
        return as_it_is(self, *args)

    monkeypatch.setattr(Split, "stardist", stopped)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has none
    try:
        assert run("out", *slide, "--dask", workers.scheduler.address) == (130, [])
    finally:
        signal.signal(signal.SIGINT, handler)
    assert not list((tmp_path / "out").glob("*.tiff"))
    deadline = time.monotonic() + 30
    while left := workers.run_on_scheduler(
        lambda dask_scheduler: [k for k in dask_scheduler.tasks if "slide.tif" in str(k)]
    ):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
