"""Train a segmenter: pre-train on all images or fine-tune on one class (paper, sections 2.3 and 3.3).

Pre-train both streams at once, then fine-tune class 1's Hover network from it:

    python -m training.train --manifest data/manifest.csv --stream both --out runs/pretrain
    python -m training.train --manifest data/manifest.csv --stream hover --classes 1 --init runs/pretrain/hover.safetensors \\
        --out runs/class1

The defaults are the paper's protocol (ConvNeXt-small from ImageNet, 512x512 crops, batch 16, AdamW 1e-4 halved every quarter of
the run) in steps instead of epochs. Without a GPU and without ImageNet weights, a small network in an hour and a half:

    python -m training.train --manifest data/manifest.csv --stream both --out runs/pretrain --encoder convnext_atto \\
        --random-init --crop 256 --batch 8 --lr 1e-3 --schedule cosine --time-budget 90

The run writes OUT/STREAM.safetensors (the moving average of the weights, for predict.py), OUT/log.csv (a line every 50 steps)
and OUT/resume.safetensors. The same command continues a run that was stopped or killed, from the last resume file, exactly as
if it had not been: crops depend on --seed and the step alone. With --time-budget the learning rate follows the clock instead
of the step count, so that two runs differ.
"""

import argparse
import csv
import json
import logging
import math
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torch.utils.data import DataLoader, Sampler

from inference.network import best_dtype
from models.checkpoint import load_checkpoint, save_checkpoint
from models.hover import HoverMaps
from models.unet import STRIDE
from training.datasets import HOVER_STRIDE, CropDataset, load_samples, read_manifest
from training.losses import hover_loss, stardist_loss
from training.networks import STREAMS, TrainingNetwork

log = logging.getLogger(__name__)

LOG_EVERY = 50  # steps
SAVE_EVERY = 300  # seconds between resume files
WARM_UP = 0.02  # of the run, for the cosine schedule
WEIGHT_DECAY = 0.05
GRADIENT_NORM = 5.0
EMA_DECAY = 0.999


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.datasets)")
    add("--out", type=Path, required=True, help="folder of the run")
    add("--stream", choices=STREAMS, default="both", help="heads to train [both]")
    add("--classes", type=int, nargs="+", choices=range(4), help="train on these classes only [all]")
    add("--leave-out", nargs="+", default=[], metavar="SOURCE", help="sources not to train on")
    add("--init", type=Path, help="checkpoint to start from")
    add("--encoder", default="convnext_small", help="any ConvNeXt of timm [convnext_small]")
    add("--random-init", action="store_true", help="do not fetch ImageNet weights for the encoder")
    add("--steps", type=int, default=150_000, help="optimiser steps [150000]")
    add("--time-budget", type=float, metavar="MINUTES", help="stop after this time instead of --steps")
    add("--batch", type=int, default=16, help="crops a step [16]")
    add("--crop", type=int, default=512, help="crop size in pixels [512]")
    add("--diameter", type=float, default=28.0, help="median cell diameter that images are brought to, in pixels [28]")
    add("--zoom", type=float, nargs=2, default=(0.5, 2.0), help="random factor on that diameter [0.5 2]")
    add("--lr", type=float, default=1e-4, help="first learning rate [1e-4]")
    add("--schedule", choices=("halving", "cosine"), default="halving", help="halved every quarter, or warm-up and cosine [halving]")
    add("--plain-mae", action="store_true", help="the paper's MAE in pixels instead of relative to the cell's size")
    add("--seed", type=int, default=0, help="[0]")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda [cuda where there is one]")
    add("--workers", type=int, default=2, help="processes that make crops [2]")
    return parser.parse_args(argv)


class ResumableSampler(Sampler):
    """Crop numbers from `start` on, without end."""

    def __init__(self, start: int):
        self.start = start

    def __iter__(self):
        index = self.start
        while True:
            yield index
            index += 1


def learning_rate(progress: float, first: float, schedule: str) -> float:
    """Learning rate at `progress` in [0, 1] of the run."""
    if schedule == "halving":
        return first * 0.5 ** int(progress * 4)
    if progress < WARM_UP:
        return first * max(progress / WARM_UP, 0.01)
    return first * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))))


def losses(maps: dict, batch: dict[str, torch.Tensor], reference_radius: float | None) -> dict[str, torch.Tensor]:
    """All loss terms of the heads that `maps` has."""
    terms = {}
    if "stardist" in maps:
        terms |= stardist_loss(maps["stardist"], batch["prob"], batch["dist"], batch["weight"], reference_radius)
    if "hover" in maps:
        enlarged = HoverMaps(*(F.interpolate(m, scale_factor=STRIDE // HOVER_STRIDE, mode="bilinear", align_corners=False)
                               for m in maps["hover"]))
        terms |= hover_loss(enlarged, batch["cell"], batch["hv"], batch["hover_weight"])
    return terms


class Trainer:
    """State of a run: network, moving average, optimiser, step, seconds."""

    def __init__(self, args: argparse.Namespace):
        self.args = args
        torch.manual_seed(args.seed)
        pretrained = not args.random_init and args.init is None
        layer_scale = 0.5 if args.random_init else None  # DESIGN, section 9: a random encoder starts slowly from 1e-6
        if args.init:
            start, config = load_checkpoint(args.init)
            args.encoder = config["network"]["encoder"]
        self.model = TrainingNetwork(args.stream, encoder=args.encoder, layer_scale=layer_scale, pretrained=pretrained)
        if args.init:
            self.model.adopt(start)
        self.model.to(args.device, memory_format=torch.channels_last)
        self.average = {n: t.detach().clone() for n, t in self.model.state_dict().items()}
        decay = [p for p in self.model.parameters() if p.ndim >= 2]
        plain = [p for p in self.model.parameters() if p.ndim < 2]
        self.optimiser = torch.optim.AdamW([{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}],
                                           lr=args.lr)
        self.use_bfloat16 = best_dtype(torch.device(args.device)) == torch.bfloat16
        self.step, self.seconds = 0, 0.0

    def progress(self) -> float:
        """Share of the run that is done, by the clock with --time-budget, else by steps."""
        budget = self.args.time_budget
        return min(1.0, self.seconds / (60 * budget) if budget else self.step / self.args.steps)

    def train_step(self, batch: dict[str, torch.Tensor]) -> dict[str, float]:
        """One optimiser step; returns the loss terms."""
        args = self.args
        batch = {k: v.to(args.device, non_blocking=True) for k, v in batch.items()}
        rate = learning_rate(self.progress(), args.lr, args.schedule)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.model.train()
        with torch.autocast(torch.device(args.device).type, torch.bfloat16) if self.use_bfloat16 else nullcontext():
            maps = self.model(batch["image"].contiguous(memory_format=torch.channels_last))
        maps = {k: type(m)(*(t.float() for t in m)) for k, m in maps.items()}
        terms = losses(maps, batch, None if args.plain_mae else args.diameter / 2)
        self.optimiser.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        self.optimiser.step()
        self.step += 1
        self._update_average()
        return {k: float(v.detach()) for k, v in terms.items()}

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(EMA_DECAY, (1 + self.step) / (10 + self.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def save(self) -> None:
        """Resume file and the checkpoints of the moving average."""
        tensors = {f"model/{n}": t for n, t in self.model.state_dict().items()} | {f"average/{n}": t for n, t in self.average.items()}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimiser.state[parameter].items():
                tensors[f"optimiser/{key}/{name}"] = value
        partial = self.args.out / "resume.safetensors.part"
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, partial,
                  {"step": str(self.step), "seconds": repr(self.seconds)})
        partial.replace(self.args.out / "resume.safetensors")
        trained = TrainingNetwork(self.args.stream, encoder=self.args.encoder)
        trained.load_state_dict(self.average)
        training = {k: str(v) if isinstance(v, Path) else v for k, v in vars(self.args).items()} | {
            "manifest": self.args.manifest.name, "out": self.args.out.name, "init": self.args.init and self.args.init.name,
            "steps_done": self.step, "seconds": round(self.seconds)}
        for name, part in trained.split().items():
            save_checkpoint(self.args.out / f"{name}.safetensors", part,
                            {"network": {"encoder": self.args.encoder}, "diameter": self.args.diameter, "training": training})

    def resume(self) -> bool:
        """Continue from the resume file, if there is one."""
        path = self.args.out / "resume.safetensors"
        if not path.exists():
            return False
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        tensors = load_file(path, device=self.args.device)
        part = lambda prefix: {k[len(prefix):]: v for k, v in tensors.items() if k.startswith(prefix)}  # noqa: E731
        self.model.load_state_dict(part("model/"))
        self.average = part("average/")
        for name, parameter in self.model.named_parameters():
            self.optimiser.state[parameter] = {
                key: tensors[f"optimiser/{key}/{name}"].clone(memory_format=torch.preserve_format)
                for key in ("step", "exp_avg", "exp_avg_sq")}
            self.optimiser.state[parameter]["step"] = self.optimiser.state[parameter]["step"].cpu()
        self.step, self.seconds = int(metadata["step"]), float(metadata["seconds"])
        return True


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    args = parse_arguments(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    samples = load_samples([r for r in read_manifest(args.manifest, "train") if r.source not in args.leave_out])
    if args.classes:
        samples = [s for s in samples if s.cue_class in args.classes]
    data = CropDataset(samples, args.crop, args.diameter, tuple(args.zoom), args.seed)
    log.info("%d images with cells, %d sources", len(data.samples), len({s.record.source for s in data.samples}))
    trainer = Trainer(args)
    if trainer.resume():
        log.info("continuing at step %d", trainer.step)
    (args.out / "arguments.json").write_text(json.dumps(vars(args), default=str, indent=1))
    loader = DataLoader(data, args.batch, sampler=ResumableSampler(trainer.step * args.batch), num_workers=args.workers,
                        prefetch_factor=4 if args.workers else None, pin_memory=args.device != "cpu", drop_last=True)
    clock = saved = time.monotonic()
    waiting, recent = 0.0, []
    batches = iter(loader)
    while trainer.progress() < 1:
        asked = time.monotonic()
        batch = next(batches)
        waiting += time.monotonic() - asked
        recent.append(trainer.train_step(batch))
        now = time.monotonic()
        trainer.seconds += now - clock
        clock = now
        if trainer.step % LOG_EVERY == 0:
            terms = {k: float(np.mean([r[k] for r in recent])) for k in recent[0]}
            write_log(args.out / "log.csv", {"step": trainer.step, "seconds": round(trainer.seconds, 1),
                                             "lr": trainer.optimiser.param_groups[0]["lr"], "waiting": round(waiting, 2), **terms})
            log.info("step %d  %3.0f %%  loss %.3f  waited %.1f s for data  %s", trainer.step, 100 * trainer.progress(),
                     sum(terms.values()), waiting, "  ".join(f"{k} {v:.3f}" for k, v in terms.items()))
            waiting, recent = 0.0, []
        if now - saved > SAVE_EVERY:
            trainer.save()
            saved = now
    trainer.save()
    log.info("done: %d steps in %.0f s", trainer.step, trainer.seconds)
    return 0


def write_log(path: Path, row: dict) -> None:
    """Append one line to a CSV file, with a header if it is new."""
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    raise SystemExit(main())
