"""Images that are split among workers, when something comes between."""

import os
import signal
import time

import cv2
import pytest
from skimage.data import coins

pytest.importorskip("distributed")

from inference.cluster.splitting import Split


@pytest.fixture
def slide(image):
    """An image that is split with these options."""
    image("slide.tif", cv2.resize(coins(), (260, 1500)))
    return "--route", "0", "--diameter", "28", "--dask-split", "100000"


def test_a_stop_ends_an_image_that_is_split(tmp_path, run, slide, workers, monkeypatch):
    """Its tasks are not waited for, and leave the scheduler."""
    as_it_is = Split.stardist

    def stopped(self, *args):
        os.kill(os.getpid(), signal.SIGINT)
        return as_it_is(self, *args)

    monkeypatch.setattr(Split, "stardist", stopped)
    assert run("out", *slide, "--dask", workers.scheduler.address) == (130, [])
    assert not list((tmp_path / "out").glob("*.tiff"))
    deadline = time.monotonic() + 30
    while left := workers.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
