"""Fixtures of the tests of runs on a cluster: real worker processes, and the program run on a folder of images."""

import json
import logging

import cv2
import pytest
import torch
from leftovers import let_go
from skimage.data import coins

from inference.command_line import main

COINS = coins()


@pytest.fixture(autouse=True)
def nothing_left_by_a_test():
    yield
    let_go()


@pytest.fixture(scope="package", autouse=True)
def nothing_left():
    """By the cluster, which is closed before."""
    yield
    let_go()


@pytest.fixture(scope="package")
def workers():
    """Client of a cluster of two worker processes; a task may kill two of them."""
    import dask
    from distributed import Client, Nanny, Scheduler, SpecCluster

    settings = {"distributed.scheduler.allowed-failures": 1, "distributed.scheduler.worker-saturation": 1.0}
    names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    options = {"nthreads": 1, "env": dict.fromkeys(names, "1"), "silence_logs": logging.ERROR, "memory_limit": "4GiB"}
    with dask.config.set(settings):
        cluster = SpecCluster(
            scheduler={
                "cls": Scheduler,
                "options": {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": ":0"},
            },
            workers={i: {"cls": Nanny, "options": options} for i in range(2)},
        )
    with cluster, Client(cluster) as client:
        client.wait_for_workers(2, timeout=300)
        yield client


@pytest.fixture
def run(tmp_path, untrained_weights, monkeypatch):
    """Function that runs the program on tmp_path / "in"; exit code and the lines of the report."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the workers: the last bits of float32 sums depend on it
    (tmp_path / "in").mkdir()

    def call(out, *options):
        words = ("-i", tmp_path / "in", "-o", tmp_path / out, "--weights", untrained_weights, *options)
        code = main([*map(str, words), "--report", str(tmp_path / f"{out}.json"), "--device", "cpu"])
        return code, json.loads((tmp_path / f"{out}.json").read_text())

    yield call
    torch.set_num_threads(threads)


@pytest.fixture
def image(tmp_path):
    """Function that writes an image to tmp_path / "in"."""

    def write(name, pixels=None):
        seed = sum(name.encode())
        pixels = COINS[seed % 200 :, seed % 100 :][:96, :128] if pixels is None else pixels
        assert cv2.imwrite(str(tmp_path / "in" / name), pixels)

    return write
