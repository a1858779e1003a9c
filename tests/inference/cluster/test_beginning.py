"""Before the first image: what is no worker for this run is told in a line, and is left as it is."""

import json
import os
import subprocess
import sys
import time

import pytest

pytest.importorskip("distributed")
from distributed import Client, Scheduler, SpecCluster


@pytest.fixture
def start(tmp_path):
    """Function that starts a program of Dask's where it cannot import ours."""
    started = []

    def call(program, *options):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [sys.executable, "-m", f"distributed.cli.{program}", "--no-dashboard", *map(str, options)]
        started.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL))
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.wait()


def test_a_scheduler_without_the_program(tmp_path, run, image, start, caplog):
    image("a.png")
    place = tmp_path / "scheduler.json"
    start("dask_scheduler", "--host", "127.0.0.1", "--port", 0, "--scheduler-file", place)
    while not place.exists() or not place.read_text().strip():
        time.sleep(0.1)
    assert run("out", "--dask", json.loads(place.read_text())["address"]) == (2, [])
    assert "its scheduler does not have this program (No module named 'inference')" in caplog.text


def test_a_worker_without_the_program(run, image, start, caplog):
    image("a.png")
    options = {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": ":0"}
    with SpecCluster(scheduler={"cls": Scheduler, "options": options}) as cluster, Client(cluster) as client:
        worker = start("dask_worker", cluster.scheduler_address, "--nthreads", 1, "--no-nanny")
        client.wait_for_workers(1, timeout=300)
        address = next(iter(client.scheduler_info()["workers"]))
        assert run("out", "--dask", cluster.scheduler_address) == (2, [])
        assert f"worker {address} does not have this program (No module named 'inference')" in caplog.text
        assert worker.poll() is None, "it goes on"
        assert address in client.scheduler_info()["workers"]


@pytest.mark.parametrize("needed, warnings", [(2**32, 0), (2**32 + 1, 1)])
def test_workers_with_little_memory(run, image, workers, monkeypatch, caplog, needed, warnings):
    monkeypatch.setattr("inference.cluster.beginning.WORKER_BYTES", needed)
    image("a.png")
    assert run("out", "--diameter", "28", "--dask", workers.scheduler.address)[0] == 0
    assert caplog.text.count("no more than 4.3 GB of memory") == warnings
