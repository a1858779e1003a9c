"""The state of a training and what happens to it: a step, a save, a resume, a validation. `training.learning.loop` runs
it to its end.
"""

import copy
import ctypes
import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from inference.network import best_dtype
from models.checkpoint import read_config, save_checkpoint
from models.config import Config
from training.images.datasets import Sample
from training.images.manifest import check_sources, digest_of
from training.images.sources import Sources
from training.learning.distributed import Team
from training.learning.resume import IMAGES, load_run, save_run
from training.learning.settings import Settings, training_records

COMMIT_FILE = Path(__file__).parents[2] / "COMMIT"  # of code that was taken elsewhere, without git
IMAGES_TIMED = 3  # to know how long a validation takes
MALLOPT = {-1: 2**31 - 1, -3: 2**30}  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h, bytes


def git_commit() -> str:
    """The commit of the code that runs, with "+" if it was changed since; empty outside a git checkout, unless the file
    COMMIT names it there.
    """
    if COMMIT_FILE.exists():
        return COMMIT_FILE.read_text(encoding="utf-8").strip()
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def keep_freed_memory() -> bool:
    """Tell glibc not to give memory back to the system that the next step needs again; whether it was told. A step on
    the CPU took 1.72 s without it and 1.50 s with it (two cores, 8 crops of 256).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None  # of glibc alone
    return mallopt is not None and all(mallopt(name, size) for name, size in MALLOPT.items())


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, step: int, decay: float) -> None:
    """Draw a moving average of a network, its buffers included, towards the network; in the first steps it follows
    faster.
    """
    decay = min(decay, (1 + step) / (10 + step))
    pairs = list(zip(average.state_dict().values(), model.state_dict().values()))
    moving = [(old, new) for old, new in pairs if new.is_floating_point()]
    torch._foreach_lerp_([old for old, _ in moving], [new for _, new in moving], 1 - decay)
    for old, new in pairs:
        if not new.is_floating_point():
            old.copy_(new)


def compact_to_float(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """A batch on the device, float32, the image in [0, 1]."""
    moved = {name: value.to(device, non_blocking=True).float() for name, value in batch.items()}
    return moved | {"image": moved["image"] / 255}


@contextmanager
def inputs_of_one_size() -> Iterator[None]:
    """cuDNN tries all algorithms for a size and keeps to the fastest. Crops are worth it; images that are scored, of
    which hardly two have one size, are not.
    """
    torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = False


class Stopped(Exception):
    """Something that takes long was broken off."""


class NotFinite(Exception):
    """A step whose gradients are no numbers: going on would spoil the weights.

    samples : numbers of the images in its batch
    """

    def __init__(self, samples: list[int], terms: dict[str, float]):
        super().__init__(f"loss terms {terms}")
        self.samples = samples


class Trainer(ABC):
    """Network, moving average, optimiser, and how far the run is. A subclass says what is learned, and by which figure
    the networks are selected.

    step : optimiser steps done
    seconds : time spent, start and validation included
    validation_seconds : that a validation takes
    reserved : of these, what all processes have agreed to keep for the last one
    sums : loss terms summed since the last line of the log
    waiting : seconds waited for data since then
    validated : step of the last validation, -1 before the first one, and the seconds at its end
    best : highest figure of each network; it is in OUT/NAME.safetensors
    crops_before, sources_before : that the start had seen; set by `build`
    sources : images and terms of all that the networks have seen, once the images are loaded
    """

    FIGURE: ClassVar[str]  # of a validation, higher is better
    GRADIENT_NORM: ClassVar[float]  # at most
    crops_before = 0
    sources_before: Sources = {}
    sources: Sources = {}
    SHARED_VALIDATION: ClassVar[bool] = False  # whether all processes measure, or the leader alone

    def __init__(self, settings: Settings, team: Team):
        self.settings, self.team = settings, team
        if not COMMIT_FILE.exists():  # a parcel has no line of the sources that its maker left out
            check_sources(settings.manifest, settings.leave_out, "--leave-out")
        keep_freed_memory()
        torch.manual_seed(settings.seed)
        self.model = self.build().to(team.device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        self.shared = team.share(self.model)
        self.optimiser = self.make_optimiser()
        self.use_bfloat16 = best_dtype(team.device) == torch.bfloat16
        self.step, self.seconds, self.waiting = 0, 0.0, 0.0
        self.validation_seconds, self.reserved = 0.0, 0.0
        self.sums: dict[str, Tensor | float] = {}
        self.validated = (-1, 0.0)
        self.best: dict[str, float] = {}

    @abstractmethod
    def build(self) -> nn.Module:
        """The network at its start; it may complete the settings."""

    @abstractmethod
    def make_optimiser(self) -> torch.optim.Optimizer:
        """Over the network's parameters. A group with a "factor" gets that share of the learning rate."""

    @abstractmethod
    def load(self) -> tuple[Dataset, list[Sample]]:
        """What to learn from, and the images to validate with. The data set's `samples` are its images, and each of its
        items is a dict of tensors with "image", uint8, and "sample", the number of its image."""

    @abstractmethod
    def steps(self) -> int:
        """Of the whole run, without a time budget."""

    @abstractmethod
    def learning_rate(self) -> float:
        """For the next step."""

    @abstractmethod
    def loss_terms(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scalars that add up to the loss, of a batch in float32."""

    @abstractmethod
    def validation_is_due(self) -> bool:
        """After a step."""

    @abstractmethod
    def networks(self, model: nn.Module) -> dict[str, nn.Module]:
        """The networks that come out of the training, by the names of their checkpoints."""

    @abstractmethod
    def measure(self, samples: Sequence[Sample], on_image: Callable[[], None]) -> Iterator[tuple[str, dict]]:
        """Names and validation figures, FIGURE among them, of the moving average's networks. `on_image` is called
        before each image.
        """

    @abstractmethod
    def config(self, name: str) -> Config:
        """What inference needs to know of a network."""

    def progress(self) -> float:
        """Share of the run that is done, by the clock with a time budget, else by steps."""
        if self.settings.time_budget:
            done, end = self.seconds, 60 * self.settings.time_budget - self.reserved
        else:
            done, end = self.step, self.steps()
        return min(1.0, done / end) if end > 0 else 1.0

    def enter_training_mode(self) -> None:
        """Before each step."""
        self.shared.train()

    def forward(self, images: Tensor):
        """What the network makes of images, in the training's number format."""
        self.enter_training_mode()
        with torch.autocast(self.team.device.type, torch.bfloat16) if self.use_bfloat16 else nullcontext():
            return self.shared(images.contiguous(memory_format=torch.channels_last))

    def train_step(self, batch: dict[str, Tensor]) -> None:
        """One optimiser step; raises NotFinite."""
        samples = batch["sample"].tolist()
        rate = self.learning_rate()
        for group in self.optimiser.param_groups:
            group["lr"] = group.get("factor", 1.0) * rate
        with inputs_of_one_size():
            terms = self.loss_terms(compact_to_float(batch, self.team.device))
            self.optimiser.zero_grad(set_to_none=True)
            sum(terms.values()).backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.GRADIENT_NORM)
        if not torch.isfinite(norm):
            raise NotFinite(samples, {name: value.item() for name, value in terms.items()})
        self.optimiser.step()
        self.step += 1
        update_average(self.average, self.model, self.step, self.settings.ema)
        for name, value in terms.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach().double()

    def time_validation(self, samples: Sequence[Sample], on_image: Callable[[], None]) -> None:
        """Expect the last validation to take as long as that of a few images, times their share."""
        tried = samples[:: max(1, len(samples) // IMAGES_TIMED)]
        began = time.monotonic()
        for _ in self.measure(tried, on_image):
            pass
        self.validation_seconds = (time.monotonic() - began) * len(samples) / len(tried)

    def validate(self, samples: Sequence[Sample], on_image: Callable[[], None]) -> list[dict]:
        """Measure the moving average's networks, keep those that are the best so far; a row for the log for each."""
        rows = []
        began = started = time.monotonic()
        for name, figures in self.measure(samples, on_image):
            rows.append(
                {
                    "step": self.step,
                    "seconds": round(self.seconds, 1),
                    "network": name,
                    **{k: round(v, 5) for k, v in figures.items() if isinstance(v, int | float)},
                    "images": len(samples),
                    "took": round(time.monotonic() - started, 1),
                }
            )
            if figures[self.FIGURE] > self.best.get(name, -float("inf")):
                self.best[name] = figures[self.FIGURE]
                if self.team.leads:
                    self.write(name, figures | {"images": len(samples), "step": self.step})
            started = time.monotonic()
        self.validation_seconds = started - began
        if self.SHARED_VALIDATION:  # when the next one is due, all have to know alike
            self.validation_seconds, _ = self.team.agree(self.validation_seconds, stop=False)
        self.validated = (self.step, self.seconds + self.validation_seconds)
        return rows

    def write(self, name: str, validation: dict | None = None) -> None:
        """The checkpoint of a network of the moving average."""
        training = self.settings.recorded() | {
            "steps_done": self.step,
            "seconds": round(self.seconds),
            "crops": self.crops_before + self.step * self.settings.batch,
        }
        known = {"training": training, "validation": validation or {}, "sources": self.sources}
        config = replace(self.config(name), git_commit=git_commit(), **known)
        save_checkpoint(self.settings.out / f"{name}.safetensors", self.networks(self.average)[name], config)

    @cached_property
    def images(self) -> str:
        """What tells the training images from others, by the manifest as it is when this is asked for first."""
        return digest_of(training_records(self.settings), self.settings.manifest.parent)

    def decisive(self) -> dict:
        """What makes the run another one; a resume file of another one is refused."""
        return self.settings.decisive() | {IMAGES: self.images}

    def _modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "average": self.average}

    def save(self) -> None:
        """Everything that a later process needs to go on exactly from here. The networks hold nothing random, such as
        dropout.
        """
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "waiting": self.waiting,
            "validated": self.validated,
            "reserved": self.validation_seconds,
            "sums": {name: float(total) for name, total in self.sums.items()},
        }
        save_run(self.settings.out, self._modules(), self.optimiser, self.decisive(), state)

    def resume(self) -> bool:
        """Continue from the resume file, if there is one; raises CheckpointError if it is damaged or of another run."""
        state = load_run(self.settings.out, self._modules(), self.optimiser, self.decisive())
        if state is None:
            return False
        self.step, self.seconds, self.waiting, self.sums, self.reserved = (
            state[key] for key in ("step", "seconds", "waiting", "sums", "reserved")
        )
        self.validation_seconds = self.reserved
        self.validated = tuple(state["validated"])
        for name in self.networks(self.model):
            kept = self.settings.out / f"{name}.safetensors"
            if kept.exists():
                self.best[name] = read_config(kept)[1].validation.get(self.FIGURE, -1)
        return True
