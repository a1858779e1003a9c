"""What is lost on a source of images that was not trained on: what users of another microscope have to expect.

    python -m training.measure.leave_out --manifest data/manifest.csv --out runs/left-out
    python -m training.measure.leave_out --manifest data/manifest.csv --out runs/left-out --steps 1100 \\
        --leave-out dsb2018_fluo,usiigaci_phase,wbc_jtsc bbbc030_dic_cho,dsb2018_he,wbc_cellavision

Trains a network with both heads on all sources, and one without each group of --leave-out, with the same number of
steps from random weights (fine-tuned networks have seen everything). The default is each source with at least
--at-least training images, in turn. Sources that are left out together, joined by commas, save time; they should have
nothing in common, for a network without two kinds of nuclei loses more than without one.

Each source that was left out is then scored on its validation images, by the network that has seen its other images and
the one that has seen none: mean F1 at IoU 0.5, at the true size of the cells, with the network for the images' class.
Networks that have been trained for a few minutes score less than the shipped ones; the difference is what counts.

    OUT/all, OUT/SOURCE,...  the runs (training.train); the same command continues where it was stopped
    OUT/left_out.csv         the table that is printed: F1 with and without the source, and the loss
"""

import argparse
import json
import logging
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inference.network import Network, choose_device
from training import train
from training.command import DONE, PARTLY, add_device, command, manual, positive
from training.images.datasets import Sample, load_samples
from training.images.manifest import read_manifest
from training.learning.loop import ARGUMENTS
from training.runs import CLASS_KINDS
from training.tables import text_table, write_row
from training.validation import validate

log = logging.getLogger(__name__)

TABLE = "left_out.csv"
OPTIONS = "--encoder convnext_atto --random-init --crop 256 --batch 8 --lr 1e-3 --schedule cosine --hv-weight 10"


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.leave_out", __doc__)
    add = parser.add_argument
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.images.manifest)")
    add("--out", type=Path, required=True, help="folder of the runs")
    add("--leave-out", nargs="+", metavar="SOURCE[,SOURCE...]", help="groups of sources [every large source alone]")
    add("--at-least", type=positive, default=16, metavar="N", help="training images of a large source [16]")
    add("--steps", type=positive, default=2000, help="optimiser steps of each run [2000]")
    add("--train-options", default=OPTIONS, help=f"of training.train [{OPTIONS}]")
    add_device(parser)
    return parser.parse_args(argv)


class NotTrained(Exception):
    """A training that was stopped or failed."""


def groups_of(manifest: Path, leave_out: Sequence[str], at_least: int) -> list[list[str]]:
    """The sources that each run leaves out together: those named, else each of which training has so many images.

    Raises ValueError if a source has no training or no validation images, or none is large enough.
    """
    counts = {split: [r.source for r in read_manifest(manifest, split)] for split in ("train", "val")}
    if leave_out:
        groups = [group.split(",") for group in leave_out]
        for source in (source for group in groups for source in group):
            if any(source not in sources for sources in counts.values()):
                raise ValueError(
                    f"{manifest}: source {source!r} has no training or no validation images; both are needed. "
                    f"Sources here: {', '.join(sorted(set(counts['train']) & set(counts['val'])))}"
                )
        return groups
    groups = [[s] for s in sorted(set(counts["val"])) if counts["train"].count(s) >= at_least]
    if not groups:
        raise ValueError(
            f"{manifest}: no source has {at_least} training images and a validation image; lower --at-least"
        )
    return groups


def train_without(sources: list[str], args: argparse.Namespace) -> Path:
    """Folder of a run's networks, without these sources.

    Raises NotTrained if the run was stopped or failed; ValueError if there is one of another length.
    """
    folder = args.out / (",".join(sources) or "all")
    told = folder / ARGUMENTS
    if told.exists() and (steps := json.loads(told.read_text(encoding="utf-8"))["steps"]) != args.steps:
        raise ValueError(f"{folder}: from a run of {steps} steps; give --steps {steps}, or another --out")
    words = ["--manifest", str(args.manifest), "--out", str(folder), "--stream", "both", "--steps", str(args.steps)]
    words += ["--validate-images", "0", *shlex.split(args.train_options)]
    words += ["--leave-out", *sources] if sources else []
    if code := train.main(words):
        raise NotTrained(f"{folder}: training ended with exit code {code}; the same command goes on from there")
    return folder


def load_networks(folder: Path, device: str) -> dict[str, Network]:
    """A run's network of each kind."""
    return {kind: Network.load(folder / f"{kind}.safetensors", choose_device(device)) for kind in set(CLASS_KINDS)}


def score(networks: dict[str, Network], samples: list[Sample]) -> float:
    """Mean F1 at the true size, each image by the network of the kind for its class."""
    return float(np.mean([validate(networks[CLASS_KINDS[sample.cue_class]], [sample]) for sample in samples]))


@command(clock=True)
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    groups = groups_of(args.manifest, args.leave_out, args.at_least)
    try:
        rows = compare(groups, args)
    except NotTrained as error:
        log.error("%s", error)
        return PARTLY
    mean = {
        k: round(float(np.average([r[k] for r in rows], weights=[r["images"] for r in rows])), 4)
        for k in ("F1 with it", "F1 without", "lost")
    }
    print(text_table([*rows, {"source": "all of them", "images": sum(r["images"] for r in rows), **mean}]))
    return DONE


def compare(groups: list[list[str]], args: argparse.Namespace) -> list[dict]:
    """Train with and without each group; the lines of the table."""
    complete = load_networks(train_without([], args), args.device)
    (args.out / TABLE).unlink(missing_ok=True)
    rows = []
    for group in groups:
        without = load_networks(train_without(group, args), args.device)
        for source in group:
            samples = load_samples([r for r in read_manifest(args.manifest, "val") if r.source == source])
            scores = score(complete, samples), score(without, samples)
            rows.append(
                {
                    "source": source,
                    "images": len(samples),
                    "F1 with it": round(scores[0], 4),
                    "F1 without": round(scores[1], 4),
                    "lost": round(scores[0] - scores[1], 4),
                }
            )
            write_row(args.out / TABLE, rows[-1])
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
