"""Connecting to a cluster, or starting one on this machine: what is no scheduler is told in a line, at once."""

import socket
import time

import pytest

pytest.importorskip("distributed")

from inference.cluster.connection import NoCluster, connected, worker_places


@pytest.mark.parametrize(
    "address, why",
    [
        ("tcp://127.0.0.1:9", "Timed out trying to connect"),
        ("tcp://127.0.0.1:{silent}", "TimeoutError after 0.5 s"),
        ("{worker}", "this is a Worker"),
        ("tls://127.0.0.1:9", "TLS"),
        ("127.0.0.1", "port"),
    ],
)
def test_no_scheduler_there(workers, address, why):
    """Nothing, what accepts a connection and says nothing, as a dashboard does, a worker, and wrong addresses."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        worker = next(iter(workers.scheduler_info()["workers"]))
        there = address.format(silent=silent.getsockname()[1], worker=worker)
        begun = time.monotonic()
        with (
            pytest.raises(NoCluster, match=rf"no Dask scheduler answers there \(.*({why}).*8787"),
            connected(there, "cpu", seconds=0.5),
        ):
            pass
    assert time.monotonic() - begun < 5


def test_places_of_this_machines_workers(monkeypatch):
    monkeypatch.setattr("inference.cluster.connection.usable_processors", lambda: 6)
    monkeypatch.setattr("inference.cluster.connection.available_memory", lambda: 7 * 2**30)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert len(worker_places("local", "cpu")) == 4, "as the memory allows"
    three = worker_places("local:3", "cpu")
    assert [place["OMP_NUM_THREADS"] for place in three] == ["2", "2", "2"]
    monkeypatch.setattr("inference.cluster.connection.visible_gpus", lambda: ["GPU-a", "3"])
    assert worker_places("local", "auto") == [{"CUDA_VISIBLE_DEVICES": "GPU-a"}, {"CUDA_VISIBLE_DEVICES": "3"}]
    for wrong in ("local:0", "local:x"):
        with pytest.raises(NoCluster):
            worker_places(wrong, "cpu")
