"""A run on a Dask cluster: the same files, report and exit code as on one machine."""

import logging
import os
import pickle
import queue
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future as SplitFuture
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference import __version__
from inference.cluster import tasks
from inference.cluster.beginning import brought, check_workers, look_for_common
from inference.cluster.connection import LOCAL, connected
from inference.cluster.file import File, Place
from inference.cluster.job import LOGGER, Job, Unfit
from inference.cluster.sending import Sender
from inference.cluster.splitting import Split
from inference.cluster.tasks import Done, Large
from inference.running.claims import Claims
from inference.running.common import Common
from inference.running.finding import Found
from inference.running.messages import describe
from inference.running.progress import Progress
from inference.running.provenance import settings_digest
from inference.running.report import Report, ReportRow
from inference.running.request import Request
from inference.running.run import warn_of_names
from models.checksums import SUMS_FILE
from models.classes import SHIPPED_WEIGHTS
from models.weights_folder import check_weights

if TYPE_CHECKING:
    from distributed import Client, Future

    from inference.outputs.page import Page

NUMBERED = re.compile(r"(?<=.)_[stz]\d+$")  # what results of an image or plane of several have behind the file's name
LARGE_AT_ONCE = 4  # images that are split at the same time
MOST_WAITING = 20_000  # tasks that the scheduler knows
SENT_AHEAD = 2  # files that are sent for each task that can run

log = logging.getLogger(__name__)


class SchedulerLost(ValueError):
    """The scheduler is not there any more."""


def segment_on_cluster(
    request: Request,
    images: Sequence[Found],
    names: Mapping[Path, Path],
    claims: Claims,
    report: Report,
    page: "Page | None",
) -> list[ReportRow]:
    """Segment the images of a run on the cluster that it names; the lines of the report, in the images' order.

    Raises NoCluster if there is none, or its workers would not give the same labels.
    """
    # A worker may have another current folder. `absolute` follows no link: names and claims are those of one machine.
    request = replace(request, folder=request.folder.absolute(), weights=request.weights.absolute())
    assert request.dask is not None, "a run on a cluster names it"
    warn_of_names(request.names, names)
    if not images:
        return []
    files = [File(i, replace(found, path=found.path.absolute()), names[found.path]) for i, found in enumerate(images)]
    with connected(request.dask, request.device) as client:
        shipped = os.path.realpath(request.weights) == os.path.realpath(SHIPPED_WEIGHTS)
        check_weights(request.weights, request.verify_weights)
        sums = request.weights / SUMS_FILE
        shared = check_workers(client, request, files[0].found.path, sums, shipped)
        level = logging.getLogger(LOGGER).getEffectiveLevel()
        job = Job("", replace(request, sources=(), listed=None), Common(), claims, shipped, sums.read_bytes(), level)
        common = look_for_common(client, job, files, shared)
        settings = settings_digest(request.what_labels_depend_on | {"common": common}, sums)
        job = replace(job, common=common, claims=replace(claims, settings=settings))
        with brought(client, job) as own:
            return ClusterRun(client, own, report, page, Sender(own) if not shared else None).all(files)


@dataclass(frozen=True)
class _Ended:
    """A task that has ended, or an image that was split: what it was of, and how to get its result."""

    files: Sequence[File]
    result: Callable[[], Done]
    image: Large | None = None


class ClusterRun:
    """The images of a run on a cluster.

    Parameters
    ----------
    report, page : where each image is told of
    sender : sends files to the workers; None where these read them
    """

    def __init__(self, client: "Client", job: Job, report: Report, page: "Page | None", sender: "Sender | None"):
        self.client, self.job, self.report, self.page, self.sender = client, job, report, page, sender
        # A cluster of our own gives a worker one task at a time: what dies with it, has killed it.
        self.trusts = (job.request.dask or "").split(":")[0] == LOCAL
        self.first = True  # or a task that is tried once more
        self.ended: queue.Queue[_Ended] = queue.Queue()
        self.rows: list[tuple[Place, ReportRow]] = []
        self.waiting = 0
        self.running: dict[int, tuple[Future, Sequence[File]]] = {}  # by the place of a task's first file
        self.splits: set[Split] = set()  # images that are split, and have not ended
        self.killed: list[File] = []
        self.lost: SchedulerLost | None = None

    def all(self, files: Sequence[File]) -> list[ReportRow]:
        """Segment the files; the lines of the report in their order."""
        request = self.job.request
        groups = iter(together(files))
        with ThreadPoolExecutor(LARGE_AT_ONCE) as splitters, Progress(len(files), request.quiet) as progress:
            self.client.subscribe_topic(self.job.plugin, self._hear)
            try:
                self._drain(groups, splitters, progress)
                suspects, self.first = self.killed, False
                for file in suspects:  # its worker may have died by another's fault: now nothing runs beside it
                    log.warning("%s: workers died while they had it; tried once more by itself", file.found.path.name)
                    self._drain(iter([[file]]), splitters, progress)
            except BaseException:
                splitters.shutdown(wait=False, cancel_futures=True)
                with suppress(Exception):
                    self.client.cancel([future for future, _ in self.running.values()], force=True)
                for split in list(self.splits):  # or their threads are waited for
                    with suppress(Exception):
                        split.stop()
                raise
            finally:
                if self.lost:  # or each of its layers tells of it, with a traceback
                    logging.getLogger("distributed").setLevel(logging.CRITICAL)
                else:
                    self.client.unsubscribe_topic(self.job.plugin)
                    with suppress(Exception):
                        self.client.run_on_scheduler(tasks.forget, self.job.plugin)
        rows = [row for _, row in sorted(self.rows, key=lambda entry: entry[0])]
        self.report.replace(rows)
        return rows

    def _drain(self, groups: Iterator[Sequence[File]], splitters: ThreadPoolExecutor, progress: Progress) -> None:
        """Do some files to the end."""
        self._fill(groups)
        while self.waiting:
            ended = self.ended.get()
            self.waiting -= 1
            self._take(ended, splitters, progress)
            self._fill(groups)

    def _fill(self, groups: Iterator[Sequence[File]]) -> None:
        """Give the scheduler tasks, as many as it may have."""
        most = MOST_WAITING
        if self.sender:
            most = max(1, SENT_AHEAD * sum(self.client.nthreads().values())) if not self.lost else most
        while self.waiting < most and (files := next(groups, None)) is not None:
            self._submit(files)

    def _submit(self, files: Sequence[File]) -> None:
        self.waiting += 1
        try:
            if self.lost:
                raise self.lost
            arguments: tuple[Any, ...] = (self.job.number, files)
            if self.sender:
                todo, done = self.sender.prepare(files)
                if kept := [file for file in files if file not in todo]:
                    self.waiting += bool(todo)
                    self.ended.put(_Ended(kept, lambda: done))
                if not todo:
                    return
                files, arguments = todo, (self.job.number, todo, self.sender.parcel(todo))
            again = () if self.first else ("again",)
            key = ("segment", ", ".join(str(file.name) for file in files), *again, self.job.number)
            future = self.client.submit(tasks.segment_files, *arguments, key=key, pure=False)
        except Exception as error:
            self.ended.put(_Ended(files, _raiser(error)))
            return
        self.running[files[0].place] = future, files
        future.add_done_callback(partial(self._put, place=files[0].place))

    def _hear(self, event: tuple[float, Any]) -> None:
        """A task tells by itself what became of its files; the cluster need not keep that."""
        place, said = event[1]
        if task := self.running.pop(place, None):
            self.ended.put(_Ended(task[1], lambda: pickle.loads(said)))
            task[0].release()

    def _put(self, future: "Future", place: int) -> None:
        """A task has ended: it has failed, or its files were sent."""
        if task := self.running.pop(place, None):
            self.ended.put(_Ended(task[1], future.result))

    def _put_split(self, future: SplitFuture[Done], split: Split) -> None:
        self.splits.discard(split)
        self.ended.put(_Ended([split.image.file], future.result, split.image))

    def _take(self, ended: _Ended, splitters: ThreadPoolExecutor, progress: Progress) -> None:
        """Tell what became of some files."""
        from distributed.scheduler import KilledWorker

        progress.begin(ended.files[0].found.path.name)
        try:
            done = ended.result()
            if self.sender:
                self.sender.write(done.results)
        except Exception as error:
            if isinstance(error, KilledWorker) and ended.image is None and self.first and not self.trusts:
                self.killed += ended.files
            else:
                self._fail(ended, progress, error)
        else:
            self._tell(done, ended, splitters, progress)

    def _tell(self, done: Done, ended: _Ended, splitters: ThreadPoolExecutor, progress: Progress) -> None:
        for level, line in done.said:
            log.log(level, "%s", line)
        for place, row in done.rows:
            self.rows.append((place, row))
            self.report.add(row)
        for place, entry in done.entries:
            if self.page:
                self.page.add(entry, place)
        for image in done.large:
            self.waiting += 1
            split = Split(self.client, self.job, image)
            self.splits.add(split)
            splitters.submit(split).add_done_callback(partial(self._put_split, split=split))
        for _ in ended.files if not done.large else ():
            progress.end()

    def _fail(self, ended: _Ended, progress: Progress, error: Exception) -> None:
        """Files that have no labels, whatever the reason."""
        for file in ended.files:
            name = file.found.path.name
            reason = self._reason(name, error)
            log.error("%s", reason)
            row = ReportRow(f"failed: {reason}", str(file.found.folder / name), version=__version__)
            place = ended.image.place if ended.image else (file.place, 0)
            self.rows.append((place, row))
            self.report.add(row)
            if self.page:
                self.page.add_failure(row.image, reason, place)
            progress.end()

    def _reason(self, name: str, error: Exception) -> str:
        from concurrent.futures import CancelledError

        from distributed.client import FutureCancelledError
        from distributed.comm import CommClosedError
        from distributed.scheduler import KilledWorker

        if isinstance(error, KilledWorker):
            return (
                f"{name}: {error.allowed_failures + 1} workers died while they worked on it; it needs more memory than "
                "they have, or crashes the program: raise their memory limit, or run it alone on one machine"
            )
        if isinstance(error, CancelledError | FutureCancelledError | CommClosedError | SchedulerLost):
            if self.lost is None:
                self.lost = SchedulerLost(f"the connection to the Dask scheduler at {self.job.request.dask} was lost")
                log.error("%s; finished label files are complete, and --resume does the others", self.lost)
            return f"{name}: not done, {self.lost}; run it again with --resume"
        if isinstance(error, Unfit):
            return f"{name}: {error}; install the same program and weights on all workers"
        return describe(name, error)


def _raiser(error: Exception) -> Callable[[], Done]:
    def fail() -> Done:
        raise error

    return fail


def together(files: Sequence[File]) -> list[list[File]]:
    """The files of each task: one, but for those whose results might have the same names, as a file a_s1 and one named
    a with several images in it, or a_z1 and a stack. These are done in their order by one worker, which sees to that.
    """
    names = {file.name for file in files}
    groups: dict[Path, list[File]] = {}
    for file in files:
        first = name = file.name
        while NUMBERED.search(name.name):
            name = name.with_name(NUMBERED.sub("", name.name))
            first = name if name in names else first
        groups.setdefault(first, []).append(file)
    return list(groups.values())
