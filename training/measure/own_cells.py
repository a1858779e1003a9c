"""What a few labelled images of one's own are worth: F1 on held-out fields after training.finetune, and what is lost.

    python -m training.synthesize data/made --kinds two_channels --images 40 --seed 7
    python -m training.prepare merge data/with-made.csv data/manifest.csv data/made/manifest.csv
    python -m training.protocol --manifest data/with-made.csv --runs runs/without --weights base \\
        --leave-out usiigaci_phase gbm40 synthetic_two_channels
    python -m training.measure.own_cells --manifest data/with-made.csv --weights base --out runs/own-cells \\
        --sources usiigaci_phase gbm40 synthetic_two_channels

Each source plays the images of a lab that the networks have never seen; networks that have are refused. For each draw,
--held-out images of other fields than the rest are set aside, and training.finetune gets 5, 10 and 20 of the rest (as
many as there are), with --time-budget minutes each. The folder that it writes segments the held-out images, as the base
networks do (0 images), and a sample of the other sources' validation images. Of these only those are segmented again
whose class has another network or a further one; the others cannot have changed. A lab that has none of the images that
the base networks were made from is played without --original, one that has them with it: training images of the other
sources are mixed in, and validation images of theirs that are not in the sample decide how far a network goes that
replaces its class's.

    OUT/own_cells.csv        a line for each source, draw and number of images; the same command goes on from there
    OUT/SOURCE/DRAW-IMAGES/  manifest and weights folder

The exit code is 0; 2 if something cannot be measured.
"""

import argparse
import logging
import random
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inference.segmenter import Segmenter
from models.checkpoint import read_config
from models.checksums import sha256
from models.classes import CLASSES, ROUTER_FILE
from models.weights_folder import FILES, own_files
from training import finetune
from training.command import DONE, NOTHING, add_device, command, manual, minutes, positive
from training.images.manifest import Record, read_manifest, write_manifest
from training.own.collection import OwnImage, collect_records, fields_of
from training.own.scoring import Found, find_cells, mean_f1
from training.tables import grouped, read_table, text_table, write_row
from training.validation import pick_balanced

log = logging.getLogger(__name__)

TABLE, ORIGINAL = "own_cells.csv", "original.csv"
KEY = ("source", "draw", "images")


def draw_images(records: Sequence[Record], held_out: int, draw: int) -> tuple[list[Record], list[Record]]:
    """At least `held_out` images for measuring, and the others in a random order; no field is on both sides.

    Raises ValueError if none is left to train on.
    """
    order = list(zip(records, fields_of(records)))
    random.Random(draw).shuffle(order)
    kept: list[str] = []
    for _, group in order:
        if sum(g in kept for _, g in order) >= held_out:
            break
        if group not in kept:
            kept.append(group)
    held, rest = ([r for r, group in order if (group in kept) is wanted] for wanted in (True, False))
    if not rest:
        raise ValueError(f"source {records[0].source}: no image is left beside {held_out} held out; lower --held-out")
    return held, rest


def check_unseen(weights: Path, sources: Sequence[str]) -> None:
    """Raise ValueError if a network was trained on one of the sources, or does not say what it was trained on."""
    for name in FILES:
        known = read_config(weights / name)[1].sources
        if not known:
            raise ValueError(
                f"{weights / name}: does not say what it was trained on; assemble it with training.assemble"
            )
        if seen := sorted(set(sources) & set(known)):
            raise ValueError(
                f"{weights / name}: was trained on {', '.join(seen)}; give networks of training.protocol --leave-out "
                f"{' '.join(sources)}"
            )


def replaced(base: Path, weights: Path) -> set[int]:
    """The classes whose networks differ; all if there is one for images like one's own, which may be of any class."""
    own = own_files(weights)
    return {c.number for c in CLASSES if own or sha256(base / c.file) != sha256(weights / c.file)}


def measure_others(base: Sequence[Found], weights: Path, classes: set[int], device: str) -> float:
    """Mean F1 on the other sources, where only images of these classes are segmented again."""
    segmenter = Segmenter.from_folder(weights, device)
    again = {f.image.name: f for f in find_cells(segmenter, [f.image for f in base if f.class_ in classes])}
    return mean_f1([again.get(f.image.name, f) for f in base])


def measure(records: Sequence[Record], args: argparse.Namespace) -> list[dict]:
    """Fine-tune and measure everything that is not in the table yet; all its lines.

    Parameters
    ----------
    records : of all labelled images
    """
    args.out.mkdir(parents=True, exist_ok=True)
    table = args.out / TABLE
    done = {tuple(row[k] for k in KEY) for _, row in read_table(table, KEY)} if table.exists() else set()
    base = Segmenter.from_folder(args.weights, args.device)
    sample = pick_balanced([r for r in records if r.split == "val" and r.source not in args.sources], args.others)
    others = find_cells(base, collect_records(sample)[0])
    if args.original:
        write_manifest(args.out / ORIGINAL, [r for r in records if r.source not in args.sources and r not in sample])
    for source in args.sources:
        own = [r for r in records if r.source == source]
        if not own:
            raise ValueError(f"{args.manifest}: no labelled image of source {source!r}; correct --sources")
        for draw in args.draws:
            held, rest = draw_images(own, args.held_out, draw)
            images = collect_records(held)[0]
            counts = [0, *(n for n in args.counts if n <= len(rest))]
            for count in counts:
                if (source, str(draw), str(count)) in done:
                    continue
                scores = score(rest[:count], images, others, args.out / source / f"{draw}-{count}", draw, args)
                write_row(table, {"source": source, "draw": draw, "images": count, "held out": len(held), **scores})
    return [row for _, row in read_table(table, KEY)]


def score(
    own: Sequence[Record],
    held: Sequence[OwnImage],
    others: Sequence[Found],
    folder: Path,
    draw: int,
    args: argparse.Namespace,
) -> dict[str, float]:
    """F1 on the held-out images and on the others with this many images of one's own; none for the base networks."""
    weights, before = args.weights, mean_f1(others)
    if own:
        folder.mkdir(parents=True, exist_ok=True)
        write_manifest(folder / "manifest.csv", own)
        weights = folder / "weights"
        words = ["--manifest", str(folder / "manifest.csv"), "--weights", str(args.weights), "-o", str(weights)]
        words += ["--original", str(args.out / ORIGINAL)] if args.original else ["--no-original"]
        words += ["--time-budget", str(args.time_budget), "--seed", str(draw), "--device", args.device]
        written = (weights / ROUTER_FILE).exists()
        if not written and finetune.main([*words, *shlex.split(args.finetune_options)]) == NOTHING:
            raise ValueError(f"{folder}: training.finetune failed, see above")
    f1 = mean_f1(find_cells(Segmenter.from_folder(weights, args.device), held))
    after = measure_others(others, weights, replaced(args.weights, weights), args.device) if own else before
    return {"f1": round(f1, 4), "others": round(after, 4), "lost": round(before - after, 4)}


def summary(rows: Sequence[dict]) -> list[dict]:
    """Means over the draws, for each source and number of images."""
    groups = grouped(rows, lambda row: (row["source"], int(row["images"])))
    lines = []
    for (source, count), members in groups.items():
        f1 = [float(m["f1"]) for m in members]
        base = [float(r["f1"]) for r in groups.get((source, 0), [])]
        line = {"source": source, "own images": count, "draws": len(members), "F1": float(np.mean(f1))}
        line |= {"from": min(f1), "to": max(f1), "gain": f"{np.mean(f1) - np.mean(base):+.3f}" if base else ""}
        lines.append(line | {"lost on others": f"{np.mean([float(m['lost']) for m in members]):+.4f}"})
    return lines


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.own_cells", __doc__)
    add = parser.add_argument
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.images.manifest)")
    add("--weights", type=Path, required=True, metavar="DIR", help="networks that were trained without the sources")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the table and the trainings")
    add("--sources", nargs="+", required=True, metavar="SOURCE", help="that play a lab's own images")
    add("--counts", type=positive, nargs="+", default=[5, 10, 20], metavar="N", help="own images [5 10 20]")
    add("--draws", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="of own and held-out images [0 1 2]")
    add("--held-out", type=positive, default=5, metavar="N", help="images to measure on, at least [5]")
    add("--others", type=positive, default=24, metavar="N", help="validation images of the other sources [24]")
    add("--original", action="store_true", help="mix in images that the base networks were made from")
    add("--time-budget", type=minutes, default=15.0, metavar="MINUTES", help="of each fine-tuning [15]")
    add("--finetune-options", default="", metavar="TEXT", help="more options for training.finetune")
    add_device(parser)
    return parser.parse_args(argv)


@command(clock=True)
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    records = [r for r in read_manifest(args.manifest) if r.label]
    check_unseen(args.weights, args.sources)
    print(text_table(summary(measure(records, args))))
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
