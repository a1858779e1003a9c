"""How well the program does on laboratories that it has seen and on others: mean F1 by source.

    python -m training.measure.sources data/manifest.csv --predictions before=old-predictions after=predictions
    python -m training.measure.sources data/manifest.csv --true-size before=old-weights after=weights

A source of the manifest's split "val" is seen if split "train" has images of it. What counts is the mean over the
*sources* of their mean F1 at IoU 0.5, seen and unseen ones apart: a source with many images weighs no more than another
one.

--predictions takes folders that `training.label` wrote: the whole program. --true-size takes weights folders: each
image goes to the network of its class by the cue rules, at the size that its true cell diameter asks for, so that only
the networks count. Where only some cells of an image are labelled (marked *), cells that lie beside the labelled ones
are left out.

An image without a usable prediction scores 0. --csv writes a line for each source.

Exit code: 0; 1 if a prediction is missing or unusable; 2 if something could not be read, or there is no prediction at
all.
"""

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm

from inference.network import Network, choose_device
from models.classes import CLASSES
from training.command import DONE, PARTLY, add_device, command, manual
from training.images.datasets import load_sample
from training.images.manifest import Record, check_sources, read_manifest
from training.measure.scores import score_predictions
from training.tables import markdown, write_table
from training.validation import validate


def score_networks(records: list[Record], folder: Path, device: str) -> list[float]:
    """F1 of each image by the network of its class in a weights folder, at the true size."""
    networks = [Network.load(folder / c.file, choose_device(device)) for c in CLASSES]
    scores = []
    for record in tqdm(records, desc=folder.name, unit="image", disable=None):
        sample = load_sample(record)
        scores.append(validate(networks[sample.cue_class], [sample]))
    return scores


def by_source(records: list[Record], columns: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Source -> column -> mean over its images."""
    sources = sorted({r.source for r in records})
    return {
        source: {
            name: float(np.mean([s for r, s in zip(records, scores) if r.source == source]))
            for name, scores in columns.items()
        }
        for source in sources
    }


def rows_of(records: list[Record], seen: set[str], columns: dict[str, list[float]]) -> list[dict]:
    """Lines of the table: the means over seen and over unseen sources, then the sources, unseen ones first."""
    means = by_source(records, columns)
    images = {source: [r for r in records if r.source == source] for source in means}
    rows = []
    for group, members in (("unseen", [s for s in means if s not in seen]), ("seen", [s for s in means if s in seen])):
        if not members:
            continue
        overall = {name: float(np.mean([means[s][name] for s in members])) for name in columns}
        lines = [(f"mean over {len(members)} {group} sources", [r for s in members for r in images[s]], overall)]
        lines += [(s + "*" * any(r.partial for r in images[s]), images[s], means[s]) for s in members]
        for source, own, scores in lines:
            rounded = {name: round(score, 4) for name, score in scores.items()}
            rows.append({"source": source, "seen": group, "images": len(own), **rounded})
    return rows


def table(rows: list[dict]) -> str:
    """The lines as a table in Markdown."""
    shown = [{name: value for name, value in row.items() if name != "seen"} for row in rows]
    return markdown(shown, lambda row: row["source"].startswith("mean "))


def named_folder(text: str) -> tuple[str, Path]:
    """NAME=DIR."""
    name, equals, folder = text.partition("=")
    if not (name and equals and folder):
        raise argparse.ArgumentTypeError(f"must be NAME=DIR, got {text!r}")
    return name, Path(folder)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.sources", __doc__)
    add = parser.add_argument
    add("manifest", type=Path, help="CSV file of labelled images (training.images.manifest)")
    add(
        "--predictions",
        type=named_folder,
        nargs="+",
        default=[],
        metavar="NAME=DIR",
        help="folders of predicted labels",
    )
    add("--true-size", type=named_folder, nargs="+", default=[], metavar="NAME=DIR", help="weights folders")
    add("--sources", nargs="+", metavar="SOURCE", help="these sources only")
    add("--csv", type=Path, metavar="FILE", help="write the lines there")
    add_device(parser)
    args = parser.parse_args(argv)
    if not (args.predictions or args.true_size):
        parser.error("nothing to measure: give --predictions or --true-size")
    return args


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    check_sources(args.manifest, args.sources or (), "--sources")
    records = [r for r in read_manifest(args.manifest, "val") if not args.sources or r.source in args.sources]
    if not records:
        raise ValueError(f"{args.manifest}: split val has no image of --sources {' '.join(args.sources)}")
    seen = {r.source for r in read_manifest(args.manifest, "train")}
    found = {name: score_predictions(args.manifest, records, folder) for name, folder in args.predictions}
    columns = {name: [score or 0.0 for score in scores] for name, scores in found.items()}
    columns |= {f"{name}, true size": score_networks(records, folder, args.device) for name, folder in args.true_size}
    rows = rows_of(records, seen, columns)
    print(table(rows))
    if args.csv:
        write_table(args.csv, rows)
    return PARTLY if any(None in scores for scores in found.values()) else DONE


if __name__ == "__main__":
    raise SystemExit(main())
