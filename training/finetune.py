"""Fine-tune the shipped networks on a few labelled images of your own, in one command.

    python -m training.finetune --images my_images --labels my_labels -o my-weights
    python predict.py -i more_images -o labels --weights my-weights

Ten to twenty images are a good number, two the least. Labels may be label images, or files of Cellpose, QuPath, ImageJ,
labelme, COCO, CellProfiler, napari: python -m training.finetune --formats lists them with the names that their files
must have. An image whose labels are empty shows what is no cell; one without a label file is left out.

What happens:

    check     The labels are looked at, and what is wrong with them is named, with a picture in OUT/finetune/checks.
              Images whose labels cannot be right are left out, if not --trust-labels. --check does this alone
    route     Each image goes to the network that predict.py would send it to; those that get at least three are
              trained, also on images of which the router was not sure, and on those of other classes that look like
              most of yours. --class sends all to one; predict.py then needs --route
    split     A quarter of the fields is held out (names such as x_t003 or x_tile2 tell what is of one field). From 32
              fields on, other images choose the network than judge it
    train     From the shipped network on, until --time-budget is used up or the held-out F1 rises no more. Images that
              it was made from are mixed in where there are any: those of --original, or of data/manifest.csv if there
              is such a file. Each step is drawn back a little to where the network started
    tell      Images like yours are told by what the router sees in them, and go to the trained network, whatever their
              class; all others go on to the shipped ones, which stay. Where yours cannot be told so (less than four in
              five by those of other fields: they are too unlike one another, too much like others, or all of one
              field), a network serves all images of the class that lies between the shipped one and the trained one:
              the nearest to the trained one that has lost no more than 0.01 F1 on other images, but at least a quarter
              of the way. --share 1 puts the trained one itself there, if your own images are all that counts
    fit       Thresholds and cell size, if that gains on the held-out images too
    judge     The whole program on the held-out images, before and after, and both networks on other images: those of
              --original, without it made ones (training.synthesize)

OUT then is a complete weights folder, for predict.py, the container, and as --weights of another round. Where a
fine-tuned network was no better, it has nothing of it. OUT/finetune has the training, held_out.csv, and worst.png,
the worst held-out images before and after.

Exit code: 0 if all trained networks are better; 1 if one was not, which the last lines say; with --check, if labels
look wrong; 2 if nothing could be done; 130 if Ctrl-C stopped it. The same command then goes on with a training that was
stopped; what was stopped at another place it begins again.
"""

import argparse
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from inference.network import Network, choose_device
from inference.reading import read_image
from inference.segmenter import Segmenter
from models.classes import CLASSES, ROUTER_FILE, SHIPPED_WEIGHTS
from models.likeness import Likeness
from training.command import DONE, PARTLY, add_device, command, manual, minutes, share
from training.images.datasets import Sample, keep_samples, load_samples
from training.images.manifest import read_manifest
from training.own.adapt import SHARE_OF_FIT, SHARES, Others, Task, adapt
from training.own.arguments import add_class, add_data, own_images
from training.own.checking import check_images
from training.own.collection import OwnImage
from training.own.likeness import RECOGNISED, Reference, likeness_of, read_reference
from training.own.original import AT_HAND, MIXED, made_sample, original_sample
from training.own.scoring import classes_of, find_cells
from training.own.split import split_images
from training.own.verdict import Outcome, advice, draw_worst, write_weights
from training.readers import own_labels
from training.tables import text_table, write_table
from training.validation import scores_of

log = logging.getLogger(__name__)

CPU_MINUTES, GPU_MINUTES = 15.0, 3.0
FEWEST_ROUTED = 3  # images with cells for which a network is trained, if the router chose it
LEAST_TRAINING = 0.3  # of the time budget, however long the rest takes
JUDGED = 12  # other images, of those that the networks were made from
SLOWER = 1.2  # judging once more may take this many times as long as it did
FOLDER = "finetune"  # in the weights folder: the training, the checks, tables and pictures


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.finetune", __doc__)
    add = parser.add_argument
    add_data(parser)
    add("-o", "--out", type=Path, metavar="DIR", help="the weights folder to write; it must not hold networks yet")
    add("--check", action="store_true", help="look at the labels alone; with -o the pictures go there")
    add("--trust-labels", action="store_true", help="use labels that look wrong all the same, if their size is right")
    add("--formats", action="store_true", help="list the labels that can be read, and end")
    add(
        "--weights", type=Path, default=SHIPPED_WEIGHTS, metavar="DIR", help="networks to start from [the shipped ones]"
    )
    add_class(parser, "train this class's network on all images")
    add(
        "--original",
        type=Path,
        default=AT_HAND if AT_HAND.exists() else None,
        metavar="CSV",
        help=f"manifest of images that the networks were made from, to mix in [{AT_HAND}, if it is there]",
    )
    add("--no-original", dest="original", action="store_const", const=None, help="mix nothing in")
    add(
        "--time-budget",
        type=minutes,
        metavar="MINUTES",
        help=f"for everything [{CPU_MINUTES:g}, with a GPU {GPU_MINUTES:g}]",
    )
    add(
        "--share",
        type=share,
        metavar="S",
        help="put a network in the place of the shipped one that lies S of the way from it to the trained one",
    )
    add("--seed", type=int, default=0, help="of the choice of held-out images and of the training [0]")
    add_device(parser)
    args = parser.parse_args(argv)
    if not (args.out or args.check or args.formats):
        parser.error("-o is missing: the weights folder to write")
    return args


def plan(images: Sequence[OwnImage], segmenter: Segmenter, args: argparse.Namespace) -> list[Task]:
    """What is to be trained: a task for each class that enough images reach.

    The images that most others are like may not all be of one class for the router: those of other classes that look
    like them are trained on with them, as the new network is to serve them, too.

    Raises ValueError if there is none.
    """
    classes = classes_of(segmenter, images, args.class_)
    served = {i.name: classes[i.name][0] for i in images}
    reached = Counter(served[i.name] for i in images if i.cells)
    log.info("%s", ", ".join(f"{n} images with cells go to {CLASSES[c].name}" for c, n in sorted(reached.items())))
    files = [i.image for i in images]
    reference = None if args.share else read_reference(args.weights)
    features = cache(lambda image: segmenter.features(image.picture))

    tasks: list[Task] = []

    def task_of(class_: int, routed: Collection[str]) -> Task:
        stayed = {name for name, likely in classes.items() if served[name] == likely[0]}
        own = [i for i in images if i.name in routed or (class_ in classes[i.name] and i.name in stayed)]
        original = original_sample(args.original, class_, ("train",), MIXED, files) if args.original else []
        mixed = [replace(s.record, split="train") for s in original]
        folder = args.out / FOLDER / f"class{class_}"
        task = Task(class_, segmenter.files[class_], own, routed, split_images(own, args.seed), mixed, folder)
        return replace(task, likeness=told_apart(task, features, reference))

    def alike(task: Task) -> set[str]:
        """Images of classes that are still to come, and that look like those of a task."""
        if task.likeness is None:
            return set()
        settled = {task.class_, *(t.class_ for t in tasks)}
        others = [i for i in images if served[i.name] not in settled and i.name not in task.routed]
        return {i.name for i in others if task.likeness.holds(features(i))}

    for class_ in sorted(reached, key=lambda c: (-reached[c], c)):
        name, routed = CLASSES[class_].name, {n for n, c in served.items() if c == class_}
        few = [i.name for i in images if i.cells and i.name in routed]
        if args.class_ is None and len(few) < FEWEST_ROUTED and len(reached) > 1:
            if few:
                log.warning(
                    "%s: too few images to train it: %s; --class sends all to one network", name, ", ".join(few)
                )
            continue
        task = task_of(class_, routed)
        while joining := alike(task):
            larger = task_of(class_, {*task.routed, *joining})
            if larger.likeness is None:
                break
            log.info(
                "%s: %d images of other classes look like these: they are trained on with them", name, len(joining)
            )
            task = larger
        served |= dict.fromkeys(task.routed, class_)
        tasks.append(task)
    if not tasks:
        raise ValueError(
            f"no network gets {FEWEST_ROUTED} images with cells; label more, or send all to one with --class"
        )
    return sorted(tasks, key=lambda task: task.class_)


def told_apart(
    task: Task, features: Callable[[OwnImage], np.ndarray | None], reference: Reference | None
) -> Likeness | None:
    """How images like one's own are told, as of `Task`; None if they cannot be.

    Parameters
    ----------
    features : of what the router sees in an image at prediction
    """
    shown = {i.image: i for i in task.images if i.cells}
    records = [r for r in task.write_labels() if r.split == "train" and r.image in shown]
    if reference is None or not records:
        return None
    own, name = [shown[r.image] for r in records], CLASSES[task.class_].name
    if len({i.group for i in own}) == 1:
        log.info("%s: the images to train on are of one field: the new network is to serve all of the class", name)
        return None
    seen = [f for f in map(features, own) if f is not None]
    likeness, recognised = likeness_of(reference, load_samples(records), seen, [i.group for i in own])
    enough = recognised >= RECOGNISED
    log.info(
        "%s: %.0f %% of your images are told from others by those of other fields: the new network is to serve %s",
        name,
        100 * recognised,
        "images like these alone" if enough else "all images of the class",
    )
    return likeness if enough else None


def judges(task: Task) -> list[OwnImage]:
    """The held-out images that judge: those that did not choose the network, if there are any, and of them those that
    go to it, if there are any.
    """
    splits = set(task.splits.values())
    held = [i for i in task.images if task.splits[i.name] == ("test" if "test" in splits else "val")]
    return [i for i in held if i.name in task.routed] or held


def given(task: Task, class_: int | None) -> int | None:
    """The class whose network is to label the images that judge; None where the router, and their likeness, decide."""
    return class_ if task.likeness is not None else task.class_


def others(task: Task, images: Sequence[OwnImage], original: Path | None) -> list[Sample]:
    """Images that the class's network was made for, none of them one's own."""
    files = [i.image for i in images]
    sample = original_sample(original, task.class_, ("val", "test"), JUDGED, files) if original else []
    return sample or made_sample(task.class_, task.folder / "made")


def score_others(
    task: Task, candidate: Path, samples: Sequence[Sample], before: Sequence[float], segmenter: Segmenter
) -> float:
    """Mean F1 on other images, of which only those that are like one's own go to a network that serves these alone.

    Parameters
    ----------
    before : F1 of each with the network as it was
    """
    after = scores_of(Network.load(candidate, segmenter.device), samples)
    if task.likeness is not None:
        like = [task.likeness.holds(segmenter.features(read_image(s.record.image))) for s in samples]
        after = np.where(like, after, before).tolist()
    return float(np.mean(after))


def finetune(images: Sequence[OwnImage], args: argparse.Namespace, began: float) -> list[Outcome]:
    """Train, fit and judge the network of each class that is reached."""
    device = choose_device(args.device)
    budget = 60 * (args.time_budget or (GPU_MINUTES if device.type == "cuda" else CPU_MINUTES))
    segmenter = Segmenter.from_folder(args.weights, args.device)
    tasks = plan(images, segmenter, args)
    log.info("judging the networks as they are")
    asked = time.monotonic()
    before = [find_cells(segmenter, judges(task), given(task, args.class_)) for task in tasks]
    samples = [others(task, images, args.original) for task in tasks]
    scored = time.monotonic()
    kept = [scores_of(Network.load(task.start, device), sample) for task, sample in zip(tasks, samples)]
    shares = [args.share] if args.share else SHARES
    looks = max(1 if task.likeness else len(shares) for task in tasks)
    again = SLOWER * (time.monotonic() - asked + looks * (time.monotonic() - scored))
    left = max(LEAST_TRAINING * budget, budget * (1 - SHARE_OF_FIT) - again - (time.monotonic() - began))
    outcomes = []
    for task, found, sample, scores in zip(tasks, before, samples, kept):
        f1 = float(np.mean(scores))
        part = len(task.images) / sum(len(t.images) for t in tasks)
        splits = Counter(task.splits.values())
        log.info(
            "%s: %d images to train on, %d held out%s",
            CLASSES[task.class_].name,
            splits["train"],
            splits["val"] + splits["test"],
            f", and {len(task.original)} others mixed in" if task.original else "",
        )
        minutes_left, fit_seconds = part * left / 60, part * SHARE_OF_FIT * budget
        candidate = adapt(task, Others(sample, f1), minutes_left, fit_seconds, args.device, args.seed, shares)
        after, forgot = found, f1
        if candidate:
            networks, own = dict(segmenter.files), dict(segmenter.own_files)
            own.pop(task.class_, None)
            (own if task.likeness else networks)[task.class_] = candidate
            tuned = Segmenter(args.weights / ROUTER_FILE, networks, args.device, own=own)
            after = find_cells(tuned, judges(task), given(task, args.class_))
            forgot = score_others(task, candidate, sample, scores, segmenter)
        honest, beside = splits["test"] > 0, task.likeness is not None
        outcomes.append(Outcome(task.class_, candidate, splits["train"], found, after, (f1, forgot), honest, beside))
    return outcomes


def report(outcomes: Sequence[Outcome], out: Path, start: Path, class_: int | None) -> int:
    """Tables and picture in the weights folder `out`, made from that of `start`, and the last lines; returns the exit
    code.
    """
    folder = out / FOLDER
    rows = [
        {
            "image": b.image.name,
            "class": o.name,
            "cells": b.image.cells,
            "before": round(b.f1, 4),
            "after": round(a.f1, 4),
        }
        for o in outcomes
        for b, a in zip(o.before, o.after)
    ]
    write_table(folder / "held_out.csv", rows)
    others = [
        {"other images for": o.name, "before": round(o.others[0], 4), "after": round(o.others[1], 4)} for o in outcomes
    ]
    write_table(folder / "others.csv", others)
    draw_worst(folder / "worst.png", outcomes)
    print(text_table(rows), text_table(others), sep="\n\n", end="\n\n")
    log.info("%s: the worst held-out images, before and after", folder / "worst.png")
    for line in advice(out, start, outcomes, class_):
        log.info("%s", line)
    return DONE if all(o.better for o in outcomes) else PARTLY


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    if args.formats:
        print(own_labels.__doc__)
        return DONE
    began = time.monotonic()
    if args.out and not args.check and (args.out / ROUTER_FILE).exists():
        raise ValueError(f"{args.out}: holds networks already; give another folder with -o, or remove this one")
    if args.original:
        read_manifest(args.original, "train", "val", "test")  # what is wrong with it is said before the work
    images, unread = own_images(args)
    usable, wrong = check_images(images, args.out / FOLDER / "checks" if args.out else None, args.trust_labels)
    if args.check:
        return PARTLY if wrong or unread else DONE
    args.out.mkdir(parents=True, exist_ok=True)
    with keep_samples():
        outcomes = finetune(usable, args, began)
    write_weights(args.weights, args.out, outcomes)
    return report(outcomes, args.out, args.weights, args.class_)


if __name__ == "__main__":
    raise SystemExit(main())
