"""What all images of a run have in common on a cluster, as it is brought to every worker once; and what a worker keeps:
the networks, and the image that it looked at last.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from distributed import Worker, WorkerPlugin, get_worker

from inference import __version__
from inference.listening import heard
from inference.reading import Picture
from inference.reading.safe_reading import SafeReader
from inference.running.claims import Claims
from inference.running.common import Common
from inference.running.messages import formatted
from inference.running.request import Request
from models.checksums import SUMS_FILE
from models.classes import SHIPPED_WEIGHTS

LOGGER = __name__.rsplit(".", 2)[0]

Said = tuple[tuple[int, str], ...]  # level and text of each line of a log


class Unfit(RuntimeError):
    """A worker that would give other labels, or none. The message names it and the remedy."""


@dataclass(frozen=True)
class Job:
    """A run, for its workers.

    number : tells it from others
    common, claims : as of `inference.running.run.Run`
    shipped : whether the weights are those that the program came with; each worker takes its own then
    sums : the list of the weights' checksums
    level : from which on the log's lines are wanted
    """

    number: str
    request: Request
    common: Common
    claims: Claims
    shipped: bool
    sums: bytes
    level: int

    @property
    def plugin(self) -> str:
        """Name by which the workers know it."""
        return f"cellseg-{self.number}"

    @property
    def weights(self) -> Path:
        return SHIPPED_WEIGHTS if self.shipped else self.request.weights


class JobPlugin(WorkerPlugin):
    """Brings a job to the workers, also to those that come later."""

    def __init__(self, job: Job):
        self.name, self.job = job.plugin, job


@dataclass(frozen=True)
class WorkerFacts:
    """What a worker is.

    version : of the program
    threads : tasks that it runs at once
    memory : bytes that it may take; None for any
    sums : the list of checksums of its weights, empty if it has none
    sees : whether it reads and writes the same folders
    """

    version: str
    threads: int
    memory: int | None
    sums: bytes
    sees: bool


def facts(weights: Path | None, probe: Path, token: str, image: Path, dask_worker: Worker) -> WorkerFacts:
    """Those of the worker that runs this.

    Parameters
    ----------
    weights : their folder; None for those that the program came with
    probe : a file in the output folder that holds `token`
    image : one of the run
    dask_worker : given by Dask
    """
    sums = (weights or SHIPPED_WEIGHTS) / SUMS_FILE
    try:
        sees = probe.read_text() == token and image.exists()
    except OSError:
        sees = False
    memory = dask_worker.memory_manager.memory_limit
    known = sums.read_bytes() if sums.is_file() else b""
    return WorkerFacts(__version__, dask_worker.state.nthreads, memory, known, sees)


class _Kept:
    """What a worker's process keeps from task to task."""

    def __init__(self) -> None:
        self.busy = threading.Lock()  # networks and logs are the process's: one task at a time
        self.reader: SafeReader | None = None
        self.segmenter: tuple | None = None
        self.opened: tuple | None = None
        self.fit: str | None = None


WORKER = _Kept()


def find_job(number: str) -> Job:
    """The job of a task. Raises Unfit on a worker that would give other labels."""
    worker = get_worker()
    plugin = worker.plugins[f"cellseg-{number}"]
    assert isinstance(plugin, JobPlugin), "no other plugin has this name"
    job = plugin.job
    if WORKER.fit != number:
        sums = job.weights / SUMS_FILE
        if job.claims.version != __version__:
            raise Unfit(f"worker {worker.address} has version {__version__} of the program, not {job.claims.version}")
        if (sums.read_bytes() if sums.is_file() else b"") != job.sums:
            raise Unfit(f"worker {worker.address} has other weights, or none, in {job.weights}")
        WORKER.fit = number
    return job


def segmenter_of(job: Job):
    """The segmenter of a job, loaded once a process."""
    from inference.segmenter import Segmenter
    from inference.warm_up import warm_up

    request = job.request
    key = job.weights, job.sums, request.device, request.limits, request.quick
    if WORKER.segmenter is None or WORKER.segmenter[0] != key:
        WORKER.segmenter = (
            key,
            Segmenter.from_folder(job.weights, request.device, request.limits, request.verify_weights, request.quick),
        )
        threading.Thread(target=warm_up, daemon=True).start()
    return WORKER.segmenter[1]


def reader(job: Job) -> SafeReader:
    """The reader of a process."""
    if WORKER.reader is None or WORKER.reader.limits != job.request.read_limits:
        WORKER.reader = SafeReader(job.request.read_limits)
    return WORKER.reader


def open_part(job: Job, path: Path, number: int) -> Picture:
    """An image of a file, of which parts are read task by task: it stays open until another one is asked for."""
    changed = path.stat().st_mtime_ns
    key = path, number, job.request.reading, changed
    if WORKER.opened is None or WORKER.opened[0] != key:
        WORKER.opened = None
        images, _ = reader(job).open_images(path, job.request.reading)
        WORKER.opened = key, images[number], images[number].open()
    return WORKER.opened[2]


@contextmanager
def at_work(number: str) -> Iterator[tuple[Job, list[tuple[int, str]]]]:
    """The job of a task, while no other task runs in this process, and the lines of the log meanwhile."""
    with WORKER.busy:
        job = find_job(number)
        said: list[tuple[int, str]] = []
        logger = logging.getLogger(LOGGER)
        before = logger.level
        logger.setLevel(job.level)
        try:
            with heard(logger, lambda record: said.append((record.levelno, formatted(record)))):
                yield job, said
        finally:
            logger.setLevel(before)
