"""The tasks of a run: the images of a file segmented on a worker, and what all images have in common."""

import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from distributed import Scheduler, get_worker

from inference.cluster.file import File, Place
from inference.cluster.job import WORKER, Job, Said, at_work, reader, segmenter_of
from inference.cluster.shipping import Parcel, Results, sent_alone, unpacked
from inference.image.normalisation import CommonEnds
from inference.outputs.page import Page, PageEntry
from inference.running.common import Kind, contrast_of, diameters_of
from inference.running.opened import Opened, open_all
from inference.running.report import Report, ReportRow
from inference.running.run import Run, by_image


@dataclass(frozen=True)
class Large:
    """An image that is too large for one worker.

    number : of the image in the file, from 0
    """

    file: File
    number: int

    @property
    def place(self) -> Place:
        return self.file.place, self.number


@dataclass(frozen=True)
class Done:
    """What became of a task's files.

    rows : of the report, with the places of their images
    entries : of the page, in the same way
    said : the log's lines
    large : images that are still to be done
    results : files that the client is to write, where it shares no storage with the worker
    """

    rows: list[tuple[Place, ReportRow]] = field(default_factory=list)
    entries: list[tuple[Place, PageEntry]] = field(default_factory=list)
    said: Said = ()
    large: list[Large] = field(default_factory=list)
    results: list[Results] = field(default_factory=list)


class Entries(Page):
    """Collects the entries of a page, with the places of their images, for the client, which writes it.

    file : which they are of; as many images as its place says are on the page before, and many have smaller pictures
    number : of the image in the file whose entries come next
    """

    def __init__(self, file: File, number: int = 0):
        self._file, self._images, self.number = file, file.place, number
        self.entries: list[tuple[Place, PageEntry]] = []

    def add(self, entry: PageEntry, place: Place = (0, 0)) -> None:
        self.entries.append(((self._file.place, self.number), entry))
        self._images += 1


def make_run(job: Job, files: Sequence[File], segmenter, entries: Entries) -> Run:
    """A run of some files, which reports to nobody; `entries` remains empty where no page is asked for."""
    names = {file.found.path: file.name for file in files}
    page = entries if job.request.page else None
    return Run(job.request, names, segmenter, job.common, Report(None), page, job.claims)


def segment_files(number: str, files: Sequence[File], parcel: Parcel | None = None) -> Done:
    """Segment all images of some files, one after the other, but for those that are too large.

    Parameters
    ----------
    number : of the job
    parcel : the files, where the worker does not share the client's storage
    """
    with at_work(number) as (job, said), unpacked(job, files, parcel) as (job, here, collect):
        done = Done()
        WORKER.opened = None
        for file in here:
            page = Entries(file)
            run = make_run(job, here, segmenter_of(job), page)
            start = time.perf_counter()
            planes = open_all([file.found], job.request.reading, reader(job))
            for first, others in by_image(planes if parcel is None else map(sent_alone, planes)):
                image = Large(file, first.number)
                if parcel is None and is_large(first, job.request.split_pixels):
                    done.large.append(image)
                else:
                    page.number = first.number
                    done.rows.append((image.place, run.attempt(first, others, start, lambda total: None)))
                start = time.perf_counter()
            done.entries.extend(page.entries)
        done = Done(done.rows, done.entries, tuple(said), done.large, collect())
        if parcel is None:
            # Told before the scheduler gives this worker another task, which may kill it: what is done stays done.
            get_worker().log_event(f"cellseg-{number}", [files[0].place, pickle.dumps(done)])
        return done


def forget(topic: str, dask_scheduler: Scheduler) -> None:
    """Let the scheduler, which runs this, forget what tasks have told: it would keep that for as long as it runs."""
    dask_scheduler._broker.truncate(topic)  # there is no public way


def is_large(plane: Opened, pixels: float) -> bool:
    """Whether an image is to be split: a plane of more pixels, and no stack."""
    if plane.error is not None or plane.image.stack:
        return False
    height, width = plane.picture.shape
    return height * width > pixels


def find_contrast(number: str, file: File) -> tuple[dict[Kind, CommonEnds], Said]:
    """What a file's images say of the contrast of all."""
    with at_work(number) as (job, said):
        return contrast_of([file.found], reader(job), job.request), tuple(said)


def find_diameters(number: str, file: File) -> tuple[list[float], Said]:
    """The cell diameters of a file's images."""
    with at_work(number) as (job, said):
        return diameters_of([file.found], reader(job), segmenter_of(job), job.request, job.common), tuple(said)
