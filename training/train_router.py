"""Train the router: a ResNet18 that predicts the cue class and the cell diameter of an image (paper, section 2.1, and Table 3).

    python -m training.train_router --manifest data/manifest.csv --out runs/router

The labels come from the rules of `training.cues`, the diameters from the label images. The defaults are the paper's protocol
(ResNet18 from ImageNet, SGD 1e-3, divided by 10 every 7 of 20 epochs, batches of 64). Without ImageNet weights:

    python -m training.train_router --manifest data/manifest.csv --out runs/router --random-init --lr 0.05 --schedule cosine --epochs 40

It writes OUT/router.safetensors, of the epoch with the highest accuracy on the manifest's split "val" (of equal ones the one with
the smaller error of the diameter), OUT/log.csv and OUT/confusion.csv, and prints the accuracy per class.
"""

import argparse
import csv
import logging
import math
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from inference.images import to_three_channels
from inference.network import best_dtype
from inference.routing import router_view
from models.checkpoint import load_checkpoint, save_checkpoint
from models.router import CLASSES, VIEW_SIZE, Router
from training import augmentation
from training.cues import CLASSES as CLASS_NAMES
from training.datasets import Sample, balanced_weights, load_samples, read_manifest

log = logging.getLogger(__name__)

VIEW_ZOOM = (0.7, 1.5)  # of a training view over the inference view
MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4
SIZE_WEIGHT = 0.5  # of the diameter's loss; the classes have weight 1
# Those that leave the cues alone: colours and brightness decide the class.
INTENSITY = tuple(x for x in augmentation.INTENSITY
                  if x[1] in (augmentation.gaussian_noise, augmentation.gaussian_smooth, augmentation.histogram_shift))


class ViewDataset(Dataset):
    """Random views for training; view number i depends on `seed` and i alone."""

    def __init__(self, samples: list[Sample], views: int, seed: int):
        self.samples, self.views, self.seed = samples, views, seed
        self.weights = balanced_weights(samples)

    def __len__(self) -> int:
        return self.views

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, float]:
        """view 3x224x224 in [0, 1], class, natural logarithm of the cell diameter in pixels of the view (nan without cells)."""
        rng = np.random.default_rng((self.seed, index))
        sample = self.samples[rng.choice(len(self.samples), p=self.weights)]
        shape = sample.labels.shape
        zoom = 256 / min(shape) * math.exp(rng.uniform(*np.log(VIEW_ZOOM)))
        zoom = max(zoom, VIEW_SIZE / min(shape))  # the view never reaches beyond the image
        centre = tuple(rng.uniform(0, n) for n in shape)
        view, _, _ = augmentation.cut(sample.pixels, sample.labels, zoom, centre, VIEW_SIZE, rng)
        (view,) = augmentation.flip_and_turn([view], rng)
        view = augmentation.change_intensity(view.astype(np.float32) / 255, rng, INTENSITY)
        return to_tensor(view), sample.cue_class, math.log(sample.diameter * zoom)


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
    add("--batch", type=int, default=64, help="[64]")
    add("--lr", type=float, default=1e-3, help="first learning rate [1e-3]")
    add("--schedule", choices=("steps", "cosine"), default="steps", help="divided by 10 every 7 epochs, or cosine [steps]")
    add("--seed", type=int, default=0, help="[0]")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="[cuda where there is one]")
    add("--workers", type=int, default=2, help="processes that make views [2]")
    return parser.parse_args(argv)


def learning_rate(epoch: float, epochs: int, first: float, schedule: str) -> float:
    """Learning rate at a fraction of an epoch."""
    if schedule == "steps":
        return first * 0.1 ** (int(epoch) // 7)
    return first * min(1.0, epoch + 0.05) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def router_loss(out, classes: torch.Tensor, log_diameter: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the class plus the smooth absolute error of the log diameter where it is known."""
    known = torch.isfinite(log_diameter)
    size = F.smooth_l1_loss(out.log_diameter[known], log_diameter[known]) if known.any() else out.log_diameter.sum() * 0
    return F.cross_entropy(out.classes, classes) + SIZE_WEIGHT * size


@torch.no_grad()
def evaluate(model: Router, loader: DataLoader, device: str) -> tuple[np.ndarray, float]:
    """Confusion matrix (true class, predicted class) and the median factor between true and predicted diameter, as |log|."""
    model.eval()
    confusion, errors = np.zeros((CLASSES, CLASSES), int), []
    for views, classes, log_diameter in loader:
        out = model(views.to(device))
        np.add.at(confusion, (classes.numpy(), out.classes.argmax(1).cpu().numpy()), 1)
        errors.append((out.log_diameter.cpu() - log_diameter).abs().numpy())
    return confusion, float(np.nanmedian(np.concatenate(errors)))


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    args = parse_arguments(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    train = load_samples([r for r in read_manifest(args.manifest, "train") if r.source not in args.leave_out])
    val = load_samples(read_manifest(args.manifest, "val"))
    model = Router(pretrained=not args.random_init and args.init is None)
    if args.init:
        model.load_state_dict(load_checkpoint(args.init)[0].state_dict())
    model.to(args.device, memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(model.parameters(), args.lr, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
    loader = DataLoader(ViewDataset(train, args.epochs * len(train), args.seed), args.batch, num_workers=args.workers, drop_last=True)
    val_loader = DataLoader(ValidationViews(val), args.batch)
    steps = len(train) // args.batch  # of an epoch
    use_bfloat16 = best_dtype(torch.device(args.device)) == torch.bfloat16
    best, started, recent = (-1.0, 0.0), time.monotonic(), []
    for step, (views, classes, log_diameter) in enumerate(loader, start=1):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate((step - 1) / steps, args.epochs, args.lr, args.schedule)
        model.train()
        with torch.autocast(torch.device(args.device).type, torch.bfloat16) if use_bfloat16 else nullcontext():
            out = model(views.to(args.device).contiguous(memory_format=torch.channels_last))
        loss = router_loss(type(out)(*(t.float() for t in out)), classes.to(args.device), log_diameter.float().to(args.device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        recent.append(float(loss.detach()))
        if step % steps:
            continue
        confusion, size_error = evaluate(model, val_loader, args.device)
        accuracy = float(np.trace(confusion) / confusion.sum())
        log.info("epoch %d  loss %.3f  accuracy %.4f  diameter off by a factor of %.2f  %.0f s", step // steps, np.mean(recent),
                 accuracy, math.exp(size_error), time.monotonic() - started)
        recent = []
        if (accuracy, -size_error) > best:
            best = (accuracy, -size_error)
            save_checkpoint(args.out / "router.safetensors", model, {
                "network": {}, "training": {"epochs": step // steps, "seed": args.seed, "views": step * args.batch,
                                            "leave_out": args.leave_out},
                "validation": {"accuracy": round(accuracy, 4), "diameter_factor": round(math.exp(size_error), 3),
                               "per_class": {c: round(float(confusion[c, c] / max(1, confusion[c].sum())), 4) for c in range(CLASSES)}}})
            write_confusion(args.out / "confusion.csv", confusion)
    log.info("best accuracy %.4f", best[0])
    return 0


def write_confusion(path: Path, confusion: np.ndarray) -> None:
    """Rows are true classes, columns predicted ones."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["true \\ predicted", *CLASS_NAMES, "accuracy"])
        for name, row in zip(CLASS_NAMES, confusion):
            writer.writerow([name, *row, round(float(row[CLASS_NAMES.index(name)] / max(1, row.sum())), 4)])


if __name__ == "__main__":
    raise SystemExit(main())
