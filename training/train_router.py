"""Train the router: a ResNet18 that predicts the cue class and the cell diameter of an image (paper, section 2.1, and
Table 3).

    python -m training.train_router --manifest data/manifest.csv --out runs/router

The labels come from the rules of `training.images.cues`, the diameters from the label images, which may be pseudo
labels. The defaults are the paper's protocol (ResNet18 from ImageNet, SGD 1e-3, divided by 10 every 7 of 20 epochs,
batches of 64). Without ImageNet weights and without a GPU, in an hour and a half on one core, and from a router that is
there, in half an hour:

    python -m training.train_router --manifest data/manifest.csv --out runs/router --random-init --batch 16 --lr 0.02 \\
        --schedule cosine --time-budget 90 --validate-every 3
    python -m training.train_router --manifest data/manifest.csv --out runs/router --init weights/router.safetensors \\
        --batch 16 --optimiser adamw --lr 5e-4 --schedule cosine --time-budget 30 --validate-every 3

Images of new sources may look unlike any that a router knows, though it measures their cells well. --class-layer trains
the last layer alone, and of that the outputs for the classes, so that the sizes stay as they are to the last bit:

    python -m training.train_router --manifest data/manifest.csv --out runs/router --init weights/router.safetensors \\
        --class-layer --batch 32 --lr 5e-3 --schedule cosine --validate-every 5

What the paper leaves open: the views that it learns from (training.images.router_views), a moving average of the
weights, smoothed class labels, and the fifth output.

Every --validate-every epochs, and with --init before the first step, the moving average routes and measures the
manifest's split "val", of the sources that are trained on, as inference does (inference.routing, close-ups included).
Many networks have equal accuracy but measure cells quite differently, which decides what the segmenters find; so the
run keeps the one with the highest

    score = accuracy - 0.5 * mean |ln(measured / true diameter)|    (an image's error counts ln 4 at most)

and writes

    OUT/router.safetensors  of the highest score
    OUT/confusion.csv       of that network: true classes in lines, predicted ones in columns, and the accuracy of each
                            class
    OUT/validation.csv      a line a validation: score, accuracy, and the median and mean factor by which the diameter
                            is off
    OUT/log.csv             a line every --log-every steps: the mean of each loss term
    OUT/resume.safetensors  every --save-every seconds and at the end

and prints the confusion matrix. The same command continues a run that was stopped (SIGTERM or
Ctrl-C; the exit code is then 143 or 130) or killed, exactly as if it had not been; with --time-budget the learning rate
follows the clock, so that two runs differ.
"""

import argparse
import csv
import functools
from pathlib import Path

from training.command import DONE, command, manual, positive, whole
from training.learning import settings
from training.learning.loop import train
from training.learning.router_trainer import CONFUSION, RouterTrainer
from training.learning.settings import RouterSettings


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.train_router", __doc__)
    settings.add_arguments(parser, RouterSettings)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    setting = functools.partial(settings.add_setting, parser, RouterSettings)
    setting("--epochs", "passes over as many views as there are images", type=whole)
    setting("--optimiser", "adamw learns more in few steps; its rate is --lr too", choices=("sgd", "adamw"))
    setting("--schedule", "divided by 10 every 7 of 20 epochs, or warm-up and cosine", choices=("steps", "cosine"))
    setting("--validate-every", type=positive, metavar="EPOCHS")
    parser.add_argument(
        "--class-layer",
        action="store_true",
        help="train how the router of --init tells classes, and nothing else, with Adam",
    )
    args = parser.parse_args(argv)
    if args.class_layer and not args.init:
        parser.error("--class-layer needs a router that measures cells: give --init")
    return args


@command(clock=True)
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    code = train(RouterTrainer, RouterSettings.of(args))
    if code == DONE:
        with open(args.out / CONFUSION, encoding="utf-8") as file:
            for row in csv.reader(file):
                print(f"{row[0]:16}" + "".join(f"{cell:>14}" for cell in row[1:]))
    return code


if __name__ == "__main__":
    raise SystemExit(main())
