"""The state of a training run and what happens to it: a step, a save, a resume, a validation."""

import argparse
import copy
import logging
import math
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from inference.hover import HOVER_STRIDE
from inference.network import Network, best_dtype
from models.checkpoint import load_checkpoint, read_config, save_checkpoint
from models.config import Config
from models.efficientnet import EFFICIENTNETS
from models.hover import HoverMaps
from models.unet import STRIDE
from training.datasets import Sample
from training.distributed import Team
from training.encoder_weights import load_encoder, packaged_weights
from training.losses import hover_loss, stardist_loss
from training.networks import TrainingNetwork
from training.resume import decisive, load_run, save_run
from training.validation import validate

log = logging.getLogger(__name__)

WARM_UP = 0.02  # of the run, for the cosine schedule
GRADIENT_NORM = 5.0
IMAGES_TIMED = 3  # to know how long a validation takes
RANDOM_LAYER_SCALE = 0.5  # an encoder with random weights starts slowly from timm's 1e-6 (docs/architecture.md)
DEFAULT_DIAMETER = 28.0  # pixels; median cell diameter that images are brought to
# Arguments that change what a run is; a resume file of other ones is refused.
DECISIVE = ("stream", "encoder", "seed", "batch", "crop", "diameter", "zoom", "classes", "leave_out", "plain_mae", "hv_weight",
            "balance", "source_factors", "ema", "weight_decay", "encoder_lr")


def learning_rate(progress: float, first: float, schedule: str) -> float:
    """Learning rate at `progress` in [0, 1] of the run.

    halving : halved after each quarter (paper, Table 3: every 200 of 800 epochs)
    cosine : linear warm-up over the first 2 %, then half a cosine down to 1 % of `first`
    """
    if schedule == "halving":
        return first * 0.5 ** int(progress * 4)
    if progress < WARM_UP:
        return first * max(progress / WARM_UP, 0.01)
    return first * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))))


def losses(maps: dict, batch: dict[str, torch.Tensor], reference_radius: float | None, hv_weight: float = 1.0) -> dict[str, torch.Tensor]:
    """All loss terms of the heads that `maps` has; those of the HV maps are multiplied by `hv_weight`."""
    terms = {}
    if "stardist" in maps:
        terms |= stardist_loss(maps["stardist"], batch["prob"], batch["dist"], batch["weight"], reference_radius)
    if "hover" in maps:
        enlarged = HoverMaps(*(F.interpolate(m, scale_factor=STRIDE // HOVER_STRIDE, mode="bilinear", align_corners=False)
                               for m in maps["hover"]))
        hover = hover_loss(enlarged, batch["cell"], batch["hv"], batch["hover_weight"])
        terms |= {name: hv_weight * value if name.startswith("hv") else value for name, value in hover.items()}
    return terms


def git_commit() -> str:
    """The commit of the code that runs, with "+" if it was changed since; empty outside a git checkout."""
    try:
        return subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=Path(__file__).parent, capture_output=True, text=True,
                              check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


@torch.no_grad()
def update_average(average: torch.nn.Module, model: torch.nn.Module, step: int, decay: float) -> None:
    """Draw a moving average of a network, its buffers included, towards the network; in the first steps it follows faster."""
    decay = min(decay, (1 + step) / (10 + step))
    pairs = list(zip(average.state_dict().values(), model.state_dict().values()))
    moving = [(old, new) for old, new in pairs if new.is_floating_point()]
    torch._foreach_lerp_([old for old, _ in moving], [new for _, new in moving], 1 - decay)
    for old, new in pairs:
        if not new.is_floating_point():
            old.copy_(new)


def parameter_groups(model: TrainingNetwork, rate: float, encoder_factor: float, weight_decay: float) -> list[dict]:
    """Groups for AdamW: no decay for what has one dimension (biases, normalisation), the encoder at its own share of the rate.

    Each group's `factor` is that share; the learning rate of a step is multiplied by it.
    """
    encoder = {id(p) for p in model.unet.encoder.parameters()}
    groups = {}
    for parameter in model.parameters():
        factor = encoder_factor if id(parameter) in encoder else 1.0
        groups.setdefault((factor, weight_decay if parameter.ndim >= 2 else 0.0), []).append(parameter)
    return [{"params": parameters, "lr": rate * factor, "factor": factor, "weight_decay": decay}
            for (factor, decay), parameters in groups.items()]


def compact_to_float(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch of crops on the device, float32, the image in [0, 1]."""
    moved = {name: value.to(device, non_blocking=True).float() for name, value in batch.items()}
    return moved | {"image": moved["image"] / 255}


class NotFinite(Exception):
    """A step whose gradients are no numbers: going on would spoil the weights.

    samples : numbers of the images in its batch
    terms : the loss terms
    """

    def __init__(self, samples: list[int], terms: dict[str, float]):
        super().__init__(f"loss terms {terms}")
        self.samples = samples


class Trainer:
    """Network, moving average, optimiser, and how far the run is.

    step : optimiser steps done
    seconds : time spent, start and validation included
    reserved : seconds that the last validation is expected to take
    sums : loss terms summed since the last line of the log
    waiting : seconds waited for data since then
    validated : step of the last validation, -1 before the first one, and the seconds at its end
    best : highest validation F1 of each head; its network is in OUT/HEAD.safetensors
    """

    def __init__(self, args: argparse.Namespace, team: Team):
        self.args, self.team = args, team
        torch.manual_seed(args.seed)
        self.carried = {}  # settings of the start's decoder
        if args.init:
            start, config = load_checkpoint(args.init)
            args.encoder = config.network["encoder"]
            args.diameter = args.diameter or config.diameter
            self.carried = {start.kind: config.decoder}
        args.diameter = args.diameter or DEFAULT_DIAMETER
        fetched = not (args.random_init or args.init or args.encoder_weights)
        self.model = TrainingNetwork(args.stream, encoder=args.encoder, pretrained=fetched,
                                     layer_scale=RANDOM_LAYER_SCALE if args.random_init else None)
        if args.init:
            self.model.adopt(start)
        elif args.encoder_weights:
            load_encoder(self.model.unet.encoder, args.encoder_weights)
        elif fetched and args.encoder in EFFICIENTNETS:
            load_encoder(self.model.unet.encoder, packaged_weights(args.encoder))
        self.model.to(team.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.shared = team.share(self.model)
        groups = parameter_groups(self.model, args.lr, args.encoder_lr, args.weight_decay)
        self.optimiser = torch.optim.AdamW(groups, lr=args.lr, fused=True)
        torch.backends.cudnn.benchmark = True  # crops are all of one size
        self.use_bfloat16 = best_dtype(team.device) == torch.bfloat16
        self.step, self.seconds, self.waiting, self.reserved = 0, 0.0, 0.0, 0.0
        self.sums: dict[str, torch.Tensor | float] = {}
        self.validated = (-1, 0.0)
        self.best: dict[str, float] = {}

    def progress(self) -> float:
        """Share of the run that is done, by the clock with --time-budget, else by steps."""
        if self.args.time_budget:
            done, end = self.seconds, 60 * self.args.time_budget - self.reserved
        else:
            done, end = self.step, self.args.steps
        return min(1.0, done / end) if end > 0 else 1.0

    def reserve_validation(self, samples: Sequence[Sample], on_image: Callable[[], None]) -> None:
        """Expect the last validation to take as long as that of a few images, times their share."""
        tried = samples[:: max(1, len(samples) // IMAGES_TIMED)]
        began = time.monotonic()
        for part in self._averaged_networks().values():
            validate(part, tried, on_image)
        self.reserved = (time.monotonic() - began) * len(samples) / len(tried)

    def _averaged_networks(self) -> dict[str, Network]:
        """The moving average's network of each head, as inference runs it."""
        return {name: Network(part, self.config(name), self.team.device)
                for name, part in copy.deepcopy(self.average).split().items()}

    def train_step(self, batch: dict[str, torch.Tensor]) -> None:
        """One optimiser step."""
        args = self.args
        samples = batch["sample"].tolist()
        batch = compact_to_float(batch, self.team.device)
        for group in self.optimiser.param_groups:
            group["lr"] = group["factor"] * learning_rate(self.progress(), args.lr, args.schedule)
        self.shared.train()
        with torch.autocast(self.team.device.type, torch.bfloat16) if self.use_bfloat16 else nullcontext():
            maps = self.shared(batch["image"].contiguous(memory_format=torch.channels_last))
        maps = {k: type(m)(*(t.float() for t in m)) for k, m in maps.items()}
        terms = losses(maps, batch, None if args.plain_mae else args.diameter / 2, args.hv_weight)
        self.optimiser.zero_grad(set_to_none=True)
        sum(terms.values()).backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), GRADIENT_NORM)
        if not torch.isfinite(norm):
            raise NotFinite(samples, {name: float(value) for name, value in terms.items()})
        self.optimiser.step()
        self.step += 1
        update_average(self.average, self.model, self.step, args.ema)
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach().double()

    def validate(self, samples: Sequence[Sample], on_image: Callable[[], None]) -> list[dict]:
        """Score the moving average's heads, keep those that are the best so far; a row for the log for each head."""
        rows = []
        began = started = time.monotonic()
        for name, network in self._averaged_networks().items():
            f1 = validate(network, samples, on_image)
            rows.append({"step": self.step, "seconds": round(self.seconds, 1), "network": name, "f1": round(f1, 5),
                         "images": len(samples), "took": round(time.monotonic() - started, 1)})
            if f1 > self.best.get(name, -1):
                self.best[name] = f1
                self.write(name, {"f1": f1, "images": len(samples), "step": self.step})
            started = time.monotonic()
        self.reserved = started - began
        self.validated = (self.step, self.seconds + self.reserved)
        return rows

    def config(self, name: str) -> Config:
        """What inference needs to know of a head's network, and how it was trained."""
        args = vars(self.args) | {key: path and path.name for key, path in vars(self.args).items() if isinstance(path, Path)}
        return Config(self.model.network, self.args.diameter, self.carried.get(name, {}), git_commit=git_commit(),
                      training=args | {"steps_done": self.step, "seconds": round(self.seconds)})

    def write(self, name: str, validation: dict | None = None) -> None:
        """The checkpoint of a head's moving average."""
        config = replace(self.config(name), validation=validation or {})
        save_checkpoint(self.args.out / f"{name}.safetensors", self.average.split()[name], config)

    def _modules(self) -> dict[str, torch.nn.Module]:
        return {"model": self.model, "average": self.average}

    def save(self) -> None:
        """Everything that a later process needs to go on exactly from here. The networks hold nothing random, such as dropout."""
        state = {"step": self.step, "seconds": self.seconds, "waiting": self.waiting, "validated": self.validated,
                 "reserved": self.reserved,
                 "sums": {name: float(total) for name, total in self.sums.items()}}
        save_run(self.args.out, self._modules(), self.optimiser, decisive(self.args, DECISIVE), state)

    def resume(self) -> bool:
        """Continue from the resume file, if there is one; raises CheckpointError if it is damaged or of another run."""
        state = load_run(self.args.out, self._modules(), self.optimiser, decisive(self.args, DECISIVE))
        if state is None:
            return False
        self.step, self.seconds, self.waiting, self.sums, self.reserved = (
            state[key] for key in ("step", "seconds", "waiting", "sums", "reserved"))
        self.validated = tuple(state["validated"])
        for name in self.model.heads:
            kept = self.args.out / f"{name}.safetensors"
            if kept.exists():
                self.best[name] = read_config(kept)[1].validation.get("f1", -1)
        return True
