"""Before the first image of a run on a cluster: are its workers fit, do they see the files, and what do all images have
in common?
"""

import logging
import os
import pkgutil
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inference import __version__
from inference.cluster import tasks
from inference.cluster.connection import WORKER_BYTES, NoCluster
from inference.cluster.file import File
from inference.cluster.job import Job, JobPlugin, WorkerFacts, facts
from inference.reading.safe_reading import SafeReader
from inference.running.common import Common, measure_common, with_contrast, with_diameter
from inference.running.request import Request

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)


def check_workers(client: "Client", request: Request, image: Path, sums: Path, shipped: bool) -> bool:
    """Whether all workers see the folders of this machine.

    Waits for the first worker, which a cluster that grows on demand starts for the task that asks. Paths are absolute,
    and tried exactly as tasks use them.

    Raises NoCluster if the scheduler or a worker does not have this program, or a worker another version of it, or
    other weights.
    """
    token = secrets.token_hex(8)
    probe = request.folder / f".{token}.probe"
    try:
        _need_program(client, request)
        probe.write_text(token)
        asked = (None if shipped else request.weights, probe, token, image)
        answers: dict[str, WorkerFacts] = client.run(facts, *asked)
    except NoCluster:
        raise
    except Exception as error:
        raise NoCluster(
            f"--dask {request.dask}: its workers cannot be used ({type(error).__name__}: {error})"
        ) from None
    finally:
        probe.unlink(missing_ok=True)
    weights = sums.read_bytes() if sums.is_file() else b""
    for worker, answer in answers.items():
        if answer.version != __version__:
            raise NoCluster(
                f"worker {worker} has version {answer.version} of the program, this is {__version__}; install the same "
                "one everywhere"
            )
        if answer.sums != weights:
            raise NoCluster(
                f"worker {worker} has other weights, or none, in {request.weights}; put the same folder there, on "
                "storage that all see"
            )
    if any(answer.threads > 1 for answer in answers.values()):
        log.warning(
            "some workers run several tasks at once, of which one is an image at a time; start them with --nthreads 1, "
            "and one for each GPU or core"
        )
    least = min((answer.memory for answer in answers.values() if answer.memory is not None), default=WORKER_BYTES)
    if least < WORKER_BYTES:
        log.warning(
            "some workers may take no more than %.1f GB of memory, and Dask lets them wait without a word before that; "
            "start fewer, or with --memory-limit 2GB or more: --nthreads 1 alone gives each the memory of one core",
            least / 1e9,
        )
    unseen = [worker for worker, answer in answers.items() if not answer.sees]
    if request.dask_files == "shared" and unseen:
        raise NoCluster(
            f"worker {unseen[0]} does not see {image} and {request.folder}; mount the same folders there, or use "
            "--dask-files send"
        )
    if request.dask_files == "send" or unseen:
        why = "as --dask-files says" if request.dask_files == "send" else "they do not all see its folder"
        log.info("%d workers, to which the images are sent: %s", len(answers), why)
        return False
    log.info("%d workers, which read the images themselves", len(answers))
    return True


def _need_program(client: "Client", request: Request) -> None:
    """Raise NoCluster unless the scheduler and all workers can import the tasks.

    It is Python's own functions that ask: a worker that is given one of ours and does not have it shuts down.
    """
    asked = pkgutil.resolve_name, f"{tasks.__name__}:__name__"
    try:
        client.run_on_scheduler(*asked)
    except ImportError as error:
        raise _no_program(request, "its scheduler", error) from None
    first = client.submit(os.getcwd, key=("look", "for a worker", secrets.token_hex(8)), pure=False)
    waited = time.monotonic()
    while not first.done():
        time.sleep(0.02)
        if time.monotonic() - waited > request.seconds_between_lines:
            log.info("waiting for a worker of the cluster")
            waited = time.monotonic()
    first.result()
    for worker, answer in client.run(*asked, on_error="return").items():
        if isinstance(answer, ImportError):
            raise _no_program(request, f"worker {worker}", answer)
        if isinstance(answer, Exception):
            raise answer


def _no_program(request: Request, where: str, error: ImportError) -> NoCluster:
    return NoCluster(
        f"--dask {request.dask}: {where} does not have this program ({error}); scheduler and workers need it: start "
        "them with its folder in PYTHONPATH, with pip install as here, or in the same container"
    )


def look_for_common(client: "Client", job: Job, files: Sequence[File], shared: bool) -> Common:
    """What all images have in common, looked for on the cluster where that reads them."""
    request = job.request
    wants_diameter = request.same_diameter and request.diameter is None
    if not request.same_contrast and not wants_diameter:
        return Common()
    if not shared:
        from inference.segmenter import Segmenter  # late: PyTorch is imported

        segmenter = Segmenter.from_folder(request.weights, request.device, request.limits)
        return measure_common([file.found for file in files], SafeReader(request.read_limits), segmenter, request)
    common = Common()
    if request.same_contrast:
        with brought(client, job) as own:
            common = with_contrast(_of_all(client, own, tasks.find_contrast, files))
    if wants_diameter:
        with brought(client, replace(job, common=common)) as own:
            found = _of_all(client, own, tasks.find_diameters, files)
        common = with_diameter(common, [diameter for part in found for diameter in part])
    return common


def _of_all(client: "Client", job: Job, task: Callable, files: Sequence[File]) -> list:
    """What a task says of each file that it can read."""
    futures = [
        client.submit(task, job.number, file, key=(task.__name__, str(file.name), job.number), pure=False)
        for file in files
    ]
    answers = []
    for future, file in zip(futures, files):
        try:
            answers.append(future.result()[0])
        except Exception as error:  # it is reported when it is its turn
            log.debug("%s: passed over while all images are looked at (%s)", file.found.path.name, error)
    return answers


@contextmanager
def brought(client: "Client", job: Job) -> Iterator[Job]:
    """The job at all workers meanwhile, under a number of its own."""
    job = replace(job, number=secrets.token_hex(4))
    client.register_plugin(JobPlugin(job))
    try:
        yield job
    finally:
        if client.status == "running":  # else the scheduler is gone
            with suppress(Exception):
                client.unregister_worker_plugin(job.plugin)
