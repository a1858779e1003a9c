"""Train the router: a ResNet18 that predicts the cue class and the cell diameter of an image (paper, section 2.1, and Table 3).

    python -m training.train_router --manifest data/manifest.csv --out runs/router

The labels come from the rules of `training.cues`, the diameters from the label images, which may be pseudo labels. The defaults
are the paper's protocol (ResNet18 from ImageNet, SGD 1e-3, divided by 10 every 7 of 20 epochs, batches of 64). Without ImageNet
weights and without a GPU, in three quarters of an hour:

    python -m training.train_router --manifest data/manifest.csv --out runs/router --random-init --batch 16 --lr 0.02 \\
        --schedule cosine --time-budget 45

After every epoch the router is measured on the manifest's split "val", on the views that inference takes. The run writes

    OUT/router.safetensors  of the epoch with the highest accuracy (of equal ones, with the smaller error of the diameter)
    OUT/confusion.csv       of that epoch: true classes in lines, predicted ones in columns, and the accuracy of each class
    OUT/log.csv             a line an epoch
    OUT/resume.safetensors  every --save-every seconds and at the end

and prints the confusion matrix. The same command continues a run that was stopped (SIGTERM; the exit code is then 143) or killed,
exactly as if it had not been; with --time-budget the learning rate follows the clock, so that two runs differ.
"""

import argparse
import csv
import json
import logging
import math
import signal
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from inference.images import to_three_channels
from inference.network import best_dtype
from inference.routing import router_view
from inference.segmenter import ROUTER_FILE
from models.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from models.router import CLASSES, VIEW_SHORTER_SIDE, VIEW_SIZE, Router
from training import augmentation
from training.cues import CLASSES as CLASS_NAMES
from training.datasets import Sample, balanced_weights, load_samples, read_manifest
from training.train import PREFETCHED, StepSampler, StopSignal, drop_rows_after, prepare_worker, write_row

log = logging.getLogger(__name__)

VIEW_ZOOM = (0.7, 1.5)  # of a training view over the inference view
CLOSE_UPS = 0.4  # share of the views that show a part of the image at a size where the cells are...
CLOSE_UP_DIAMETER = (8.0, 80.0)  # ...of this diameter in pixels, as inference.routing takes them to measure cells
NO_CLASS = -1  # of a close-up: a part does not show what the class is decided by
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4
EPOCHS_A_DECADE = 7  # of the learning rate (paper, Table 3)
LARGEST_ERROR = math.log(1000)  # of a diameter: an untrained network's would overflow
SIZE_WEIGHT = 0.5  # of the diameter's loss; the classes have weight 1
# Those that leave the cues alone: colours and brightness decide the class.
INTENSITY = tuple(x for x in augmentation.INTENSITY
                  if x[1] in (augmentation.gaussian_noise, augmentation.gaussian_smooth, augmentation.histogram_shift))


class ViewDataset(Dataset):
    """Endless random views for training; view number i depends on `seed` and i alone."""

    def __init__(self, samples: list[Sample], seed: int):
        self.samples, self.seed = samples, seed
        self.weights = balanced_weights(samples)

    def __len__(self) -> int:
        return 2**62

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, float]:
        """view 3x224x224 in [0, 1], class or NO_CLASS, natural logarithm of the cell diameter in pixels of the view (nan without cells)."""
        rng = np.random.default_rng((self.seed, index))
        sample = self.samples[rng.choice(len(self.samples), p=self.weights)]
        shape = sample.labels.shape
        zoom = VIEW_SHORTER_SIDE / min(shape) * math.exp(rng.uniform(*np.log(VIEW_ZOOM)))
        label = sample.cue_class
        if rng.random() < CLOSE_UPS and not math.isnan(sample.diameter):
            closer = math.exp(rng.uniform(*np.log(CLOSE_UP_DIAMETER))) / sample.diameter
            zoom, label = (closer, NO_CLASS) if closer > zoom else (zoom, label)
        zoom = max(zoom, VIEW_SIZE / min(shape))  # the view never reaches beyond the image
        if label == NO_CLASS:
            centre = divmod(int(rng.choice(np.flatnonzero(sample.labels))), shape[1])
        else:
            centre = tuple(rng.uniform(0, n) for n in shape)
        view, _, _ = augmentation.cut(sample.pixels, sample.labels, zoom, centre, VIEW_SIZE, rng)
        (view,) = augmentation.flip_and_turn([view], rng)
        view = augmentation.change_intensity(view.astype(np.float32) / 255, rng, INTENSITY)
        return to_tensor(view), label, math.log(sample.diameter * zoom)


class ValidationViews(Dataset):
    """The view that inference takes of each image."""

    def __init__(self, samples: list[Sample]):
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, float]:
        sample = self.samples[index]
        view, zoom = router_view(sample.pixels)
        return to_tensor(view.astype(np.float32) / 255), sample.cue_class, math.log(sample.diameter * zoom)


def to_tensor(view: np.ndarray) -> torch.Tensor:
    """(H, W) or (H, W, 3) float32 -> 3xHxW."""
    return torch.from_numpy(np.ascontiguousarray(to_three_channels(view).transpose(2, 0, 1)))


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
    add("--lr", type=float, default=1e-3, help="first learning rate [1e-3]")
    add("--schedule", choices=("steps", "cosine"), default="steps", help="divided by 10 every 7 of 20 epochs, or cosine [steps]")
    add("--save-every", type=float, default=300.0, metavar="SECONDS", help="time between resume files [300]")
    add("--seed", type=int, default=0, help="[0]")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="[cuda where there is one]")
    add("--workers", type=int, default=2, help="processes that make views [2]")
    return parser.parse_args(argv)


def learning_rate(epoch: float, epochs: int, first: float, schedule: str) -> float:
    """Learning rate at a fraction of an epoch."""
    if schedule == "steps":
        return first * 0.1 ** (int(epoch) // EPOCHS_A_DECADE)
    return first * min(1.0, epoch + 0.05) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def router_loss(out, classes: torch.Tensor, log_diameter: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the class plus the smooth absolute error of the log diameter, each where it is known."""
    known = torch.isfinite(log_diameter)
    size = F.smooth_l1_loss(out.log_diameter[known], log_diameter[known]) if known.any() else out.log_diameter.sum() * 0
    classified = classes != NO_CLASS
    label = F.cross_entropy(out.classes[classified], classes[classified]) if classified.any() else out.classes.sum() * 0
    return label + SIZE_WEIGHT * size


@torch.no_grad()
def evaluate(model: Router, loader: DataLoader, device: str) -> tuple[np.ndarray, float]:
    """Confusion matrix (true class, predicted class) and the median factor between true and predicted diameter, as |log|."""
    model.eval()
    confusion, errors = np.zeros((CLASSES, CLASSES), int), []
    for views, classes, log_diameter in loader:
        out = model(views.to(device))
        np.add.at(confusion, (classes.numpy(), out.classes.argmax(1).cpu().numpy()), 1)
        errors.append((out.log_diameter.cpu() - log_diameter).abs().clamp(max=LARGEST_ERROR).numpy())
    return confusion, float(np.nanmedian(np.concatenate(errors)))


class RouterRun:
    """Network, optimiser, and how far the run is.

    steps_an_epoch : of as many views as there are images
    step : optimiser steps done
    seconds : time spent, evaluation included but for the last one
    losses : since the last line of the log
    best : highest accuracy, and minus the error of the diameter; the network is in OUT/router.safetensors
    """

    RESUME_FILE = "resume.safetensors"
    DECISIVE = ("seed", "batch", "epochs", "lr", "schedule", "leave_out", "init", "random_init")  # another run's are refused

    def __init__(self, args: argparse.Namespace, images: int):
        self.args, self.steps_an_epoch = args, max(1, images // args.batch)
        torch.manual_seed(args.seed)
        self.model = Router(pretrained=not args.random_init and args.init is None)
        if args.init:
            self.model.load_state_dict(load_checkpoint(args.init)[0].state_dict())
        self.model.to(args.device, memory_format=torch.channels_last)
        self.optimiser = torch.optim.SGD(self.model.parameters(), args.lr, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
        self.use_bfloat16 = best_dtype(torch.device(args.device)) == torch.bfloat16
        self.step, self.seconds = 0, 0.0
        self.losses: list[float] = []
        self.best = (-1.0, 0.0)

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
        loss.backward()
        self.optimiser.step()
        self.step += 1
        self.losses.append(float(loss.detach()))

    def finish_epoch(self, val_loader: DataLoader) -> None:
        """Measure the network, write a line of the log, and keep the network if it is the best so far."""
        confusion, size_error = evaluate(self.model, val_loader, self.args.device)
        accuracy, factor = float(np.trace(confusion) / confusion.sum()), math.exp(size_error)
        row = {"step": self.step, "epoch": round(self.step / self.steps_an_epoch, 2), "seconds": round(self.seconds, 1),
               "lr": self.optimiser.param_groups[0]["lr"], "loss": round(float(np.mean(self.losses)), 5),
               "accuracy": round(accuracy, 5), "diameter_factor": round(factor, 4)}
        write_row(self.args.out / "log.csv", row)
        log.info("epoch %g  loss %.3f  accuracy %.4f  diameter off by a factor of %.2f", row["epoch"], row["loss"], accuracy,
                 factor)
        self.losses = []
        if (accuracy, -size_error) > self.best:
            self.best = (accuracy, -size_error)
            self.write(confusion, {"accuracy": accuracy, "images": int(confusion.sum()), "diameter_factor": round(factor, 4),
                                   "per_class": dict(enumerate(np.round(accuracies(confusion), 4).tolist())), "step": self.step})

    def write(self, confusion: np.ndarray, validation: dict) -> None:
        """The router's checkpoint and its confusion matrix."""
        args = vars(self.args) | {key: path and path.name for key, path in vars(self.args).items() if isinstance(path, Path)}
        training = args | {"steps_done": self.step, "seconds": round(self.seconds)}
        save_checkpoint(self.args.out / ROUTER_FILE, self.model, {"network": {}, "training": training, "validation": validation})
        with open(self.args.out / "confusion.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(confusion_rows(confusion))

    def save(self) -> None:
        """Everything that a later process needs to go on exactly from here."""
        tensors = {f"model/{n}": t for n, t in self.model.state_dict().items()}
        for name, parameter in self.model.named_parameters():
            if "momentum_buffer" in self.optimiser.state[parameter]:
                tensors[f"momentum/{name}"] = self.optimiser.state[parameter]["momentum_buffer"]
        state = {"step": self.step, "seconds": self.seconds, "losses": self.losses, "best": self.best,
                 "arguments": self._decisive()}
        partial = self.args.out / f"{self.RESUME_FILE}.part"
        save_file({n: t.detach().cpu().contiguous() for n, t in tensors.items()}, partial, {"state": json.dumps(state)})
        partial.replace(self.args.out / self.RESUME_FILE)

    def _decisive(self) -> dict:
        return json.loads(json.dumps({key: getattr(self.args, key) for key in self.DECISIVE}, default=str))

    def resume(self) -> bool:
        """Continue from the resume file, if there is one; raises CheckpointError if it is of a run with other arguments."""
        path = self.args.out / self.RESUME_FILE
        if not path.exists():
            return False
        with safe_open(path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if differing := [f"{key} {value}" for key, value in state["arguments"].items() if self._decisive()[key] != value]:
            raise CheckpointError(f"{path}: from a run with {', '.join(differing)}; repeat its command, or give another --out")
        self.model.load_state_dict({n.removeprefix("model/"): t for n, t in tensors.items() if n.startswith("model/")})
        for name, parameter in self.model.named_parameters():
            if (momentum := tensors.get(f"momentum/{name}")) is not None:
                # In the parameter's memory format: another one would round differently.
                self.optimiser.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(momentum)
        self.step, self.seconds, self.losses, self.best = state["step"], state["seconds"], state["losses"], tuple(state["best"])
        return True


def accuracies(confusion: np.ndarray) -> np.ndarray:
    """Share of each true class that was predicted right; 0 for a class without images."""
    return np.diag(confusion) / np.maximum(1, confusion.sum(axis=1))


def confusion_rows(confusion: np.ndarray) -> list[list]:
    """A table with a header: true classes in lines, predicted ones in columns, then the accuracy."""
    header = ["true \\ predicted", *CLASS_NAMES, "accuracy"]
    return [header, *([name, *line, f"{accuracy:.4f}"]
                      for name, line, accuracy in zip(CLASS_NAMES, confusion.tolist(), accuracies(confusion)))]


def train(run: RouterRun, loader: DataLoader, val_loader: DataLoader, stop: StopSignal) -> bool:
    """Train to the end of the run, or until `stop`; the answer is whether the end was reached."""
    clock = saved = time.monotonic()
    batches = iter(loader)
    while not stop.came and run.progress() < 1:
        run.train_step(*next(batches))
        now = time.monotonic()
        run.seconds += now - clock
        clock = now
        if run.progress() == 1 or run.step % run.steps_an_epoch == 0:
            run.finish_epoch(val_loader)
        if now - saved > run.args.save_every:
            run.save()
            saved = now
    run.save()
    return not stop.came


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    args = parse_arguments(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    try:
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
    loader = DataLoader(ViewDataset(samples, args.seed), batch_sampler=StepSampler(run.step, args.batch),
                        num_workers=args.workers, prefetch_factor=PREFETCHED if args.workers else None,
                        worker_init_fn=prepare_worker)
    with StopSignal() as stop:
        finished = train(run, loader, DataLoader(ValidationViews(val), args.batch), stop)
    if not finished:
        log.info("stopped at step %d", run.step)
        return 128 + signal.SIGTERM
    log.info("done: %d steps in %.0f s, best accuracy %.4f", run.step, run.seconds, run.best[0])
    with open(args.out / "confusion.csv", encoding="utf-8") as file:
        for row in csv.reader(file):
            print(f"{row[0]:16}" + "".join(f"{cell:>14}" for cell in row[1:]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
