"""The way of a training from its start to its end: crops from the workers, steps, validations, resume files, a signal
to stop.
"""

import functools
import json
import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from inference.machine import usable_processors
from inference.network import choose_device
from training.command import DONE
from training.images.datasets import Sample
from training.images.sources import counted, united
from training.learning.distributed import Team
from training.learning.settings import Settings
from training.learning.stopping import StopSignal
from training.learning.trainer import NotFinite, Stopped, Trainer
from training.tables import drop_rows_after, write_row

log = logging.getLogger(__name__)

LOG, VALIDATIONS, ARGUMENTS = "log.csv", "validation.csv", "arguments.json"
STOPPED = 128 + signal.SIGTERM  # exit code
MOST_WORKERS = 16
PREFETCH_BYTES = 256 * 2**20  # of crops that lie ready for the network
MOST_PREFETCHED = 16  # batches a worker
BAR = "{desc}  {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left"


def default_workers(device: torch.device) -> int:
    """Processes that make crops: what is left of the cores that this process may use."""
    if device.type == "cpu":
        return 1
    return max(1, min(MOST_WORKERS, usable_processors() - 1))


class StepSampler:
    """Crop numbers of each step from `start` on, without end: step s of batch size b has the numbers from s*b to
    (s+1)*b - 1, dealt out to the processes in runs of equal length.

    Raises ValueError if the batch cannot be dealt out evenly.
    """

    def __init__(self, start: int, batch: int, rank: int = 0, size: int = 1):
        if batch % size:
            raise ValueError(f"--batch must be a multiple of the number of processes, {size}, got {batch}")
        self.start, self.batch, self.rank, self.share = start, batch, rank, batch // size

    def __iter__(self):
        first = self.start * self.batch + self.rank * self.share
        while True:
            yield range(first, first + self.share)
            first += self.batch


def make_loader(data: Dataset, settings: Settings, team: Team, start: int) -> DataLoader:
    """Batches of the steps from `start` on."""
    sampler = StepSampler(start, settings.batch, team.rank, team.size)
    workers = default_workers(team.device) if settings.workers is None else settings.workers
    # Here, before processes are forked: what numba compiles for it is compiled for all of them.
    first = data[start * settings.batch]
    return DataLoader(
        data,
        batch_sampler=sampler,
        num_workers=workers,
        pin_memory=team.device.type == "cuda",
        prefetch_factor=prefetched(first, sampler.share, workers) if workers else None,
        worker_init_fn=functools.partial(prepare_worker, alone=team.size == 1),
    )


def prefetched(crop: dict[str, torch.Tensor], batch: int, workers: int) -> int:
    """Batches that each worker makes ahead: what PREFETCH_BYTES hold, at least 2."""
    batch_bytes = batch * sum(value.nbytes for value in crop.values())
    return max(2, min(MOST_PREFETCHED, PREFETCH_BYTES // (batch_bytes * workers)))


def prepare_worker(_: int, alone: bool) -> None:
    """A signal that goes to all processes stops the main one alone, which then ends the workers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if alone:  # else Ctrl-C is torchrun's business
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def working(loader: DataLoader) -> Iterator[Iterator[dict[str, torch.Tensor]]]:
    """The loader's batches. Its workers end with the block: at the end of the program nothing else could end them if an
    error still held the iterator.
    """
    batches = iter(loader)
    try:
        yield batches
    finally:
        if end := getattr(batches, "_shutdown_workers", None):  # none if the main process makes the crops
            end()


def train(kind: type[Trainer], settings: Settings) -> int:
    """The whole run; returns the exit code.

    Raises KeyboardInterrupt if Ctrl-C stopped it; what it then says tells how to go on; ValueError if it cannot begin,
    or a step's gradients are no numbers. The message says what to do.
    """
    began = time.monotonic()
    settings.out.mkdir(parents=True, exist_ok=True)
    with StopSignal() as stop, Team(choose_device(settings.device)) as team:
        trainer = kind(settings, team)
        resumed = trainer.resume()
        if not team.same(trainer.step):
            raise ValueError(
                f"{settings.out}: not every process found the resume file there; --out must be a folder that all "
                "machines share"
            )
        data, val = trainer.load()
        trainer.sources = united(trainer.sources_before, counted(sample.record for sample in data.samples))
        if team.leads:
            announce(trainer, data, val, resumed)
        loader = make_loader(data, settings, team, trainer.step)
        with (
            working(loader) as batches,  # the workers fill their queues during a validation
            logging_redirect_tqdm() if team.leads else nullcontext(),
            tqdm(initial=trainer.progress(), total=1, bar_format=BAR, disable=None if team.leads else True) as bar,
        ):
            if team.size == 1:
                stop.take_interrupts()
            try:
                finished = run(trainer, batches, val, stop, bar, began)
            except NotFinite as error:
                images = ", ".join(sorted({str(data.samples[i].record.image) for i in error.samples}))
                raise ValueError(
                    f"step {trainer.step + 1}: {error}: the network would be lost. Look at the images of this step and "
                    f"their labels, or lower --lr: {images}"
                ) from None
        said = f"{trainer.step} steps in {trainer.seconds:.0f} s"
        if stop.interrupted:  # though it were at the end: what would come next is not wanted
            raise KeyboardInterrupt(f"stopped: {said}; the same command goes on from there")
        if team.leads:
            log.info("%s", f"done: {said}" if finished else f"stopped: {said}; the same command goes on from there")
        return DONE if finished else STOPPED


def announce(trainer: Trainer, data: Dataset, val: list[Sample], resumed: bool) -> None:
    """Say what there is to train with, and bring the folder of the run to where the run is."""
    settings = trainer.settings
    log.info(
        "%d images, %d without cells, %d sources; %d images to validate with",
        len(data.samples),
        sum(math.isnan(s.diameter) for s in data.samples),
        len({s.record.source for s in data.samples}),
        len(val),
    )
    if resumed:
        log.info("continuing at step %d", trainer.step)
    for name in (LOG, VALIDATIONS):
        drop_rows_after(settings.out / name, trainer.step if resumed else -1)
    (settings.out / ARGUMENTS).write_text(json.dumps(vars(settings), default=str, indent=1), encoding="utf-8")


def run(
    trainer: Trainer,
    batches: Iterator[dict[str, torch.Tensor]],
    val: list[Sample],
    stop: StopSignal,
    bar: tqdm,
    began: float,
) -> bool:
    """Train to the end of the run, or until `stop`; the answer is whether the end was reached.

    `began` is when this process began, by time.monotonic().
    """
    settings, team = trainer.settings, trainer.team
    clock, saved = began, time.monotonic()
    try:
        if settings.init and trainer.step == 0 and trainer.validated[0] < 0:
            run_validation(trainer, val, stop)
        elif settings.time_budget and val and not trainer.validation_seconds:
            trainer.time_validation(val, stop.check)
    except Stopped:
        pass
    trainer.reserved, stopped = team.agree(trainer.validation_seconds, stop=stop.came)
    while not stopped and trainer.progress() < 1:
        asked = time.monotonic()
        batch = next(batches)
        trainer.waiting += time.monotonic() - asked
        trainer.train_step(batch)
        now = time.monotonic()
        trainer.seconds, trainer.reserved, stopped = team.agree(
            trainer.seconds + now - clock, trainer.validation_seconds, stop=stop.came
        )
        clock = now
        bar.set_description_str(f"step {trainer.step}", refresh=False)
        bar.n = trainer.progress()
        bar.update(0)
        if team.leads and trainer.step % settings.log_every == 0:
            write_progress(trainer)
        if stopped or trainer.progress() >= 1:  # what follows the loop comes at once
            continue
        if measures(trainer) and trainer.validation_is_due():
            run_validation(trainer, val, stop)
        if team.leads and now - saved > settings.save_every:
            trainer.save()
            saved = now
    finished = not stopped
    if finished and measures(trainer) and trainer.validated[0] < trainer.step:
        finished = run_validation(trainer, val, stop)
    if team.leads:
        trainer.save()
    return finished


def measures(trainer: Trainer) -> bool:
    """Whether this process has a part in validations."""
    return trainer.team.leads or trainer.SHARED_VALIDATION


def run_validation(trainer: Trainer, val: list[Sample], stop: StopSignal) -> bool:
    """Validate, or without validation images keep the network as it is; False if `stop` broke it off."""
    if not measures(trainer):
        return True
    if not val:
        for name in trainer.networks(trainer.average) if trainer.team.leads else ():
            trainer.write(name)
        trainer.validated = (trainer.step, trainer.seconds)
        return True
    try:
        rows = trainer.validate(val, stop.check)
    except Stopped:
        return False
    for row in rows if trainer.team.leads else ():
        write_row(trainer.settings.out / VALIDATIONS, row)
        log.info(
            "step %d  %s %s %.4f, best %.4f  %d images in %.0f s",
            trainer.step,
            row["network"],
            trainer.FIGURE,
            row[trainer.FIGURE],
            trainer.best[row["network"]],
            row["images"],
            row["took"],
        )
    return True


def write_progress(trainer: Trainer) -> None:
    """A line in log.csv and on the screen: mean loss terms since the last one."""
    settings = trainer.settings
    terms = {name: float(total) / settings.log_every for name, total in trainer.sums.items()}
    write_row(
        settings.out / LOG,
        {
            "step": trainer.step,
            "seconds": round(trainer.seconds, 1),
            "lr": trainer.optimiser.param_groups[0]["lr"],
            "waiting": round(trainer.waiting, 2),
            **terms,
        },
    )
    log.info(
        "step %d  %3.0f %%  loss %.3f  waited %.1f s for data  %s",
        trainer.step,
        100 * trainer.progress(),
        sum(terms.values()),
        trainer.waiting,
        "  ".join(f"{name} {value:.3f}" for name, value in terms.items()),
    )
    trainer.sums, trainer.waiting = {}, 0.0
