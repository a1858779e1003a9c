"""The whole protocol of the paper in one command: cues, pre-training, a network for each class, router, weights folder.

    python -m training.protocol --manifest data/manifest.csv --runs runs --weights weights --terms data/README.md
    python -m training.protocol --manifest data/manifest.csv --runs runs --weights weights --preset cpu \\
        --time-budget 240
    python -m training.protocol --manifest data/manifest.csv --runs runs --weights weights --processes 4  (local GPUs)

Steps, each a command of its own that the log shows, with a folder of its own below RUNS:

    cues                training.cue_table: which image is of which class, and pictures to check it by
    pretrain            training.train on all classes, both networks at once; --separate-pretraining: one after the
                        other, as the paper does, in twice the time
    class0-stardist     training.train on the images of one class from the pre-trained network: StarDist for classes 0,
                        2 and 3,
    class1-hover ...    Hover for class 1; --both-streams: both for every class, which Table 4 needs
                        (training.measure.ablation). A class without training images keeps the pre-trained network
    class0-stardist/thresholds ...
                        training.thresholds fits that network's decoding on the validation images of its class;
                        --keep-thresholds leaves it at the paper's
    router              training.train_router
    (no folder)         training.assemble writes the weights folder for predict.py, with checksums and model card, and
                        training.reference adds what training.finetune tells one's own images from

Presets: paper is Table 3 (ConvNeXt-small from ImageNet, 512x512 crops, 16 a step; for GPUs), cpu a small network from
random weights for a few hours on two cores, lite a larger one (EfficientNet-Lite0) from the ImageNet weights of a
package (training.learning.encoder_weights) in as much time, smoke a few steps that show that everything works and
nothing else. Other options go to the commands as they are: --train-options="--encoder convnext_tiny --batch 32" (all
segmenters), --finetune-options, --router-options. --time-budget divides minutes among the steps: pre-training gets
half, the fine-tunings share two fifths, the router gets a tenth. The thresholds come on top. Images are decoded once
and stay in memory for all steps (with --processes, for all but the trainings of segmenters).

--permissive trains on sources under permissive terms alone, as --terms has them (training.images.terms says which terms
are): RUNS/permissive.csv has the images that remain, and takes the manifest's place in all steps; the log and the model
card list their sources. Networks that start from others (--init) have seen more and are refused.

A step that has finished is skipped (RUNS/STEP/finished holds its options, and a digest of the manifest's lines), one
that was broken off continues where it was: give the same command again. To repeat a step with other options or images,
remove its folder and those of the steps that start from it.
"""

import argparse
import logging
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.checkpoint import STORAGES
from models.classes import CLASSES
from training import assemble, cue_table, reference, runs, thresholds, train, train_router
from training.command import DONE, add_device, command, manual, minutes, positive, whole
from training.images.cues import CUES_TABLE
from training.images.datasets import keep_samples
from training.images.manifest import check_sources, digest_of, read_manifest, write_manifest
from training.images.terms import permissive_records
from training.tables import read_table

log = logging.getLogger(__name__)

MAINS = {
    "training.cue_table": cue_table.main,
    "training.train": train.main,
    "training.thresholds": thresholds.main,
    "training.train_router": train_router.main,
}
TIMED = ("training.train", "training.train_router")  # the commands with --time-budget
CUES = "cues"  # folder of the first step
PERMISSIVE = "permissive.csv"  # in RUNS, the manifest of --permissive
FINISHED = "finished"  # file in the folder of a step
SHARES = {"pretrain": 0.5, "class": 0.4, "router": 0.1}  # of the time budget, for all steps whose names begin so


@dataclass(frozen=True)
class Preset:
    """Options of the commands; `train` goes to pre-training and to fine-tuning, before those of each, and `hover` to
    the fine-tuning of Hover networks, after `finetune`."""

    train: str = ""
    pretrain: str = ""
    finetune: str = ""
    hover: str = ""
    thresholds: str = ""
    router: str = ""


PRESETS = {
    # Table 3. 800 epochs of the paper's 2,749 images are 137,000 steps; of the images of one class, a quarter.
    "paper": Preset(pretrain="--steps 137000", finetune="--steps 34000"),
    "cpu": Preset(
        train="--crop 256 --batch 8 --schedule cosine --hv-weight 10",
        pretrain="--encoder convnext_atto --random-init --lr 1e-3 --steps 20000",
        finetune="--lr 3e-4 --steps 4000",
        hover="--lr 7e-4 --diameter 36",
        router="--random-init --batch 16 --lr 0.02 --schedule cosine --epochs 40 --validate-every 3",
    ),
    "lite": Preset(
        train="--crop 256 --batch 8 --schedule cosine --hv-weight 10 --balance 0.35",
        pretrain="--encoder efficientnet_lite0 --lr 1e-3 --steps 20000",
        finetune="--lr 3e-4 --steps 4000",
        router="--random-init --batch 16 --lr 0.02 --schedule cosine --epochs 40 --validate-every 3",
    ),
    "smoke": Preset(
        train="--crop 64 --batch 2 --validate-images 2 --workers 0",
        pretrain="--encoder convnext_atto --random-init --steps 4",
        finetune="--steps 2",
        thresholds="--images 1",
        router="--random-init --batch 4 --epochs 1 --workers 0",
    ),
}


@dataclass(frozen=True)
class Step:
    """A command, and the name of its folder in RUNS."""

    name: str
    module: str
    options: list[str]


def training_steps(args: argparse.Namespace, train_classes: set[int], val_classes: set[int]) -> list[Step]:
    """All trainings in their order, for data with training and validation images of these classes."""
    preset = PRESETS[args.preset]
    common = ["--manifest", str(args.manifest), "--seed", str(args.seed)]
    common += ["--leave-out", *args.leave_out] if args.leave_out else []

    def options(*texts: str) -> list[str]:
        return [*common, *(word for text in texts for word in shlex.split(text))]

    pretrain = options(preset.train, preset.pretrain, args.train_options)
    tuning, more = (preset.train, preset.finetune), (args.train_options, args.finetune_options)
    finetune = {"stardist": options(*tuning, *more), "hover": options(*tuning, preset.hover, *more)}
    heads = (
        {f"pretrain-{kind}": kind for kind in runs.NETWORK_KINDS} if args.separate_pretraining else {"pretrain": "both"}
    )
    steps = [Step(name, "training.train", [*pretrain, "--stream", head]) for name, head in heads.items()]
    for k in sorted(train_classes):
        for kind in runs.NETWORK_KINDS if args.both_streams else (runs.CLASS_KINDS[k],):
            start = (
                args.runs / (f"pretrain-{kind}" if args.separate_pretraining else "pretrain") / f"{kind}.safetensors"
            )
            own = ["--stream", kind, "--classes", str(k), "--init", str(start)]
            unmeasured = [] if k in val_classes else ["--validate-images", "0"]
            tuned = runs.finetuned(args.runs, k, kind)
            steps.append(Step(tuned.parent.name, "training.train", [*finetune[kind], *own, *unmeasured]))
            if k in val_classes and not args.keep_thresholds:
                fit = [str(tuned), "--manifest", str(args.manifest), "--classes", str(k)]
                fit += ["--leave-out", *args.leave_out] if args.leave_out else []
                fit += shlex.split(preset.thresholds)
                steps.append(Step(f"{tuned.parent.name}/thresholds", "training.thresholds", fit))
    steps.append(Step("router", "training.train_router", options(preset.router, args.router_options)))
    return share_time(steps, args.time_budget)


def share_time(steps: list[Step], budget: float | None) -> list[Step]:
    """The steps, each with its part of the time budget in minutes; as they are without one."""
    if budget is None:
        return steps
    timed = []
    for step in steps:
        if step.module in TIMED:
            group = next(group for group in SHARES if step.name.startswith(group))
            members = sum(other.name.startswith(group) for other in steps if other.module in TIMED)
            step = Step(
                step.name, step.module, [*step.options, "--time-budget", f"{budget * SHARES[group] / members:g}"]
            )
        timed.append(step)
    return timed


def run_step(step: Step, args: argparse.Namespace) -> int:
    """Run a command, or skip it if it has finished; returns its exit code.

    Raises ValueError if it has finished with other options, or with other lines of the manifest.
    """
    folder = args.runs / step.name
    finished, options = folder / FINISHED, shlex.join(step.options)
    images = digest_of(read_manifest(args.manifest, "train", "val", files=False), args.manifest.parent)
    if finished.exists():
        before, _, seen = finished.read_text(encoding="utf-8").partition("\n")
        if before != options or seen not in (images, ""):  # older files do not say what was seen
            other = f"options ({before})" if before != options else f"images than those of {args.manifest}"
            raise ValueError(
                f"{folder}: finished with other {other}; remove the folder and those of the steps that start from it, "
                "or give another --runs"
            )
        log.info("%s: finished before", step.name)
        return DONE
    command = [*step.options, "--out", str(folder)]
    command += ["--device", args.device] if step.module != "training.cue_table" else []
    log.info("%s: python -m %s %s", step.name, step.module, shlex.join(command))
    if args.processes > 1 and step.module == "training.train":
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        torchrun.append(str(args.processes))
        code = subprocess.run([*torchrun, "-m", step.module, *command]).returncode
    else:
        code = MAINS[step.module](command)
    if code == DONE:
        finished.write_text(f"{options}\n{images}", encoding="utf-8")
    return code


def classes_of_split(folder: Path, split: str, leave_out: Sequence[str]) -> set[int]:
    """The classes that the images of a split have, from the table that training.cue_table has written; of split "val"
    those of the images that `training.validation.of_trained_sources` takes.
    """
    table = read_table(folder / CUES / CUES_TABLE, ("class", "split", "source"))
    rows = [row for _, row in table if row["source"] not in leave_out]
    own, trained = [row for row in rows if row["split"] == split], {r["source"] for r in rows if r["split"] == "train"}
    kept = [row for row in own if row["source"] in trained] or own
    return {int(row["class"]) for row in kept}


def assemble_weights(args: argparse.Namespace, train_classes: set[int]) -> int:
    """Run training.assemble, and training.reference; a class that was not trained gets the pre-trained network."""
    command = ["--runs", str(args.runs), "--weights", str(args.weights), "--manifest", str(args.manifest)]
    command += ["--terms", str(args.terms)] if args.terms else []
    command += ["--storage", args.storage] if args.storage else []
    for k in set(range(len(CLASSES))) - train_classes:
        command += [f"--class{k}", str(runs.pretrained(args.runs, runs.CLASS_KINDS[k]))]
    log.info("assemble: python -m training.assemble %s", shlex.join(command))
    if code := assemble.main(command):
        return code
    command = ["--weights", str(args.weights), "--manifest", str(args.manifest)]
    command += ["--leave-out", *args.leave_out] if args.leave_out else []
    log.info("reference: python -m training.reference %s", shlex.join(command))
    return reference.main(command)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.protocol", __doc__)
    add = parser.add_argument
    add(
        "--manifest",
        type=Path,
        required=True,
        help="CSV file of labelled images with splits train and val (training.images.manifest)",
    )
    add("--runs", type=Path, required=True, metavar="DIR", help="folder for the steps")
    add("--weights", type=Path, required=True, metavar="DIR", help="folder for the result")
    add(
        "--terms",
        type=Path,
        metavar="FILE",
        help="table of the sources' licences, for the model card (training.assemble)",
    )
    add("--permissive", action="store_true", help="only sources whose --terms are permissive")
    add("--preset", choices=PRESETS, default="paper", help="[paper]")
    add("--time-budget", type=minutes, metavar="MINUTES", help="for all trainings together [the preset's steps]")
    add("--both-streams", action="store_true", help="fine-tune StarDist and Hover for every class")
    add("--separate-pretraining", action="store_true", help="pre-train StarDist and Hover one after the other")
    add("--keep-thresholds", action="store_true", help="decode with the paper's thresholds, do not fit them")
    add("--leave-out", nargs="+", default=[], metavar="SOURCE", help="sources neither to train on nor to select by")
    add(
        "--train-options",
        default="",
        metavar="TEXT",
        help="more options for training.train; write --train-options=TEXT",
    )
    add("--finetune-options", default="", metavar="TEXT", help="more options for training.train when it fine-tunes")
    add("--router-options", default="", metavar="TEXT", help="more options for training.train_router")
    add("--storage", choices=STORAGES, help="number format of the weights [that of training.assemble]")
    add("--processes", type=positive, default=1, metavar="N", help="training processes, one a GPU (torchrun) [1]")
    add("--seed", type=whole, default=0, help="[0]")
    add_device(parser)
    args = parser.parse_args(argv)
    if args.permissive and not args.terms:
        parser.error("--permissive needs --terms, the table of the sources' licences")
    if args.permissive and (given := [w for w in own_words(args) if w.startswith("--init")]):
        parser.error(f"{given[0]}: a start has seen other sources, which --permissive leaves out")
    return args


def own_words(args: argparse.Namespace) -> list[str]:
    """The words of the options that are handed on."""
    return [
        word for text in (args.train_options, args.finetune_options, args.router_options) for word in shlex.split(text)
    ]


def check_splits(manifest: Path) -> None:
    """Raise ValueError if a manifest has no images to train on or none to select by."""
    splits = {record.split for record in read_manifest(manifest, files=False)}
    for split, purpose in (("train", "train on"), ("val", "select networks by")):
        if split not in splits:
            raise ValueError(
                f"{manifest}: no image of split {split!r}, to {purpose}; change the split of some lines, or make it "
                "again with another --val-fraction (training.prepare)"
            )


def permissive_part(manifest: Path, terms: Path, folder: Path) -> Path:
    """The manifest of the permissive sources alone, which it writes into the folder of runs."""
    records = permissive_records(read_manifest(manifest), terms)
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(folder / PERMISSIVE, records)
    log.info("%s: %d images", folder / PERMISSIVE, len(records))
    return folder / PERMISSIVE


@command(clock=True)
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    check_sources(args.manifest, args.leave_out, "--leave-out")
    if args.permissive:
        args.manifest = permissive_part(args.manifest, args.terms, args.runs)
        there = {record.source for record in read_manifest(args.manifest)}
        args.leave_out = [source for source in args.leave_out if source in there]
    check_splits(args.manifest)
    with keep_samples():
        if code := run_steps(args):
            return code
        return assemble_weights(args, classes_of_split(args.runs, "train", args.leave_out))


def run_steps(args: argparse.Namespace) -> int:
    """All steps but the last; returns the exit code of the first that did not finish, else 0."""
    if code := run_step(
        Step(CUES, "training.cue_table", ["--manifest", str(args.manifest), "--split", "train", "val"]), args
    ):
        return code
    classes = {split: classes_of_split(args.runs, split, args.leave_out) for split in ("train", "val")}
    for step in training_steps(args, classes["train"], classes["val"]):
        if code := run_step(step, args):
            log.error("%s: broken off with exit code %d; the same command goes on from there", step.name, code)
            return code
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
