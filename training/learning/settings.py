"""What a training is told: a frozen record of its command's options, kept in the checkpoints that it writes."""

import argparse
import functools
import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import ClassVar, Self

from models.checkpoint import read_config
from models.config import Config
from training.command import above_zero, add_device, minutes, positive, whole
from training.images.manifest import Record, read_manifest

DEFAULT_DIAMETER = 28.0  # pixels; median cell diameter that images are brought to


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of every training; the help texts of `add_arguments`, and of the two commands, explain them.

    DECISIVE : settings that change what a run is; a resume file of other ones is refused
    """

    DECISIVE: ClassVar[tuple[str, ...]] = ()

    manifest: Path
    out: Path
    leave_out: list[str]
    init: Path | None = None
    random_init: bool = False
    balance: float = 0.5
    batch: int
    lr: float
    schedule: str
    ema: float
    time_budget: float | None = None
    log_every: int = 50
    save_every: float = 300.0
    seed: int = 0
    device: str = "auto"
    workers: int | None = None

    @classmethod
    def of(cls, args: argparse.Namespace) -> Self:
        """From a command's arguments, which may be more."""
        return cls(**{f.name: getattr(args, f.name) for f in fields(cls)})

    def recorded(self) -> dict:
        """For a checkpoint's configuration: of files their names alone."""
        return {name: value.name if isinstance(value, Path) else value for name, value in asdict(self).items()}

    def decisive(self) -> dict:
        """The DECISIVE ones, as they come back from JSON."""
        return json.loads(json.dumps({name: getattr(self, name) for name in self.DECISIVE}, default=str))


@dataclass(frozen=True, kw_only=True)
class SegmenterSettings(Settings):
    """Of training.train."""

    DECISIVE: ClassVar[tuple[str, ...]] = tuple(
        "stream encoder seed batch crop diameter zoom classes leave_out plain_mae hv_weight balance source_factors ema "
        "weight_decay encoder_lr keep_statistics init init_head encoder_weights random_init lr schedule".split()
    )

    batch: int = 16
    lr: float = 1e-4
    schedule: str = "halving"
    ema: float = 0.999
    stream: str = "both"
    classes: list[int] | None = None
    encoder: str = "convnext_small"
    encoder_weights: Path | None = None
    init_head: Path | None = None
    steps: int = 150_000
    crop: int = 512
    diameter: float | None = None
    zoom: tuple[float, float] = (0.5, 2.0)
    source_factors: list[tuple[str, float]]
    encoder_lr: float = 1.0
    weight_decay: float = 0.05
    hv_weight: float = 1.0
    plain_mae: bool = False
    keep_statistics: bool = False
    validate_every: float = 10.0
    validate_steps: int | None = None
    validate_images: int = 32

    def completed(self, start: Config | None) -> Self:
        """With what is taken from the configuration of --init's checkpoint, or from the defaults without one.

        Raises ValueError if the checkpoint is a router's.
        """
        if start:
            if "encoder" not in start.network:
                raise ValueError(f"{self.init}: holds a router; give --init the checkpoint of a segmenter")
            return replace(self, encoder=start.network["encoder"], diameter=self.diameter or start.diameter)
        return replace(self, diameter=self.diameter or DEFAULT_DIAMETER)


@dataclass(frozen=True, kw_only=True)
class RouterSettings(Settings):
    """Of training.train_router."""

    DECISIVE: ClassVar[tuple[str, ...]] = tuple(
        "seed batch epochs optimiser lr schedule leave_out init class_layer random_init balance ema".split()
    )

    batch: int = 64
    lr: float = 1e-3
    schedule: str = "steps"
    ema: float = 0.99
    epochs: int = 20
    class_layer: bool = False
    optimiser: str = "sgd"
    validate_every: int = 1


def check_head(init: Path, init_head: Path, sized: bool) -> None:
    """Raise ValueError if the checkpoint of --init-head is not the other one of a joint training beside that of --init.

    Parameters
    ----------
    sized : --diameter says what the working size is; fitting may have changed it since in one of them
    """
    (kind, start), (other, head) = read_config(init), read_config(init_head)
    if other in ("router", kind):
        raise ValueError(
            f"{init_head}: holds a {other} network; give --init-head the other one of a joint training, beside the "
            f"{kind} network of --init"
        )
    if head.network != start.network or (head.diameter != start.diameter and not sized):
        raise ValueError(
            f"{init_head}: of another encoder or working size than {init} ({head.network['encoder']}, "
            f"{head.diameter:g} pixels; {start.network['encoder']}, {start.diameter:g}); give the network that the "
            "same training wrote, or, where the size alone is another one since, --diameter"
        )


def training_records(settings: Settings | argparse.Namespace) -> list[Record]:
    """The manifest's training images, without the sources that are left out."""
    return [r for r in read_manifest(settings.manifest, "train") if r.source not in settings.leave_out]


def add_setting(
    parser: argparse.ArgumentParser, settings: type[Settings], option: str, text: str = "", more: str = "", **kind
) -> None:
    """An option whose default is that of its setting, which the help shows behind the text.

    Parameters
    ----------
    more : of the help, behind the default
    kind : further arguments of `add_argument`
    """
    default = getattr(settings, option.strip("-").replace("-", "_"))
    shown = f"{default:g}" if isinstance(default, float) else default
    parser.add_argument(option, default=default, help=f"{text} [{shown}{more}]", **kind)


def add_arguments(parser: argparse.ArgumentParser, settings: type[Settings]) -> None:
    """The options of every training but --out and --schedule, with the defaults of one."""
    add, setting = parser.add_argument, functools.partial(add_setting, parser, settings)
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.images.manifest)")
    add("--leave-out", nargs="+", default=[], metavar="SOURCE", help="sources neither to train on nor to select by")
    add("--init", type=Path, help="checkpoint to start from")
    add("--random-init", action="store_true", help="no ImageNet weights")
    balance = (
        "a source is drawn as often as its number of images to this power: 0 all sources alike, 1 all images alike"
    )
    setting("--balance", balance, type=float, metavar="EXPONENT")
    setting("--batch", "images a step", type=positive)
    setting("--lr", "first learning rate", type=above_zero)
    setting("--ema", "of the moving average of the weights", type=float, metavar="DECAY")
    add(
        "--time-budget", type=minutes, metavar="MINUTES", help="end after this time, start and last validation included"
    )
    setting("--log-every", "steps between lines of the log", type=positive, metavar="STEPS")
    setting("--save-every", "time between resume files", type=float, metavar="SECONDS")
    setting("--seed", type=whole)
    add_device(parser)
    add(
        "--workers",
        type=whole,
        help="processes that make crops, for each training process "
        "[1 on the CPU; with a GPU the processor's cores less one, at most 16]",
    )
