"""Train the router: a ResNet18 that predicts the cue class and the cell diameter of an image (paper, section 2.1, and Table 3).

    python -m training.train_router --manifest data/manifest.csv --out runs/router

The labels come from the rules of `training.cues`, the diameters from the label images, which may be pseudo labels. The defaults
are the paper's protocol (ResNet18 from ImageNet, SGD 1e-3, divided by 10 every 7 of 20 epochs, batches of 64). Without ImageNet
weights and without a GPU, in an hour and a half on one core, and from a router that is there, in half an hour:

    python -m training.train_router --manifest data/manifest.csv --out runs/router --random-init --batch 16 --lr 0.02 \\
        --schedule cosine --time-budget 90 --validate-every 3
    python -m training.train_router --manifest data/manifest.csv --out runs/router --init weights/router.safetensors --batch 16 \\
        --optimiser adamw --lr 5e-4 --schedule cosine --time-budget 30 --validate-every 3

What the paper leaves open: the views that it learns from (training.router_views), a moving average of the weights, smoothed
class labels, and the fifth output.

Every --validate-every epochs, and with --init before the first step, the moving average routes and measures the manifest's split
"val" as inference does (inference.routing, close-ups included). Many networks have equal accuracy but measure cells quite
differently, which decides what the segmenters find; so the run keeps the one with the highest

    score = accuracy - 0.5 * mean |ln(measured / true diameter)|    (an image's error counts ln 4 at most)

and writes

    OUT/router.safetensors  of the highest score
    OUT/confusion.csv       of that network: true classes in lines, predicted ones in columns, and the accuracy of each class
    OUT/log.csv             a line a validation: score, accuracy, and the median and mean factor by which the diameter is off
    OUT/resume.safetensors  every --save-every seconds and at the end

and prints the confusion matrix. The same command continues a run that was stopped (SIGTERM; the exit code is then 143) or killed,
exactly as if it had not been; with --time-budget the learning rate follows the clock, so that two runs differ.
"""

import argparse
import copy
import csv
import logging
import math
import signal
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from inference.network import best_dtype
from inference.normalisation import NormalisedImage
from inference.routing import RouterNetwork
from models.checkpoint import load_checkpoint, save_checkpoint
from models.classes import CLASSES, ROUTER_FILE
from models.config import Config
from models.router import Router
from training.datasets import Sample, load_samples, read_manifest
from training.resume import decisive, load_run, save_run
from training.router_views import NO_CLASS, ViewDataset
from training.train import BAR, StepSampler, StopSignal, drop_rows_after, prepare_worker, write_row
from training.trainer import git_commit, update_average

log = logging.getLogger(__name__)

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4  # of SGD
ADAMW_WEIGHT_DECAY = 0.02
EPOCHS_A_DECADE = 7  # of the learning rate (paper, Table 3)
WARM_UP = 1.0  # epochs, of the cosine schedule
LABEL_SMOOTHING = 0.05  # near the borders that the cue rules draw, one pixel more changes the class
SIZE_WEIGHT = 1.0  # of the diameter's loss; the classes have weight 1
SIZE_KNEE = 0.2  # error of the log diameter from which on its loss grows linearly
EMA_DECAY = 0.99
PREFETCHED = 4  # batches a worker
SCORE_SIZE_WEIGHT = 0.5  # of the size error against accuracy: 2 % in size are worth 1 % of the images
LARGEST_ERROR = math.log(4)  # of a log diameter in the score; farther off, nothing is found anyway
# Arguments that change what a run is; a resume file of other ones is refused.
DECISIVE = ("seed", "batch", "epochs", "optimiser", "lr", "schedule", "leave_out", "init", "random_init", "balance")


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train_router", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.datasets)")
    add("--out", type=Path, required=True, help="folder of the run")
    add("--leave-out", nargs="+", default=[], metavar="SOURCE", help="sources not to train on")
    add("--init", type=Path, help="router checkpoint to start from")
    add("--random-init", action="store_true", help="do not fetch ImageNet weights")
    add("--epochs", type=int, default=20, help="passes over as many views as there are images [20]")
    add("--time-budget", type=float, metavar="MINUTES", help="stop after this time instead of --epochs")
    add("--batch", type=int, default=64, help="[64]")
    add("--optimiser", choices=("sgd", "adamw"), default="sgd", help="adamw learns more in few steps; its rate is --lr too [sgd]")
    add("--balance", type=float, default=0.5, metavar="EXPONENT",
        help="a source is drawn as often as its number of images to this power: 0 all sources alike, 1 all images alike [0.5]")
    add("--lr", type=float, default=1e-3, help="first learning rate [1e-3]")
    add("--schedule", choices=("steps", "cosine"), default="steps",
        help="divided by 10 every 7 of 20 epochs, or warm-up and cosine [steps]")
    add("--validate-every", type=int, default=1, metavar="EPOCHS", help="[1]")
    add("--save-every", type=float, default=300.0, metavar="SECONDS", help="time between resume files [300]")
    add("--seed", type=int, default=0, help="[0]")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="[cuda where there is one]")
    add("--workers", type=int, default=2, help="processes that make views [2]")
    return parser.parse_args(argv)


def learning_rate(epoch: float, epochs: int, first: float, schedule: str) -> float:
    """Learning rate at a fraction of an epoch."""
    if schedule == "steps":
        return first * 0.1 ** (int(epoch) // EPOCHS_A_DECADE)
    return first * min(1.0, (epoch + 0.05) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def router_loss(out, classes: torch.Tensor, log_diameter: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the class, and the smooth absolute error of the log diameter times its weight: (2,).

    Each is a mean over the views where it is known, 0 without any.
    """
    known, classified = torch.isfinite(log_diameter), classes != NO_CLASS
    nothing = out.log_diameter.sum() * 0
    size = F.smooth_l1_loss(out.log_diameter[known], log_diameter[known], beta=SIZE_KNEE) if known.any() else nothing
    label = (F.cross_entropy(out.classes[classified], classes[classified], label_smoothing=LABEL_SMOOTHING) if classified.any()
             else nothing)
    return torch.stack((label, SIZE_WEIGHT * size))


@dataclass(frozen=True)
class Measurement:
    """A router on validation images, through the path of inference.

    confusion : images of each true class (lines) that went to each class (columns)
    errors : |ln(measured / true diameter)| of each image that has cells
    """

    confusion: np.ndarray
    errors: np.ndarray

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def score(self) -> float:
        """By which checkpoints are selected."""
        size_error = float(np.minimum(self.errors, LARGEST_ERROR).mean()) if self.errors.size else 0.0
        return self.accuracy - SCORE_SIZE_WEIGHT * size_error

    def figures(self) -> dict[str, float]:
        """For the log and the checkpoint; the factors are 1 where the diameter is right."""
        typical, mean = (math.exp(f(self.errors)) if self.errors.size else 1.0 for f in (np.median, np.mean))
        return {"score": round(self.score, 5), "accuracy": round(self.accuracy, 5), "diameter_factor": round(typical, 4),
                "mean_diameter_factor": round(mean, 4)}


def measure(model: Router, samples: list[Sample]) -> Measurement:
    """Route and measure every image."""
    router, confusion, errors = RouterNetwork(copy.deepcopy(model).cpu().eval()), np.zeros((len(CLASSES),) * 2, int), []
    for sample in samples:
        route = router(NormalisedImage(sample.pixels), sample.excluded)
        confusion[sample.cue_class, route.best] += 1
        errors.append(abs(math.log(route.diameter / sample.diameter)))
    return Measurement(confusion, np.array([e for e in errors if not math.isnan(e)]))


class RouterRun:
    """Network, moving average, optimiser, and how far the run is.

    steps_an_epoch : of as many views as there are images
    step : optimiser steps done
    seconds : time spent, validation included
    losses : of class and size in each step since the last line of the log
    measured : step of the last validation, -1 before the first one
    best : highest score; its network is in OUT/router.safetensors
    """

    def __init__(self, args: argparse.Namespace, images: int):
        self.args, self.steps_an_epoch = args, max(1, images // args.batch)
        torch.manual_seed(args.seed)
        self.model = Router(pretrained=not args.random_init and args.init is None)
        if args.init:
            self.model.load_state_dict(load_checkpoint(args.init)[0].state_dict())
        self.model.to(args.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        if args.optimiser == "sgd":
            self.optimiser = torch.optim.SGD(self.model.parameters(), args.lr, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
        else:
            self.optimiser = torch.optim.AdamW(self.model.parameters(), args.lr, weight_decay=ADAMW_WEIGHT_DECAY)
        self.use_bfloat16 = best_dtype(torch.device(args.device)) == torch.bfloat16
        self.step, self.seconds, self.measured = 0, 0.0, -1
        self.losses: list[list[float]] = []
        self.best = -math.inf

    def progress(self) -> float:
        """Share of the run that is done, by the clock with --time-budget, else by steps."""
        budget = self.args.time_budget
        return min(1.0, self.seconds / (60 * budget) if budget else self.step / (self.args.epochs * self.steps_an_epoch))

    def train_step(self, views: torch.Tensor, classes: torch.Tensor, log_diameter: torch.Tensor) -> None:
        """One optimiser step."""
        args = self.args
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.progress() * args.epochs, args.epochs, args.lr, args.schedule)
        self.model.train()
        with torch.autocast(torch.device(args.device).type, torch.bfloat16) if self.use_bfloat16 else nullcontext():
            out = self.model(views.to(args.device).contiguous(memory_format=torch.channels_last))
        loss = router_loss(type(out)(*(t.float() for t in out)), classes.to(args.device), log_diameter.float().to(args.device))
        self.optimiser.zero_grad(set_to_none=True)
        loss.sum().backward()
        self.optimiser.step()
        self.step += 1
        update_average(self.average, self.model, self.step, EMA_DECAY)
        self.losses.append(loss.detach().tolist())

    def validation_is_due(self) -> bool:
        """At the end of every so many epochs, and of the run."""
        return self.progress() == 1 or self.step % (self.args.validate_every * self.steps_an_epoch) == 0

    def validate(self, samples: list[Sample]) -> None:
        """Measure the moving average, write a line of the log, and keep the network if it is the best so far."""
        measurement, self.measured = measure(self.average, samples), self.step
        figures = measurement.figures()
        class_loss, size_loss = np.mean(self.losses, axis=0).round(5).tolist() if self.losses else (math.nan, math.nan)
        write_row(self.args.out / "log.csv", {
            "step": self.step, "epoch": round(self.step / self.steps_an_epoch, 2), "seconds": round(self.seconds, 1),
            "lr": self.optimiser.param_groups[0]["lr"], "class_loss": class_loss, "size_loss": size_loss, **figures})
        log.info("epoch %.2f  loss %.3f + %.3f  score %.4f  accuracy %.4f  diameter off by a factor of %.2f (median), %.2f (mean)",
                 self.step / self.steps_an_epoch, class_loss, size_loss, *figures.values())
        self.losses = []
        if measurement.score > self.best:
            self.best = measurement.score
            self.write(measurement)

    def write(self, measurement: Measurement) -> None:
        """The checkpoint of the moving average, and its confusion matrix."""
        confusion = measurement.confusion
        args = vars(self.args) | {key: path and path.name for key, path in vars(self.args).items() if isinstance(path, Path)}
        validation = measurement.figures() | {
            "images": int(confusion.sum()), "per_class": dict(enumerate(np.round(accuracies(confusion), 4).tolist())),
            "step": self.step}
        save_checkpoint(self.args.out / ROUTER_FILE, self.average, Config(
            git_commit=git_commit(), validation=validation, training=args | {"steps_done": self.step, "seconds": round(self.seconds)}))
        with open(self.args.out / "confusion.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(confusion_rows(confusion))

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"model": self.model, "average": self.average}

    def save(self) -> None:
        """Everything that a later process needs to go on exactly from here."""
        state = {name: getattr(self, name) for name in ("step", "seconds", "losses", "measured", "best")}
        save_run(self.args.out, self._modules(), self.optimiser, decisive(self.args, DECISIVE), state)

    def resume(self) -> bool:
        """Continue from the resume file, if there is one; raises CheckpointError if it is damaged or of another run."""
        state = load_run(self.args.out, self._modules(), self.optimiser, decisive(self.args, DECISIVE))
        for name, value in (state or {}).items():
            setattr(self, name, value)
        return state is not None


def accuracies(confusion: np.ndarray) -> np.ndarray:
    """Share of each true class that was predicted right; 0 for a class without images."""
    return np.diag(confusion) / np.maximum(1, confusion.sum(axis=1))


def confusion_rows(confusion: np.ndarray) -> list[list]:
    """A table with a header: true classes in lines, predicted ones in columns, then the accuracy."""
    names = [c.name for c in CLASSES]
    header = ["true \\ predicted", *names, "accuracy"]
    return [header, *([name, *line, f"{accuracy:.4f}"]
                      for name, line, accuracy in zip(names, confusion.tolist(), accuracies(confusion)))]


def train(run: RouterRun, loader: DataLoader, val: list[Sample], stop: StopSignal, bar: tqdm) -> bool:
    """Train to the end of the run, or until `stop`; the answer is whether the end was reached."""
    clock = saved = time.monotonic()
    batches = iter(loader)
    if run.args.init and run.measured < 0:
        run.validate(val)
    while not stop.came and run.progress() < 1:
        run.train_step(*next(batches))
        now = time.monotonic()
        run.seconds += now - clock
        clock = now
        bar.set_description_str(f"step {run.step}", refresh=False)
        bar.n = run.progress()
        bar.update(0)
        if run.validation_is_due():
            run.validate(val)
        if now - saved > run.args.save_every:
            run.save()
            saved = now
    run.save()
    return not stop.came


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    args = parse_arguments(argv)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        samples = load_samples([r for r in read_manifest(args.manifest, "train") if r.source not in args.leave_out])
        val = load_samples([r for r in read_manifest(args.manifest, "val") if r.label])
        run = RouterRun(args, len(samples))
        resumed = run.resume()
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return 1
    log.info("%d images to train with, %d to validate with", len(samples), len(val))
    if resumed:
        log.info("continuing at step %d", run.step)
    drop_rows_after(args.out / "log.csv", run.step if resumed else -1)
    loader = DataLoader(ViewDataset(samples, args.seed, args.balance), batch_sampler=StepSampler(run.step, args.batch),
                        num_workers=args.workers, prefetch_factor=PREFETCHED if args.workers else None,
                        worker_init_fn=prepare_worker)
    with StopSignal() as stop, logging_redirect_tqdm(), tqdm(initial=run.progress(), total=1, bar_format=BAR, disable=None) as bar:
        finished = train(run, loader, val, stop, bar)
    if not finished:
        log.info("stopped at step %d", run.step)
        return 128 + signal.SIGTERM
    log.info("done: %d steps in %.0f s, best score %.4f", run.step, run.seconds, run.best)
    with open(args.out / "confusion.csv", encoding="utf-8") as file:
        for row in csv.reader(file):
            print(f"{row[0]:16}" + "".join(f"{cell:>14}" for cell in row[1:]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
