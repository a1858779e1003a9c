"""The Dask cluster that a run goes to: one that is there already, or the GPUs or cores of this machine."""

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from inference.machine import THREADS, available_memory, usable_processors

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"
CONNECT_SECONDS = 30.0
ALLOWED_FAILURES = 2  # workers that may die with a task before it is given up, on this machine's own cluster
WORKER_BYTES = 3 * 2**29  # PyTorch, the networks and an ordinary image

log = logging.getLogger(__name__)


class NoCluster(ValueError):
    """A cluster that cannot be used. The message says why, and the remedy."""


def need_dask() -> None:
    """Raise NoCluster if Dask is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise NoCluster("--dask needs the package distributed: pip install distributed") from None


@contextmanager
def connected(address: str, device: str, seconds: float = CONNECT_SECONDS) -> Iterator["Client"]:
    """A client of the cluster.

    Parameters
    ----------
    address : of the scheduler, such as "tcp://10.0.0.5:8786"; "local" for a worker on each GPU or core of this machine,
        "local:4" for four
    device : as of `inference.network.choose_device`; which of them "local" means
    seconds : that a scheduler may take to answer

    Raises
    ------
    NoCluster
        If Dask is not installed, or no scheduler answers.
    """
    need_dask()
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.WARNING)
    if address.split(":")[0] == LOCAL:
        with _own(address, device) as cluster, Client(cluster) as client:
            yield client
        return
    try:
        asyncio.run(_ask(address, seconds))  # a client would wait for ever for what is no scheduler
        client = Client(address, timeout=seconds)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else f"{type(error).__name__} after {seconds:g} s"
        raise NoCluster(
            f"--dask {address}: no Dask scheduler answers there ({reason}); start one with 'dask scheduler', whose "
            "port is 8786 (8787 is that of its page), or use --dask local"
        ) from None
    with client:
        yield client


async def _ask(address: str, seconds: float) -> None:
    """Return if it is a scheduler that has this address. `seconds` are for the connection, and for what it says."""
    from distributed.core import rpc
    from distributed.security import Security

    async with rpc(address, timeout=seconds, connection_args=Security().get_connection_args("client")) as there:
        identity = await asyncio.wait_for(there.identity(), seconds + 1)
    if "workers" not in identity:
        raise ValueError(f"this is a {identity['type']}")


def _own(address: str, device: str):
    """A cluster on this machine, one process a GPU or core."""
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    places = worker_places(address, device)
    memory = available_memory()
    options: dict[str, object] = {
        "nthreads": 1,
        "memory_limit": memory // len(places) if memory else "auto",
        "host": "127.0.0.1",
        "silence_logs": logging.CRITICAL,
    }
    settings = {
        "distributed.scheduler.allowed-failures": ALLOWED_FAILURES,
        # No task waits at a worker: one that dies takes only its own task along, and a slow one holds none.
        "distributed.scheduler.worker-saturation": 1.0,
    }
    log.info("%d workers on this machine", len(places))
    with dask.config.set(settings):
        return SpecCluster(
            scheduler={"cls": Scheduler, "options": {"host": "127.0.0.1", "port": 0, "dashboard": True}},
            workers={i: {"cls": Nanny, "options": {**options, "env": env}} for i, env in enumerate(places)},
            silence_logs=False,
        )


def worker_places(address: str, device: str) -> list[dict[str, str]]:
    """The environment of each worker on this machine: its GPU, or its share of the cores that a quota leaves.

    Raises NoCluster for an address that is neither "local" nor "local:N".
    """
    _, _, count = address.partition(":")
    if count and (not count.isdecimal() or not int(count)):
        raise NoCluster(f"--dask {address}: expected local, or local:N with a number of workers")
    gpus = visible_gpus() if device in ("auto", "cuda") else []
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(int(count or len(gpus)))]
    cores = usable_processors()
    memory = available_memory()
    workers = int(count) if count else max(1, min(cores, memory // WORKER_BYTES if memory else cores))
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // workers)))
    return [dict.fromkeys((*THREADS, "MKL_NUM_THREADS"), threads) for _ in range(workers)]


def visible_gpus() -> list[str]:
    """The GPUs of NVIDIA's that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    if not torch.cuda.is_available():
        return []
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]
