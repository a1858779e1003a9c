"""Table 4 of the paper: {StarDist, Hover} x {pre-trained, fine-tuned} on each class, and all streams behind the router.

    python -m training.measure.ablation --manifest data/manifest.csv --runs runs
    python -m training.measure.ablation --manifest data/manifest.csv --runs runs --weights weights --csv table4.csv
    python -m training.measure.ablation --manifest data/manifest.csv --weights weights --weights weights-unlabelled \\
        --limit 40
    python -m training.measure.ablation --manifest data/manifest.csv --weights weights --each-network --true-size

--runs is a folder of training.protocol (training.runs shows its parts; --both-streams fine-tunes what the table needs
in full), or of a joint training: both its networks are of all classes, so that nothing is missing. --trained says below
the table what each line's networks have seen. What a network is missing for is a gap, and a remark below the table
names it; in "Ours" the pre-trained network stands in for it, as in training.protocol. --weights is a folder for
predict.py, which gives one line, "weights: NAME" (its path, where two have one name); it may be repeated, as for
networks trained with and without pseudo labels. --each-network adds a line for each of its four networks, which then
gets all images: what a wrong route costs.

Columns: mean F1 at IoU 0.5 (training.measure.f1, corrected) over the images of each cue class of --split, over all of
them, and, where only some cells of some images are labelled (partial = 1), over the images with complete labels; cells
beyond the labels count as spurious, as they do in training.measure.score. A column's header has its number of images.

Lines with a kind of network send every image to the network for its true class; "Ours" and "weights" let the router
choose, as predict.py does. The size of the cells is measured as predict.py does it; --true-size takes it from the
labels instead, which tells errors of the network from errors of the size. Each network sees an image once, whatever the
number of lines that it has a part in. --csv writes a line for each image and line of the table.
"""

import argparse
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from inference.image.forms import NormalisedImage
from inference.image.normalisation import normalise
from inference.network import Network, choose_device
from inference.reading import read_image
from inference.routing import RouterNetwork, ruled_out
from inference.segmenter import Segmenter
from models.checkpoint import CheckpointError, read_config
from models.classes import CLASSES, ROUTER_FILE
from training import runs
from training.command import DONE, add_device, command, manual
from training.images.cues import cue_class
from training.images.datasets import median_diameter, read_labels
from training.images.manifest import Record, read_manifest
from training.measure.f1 import Counts, f1_score, score_image
from training.tables import text_table, write_table
from training.validation import pick_balanced

log = logging.getLogger(__name__)

NAMES = {"stardist": "ConvNeXt-StarDist", "hover": "ConvNeXt-Hover"}
GAP = "-"


@dataclass(frozen=True)
class Line:
    """A line of the table.

    checkpoints : of classes 0 to 3; None where there is none
    router : checkpoint of the router, which guesses the cells' size; None for that of another line
    routes : whether the router picks the network too; otherwise the image's true class does
    remark : for below the table
    """

    name: str
    checkpoints: tuple[Path | None, ...]
    router: Path | None = None
    routes: bool = False
    remark: str = ""

    @property
    def remarks(self) -> list[str]:
        """What there is to say about the line, with what is missing."""
        missing = [str(k) for k, checkpoint in enumerate(self.checkpoints) if checkpoint is None]
        said = [self.remark] if self.remark else []
        return [
            f"{self.name}: {text}"
            for text in said + ([f"no network for class {', '.join(missing)}"] if missing else [])
        ]


@dataclass(frozen=True)
class Result:
    """One image in one line of the table.

    routed : class of the network that ran
    """

    line: str
    record: Record
    cue_class: int
    routed: int
    counts: Counts

    @property
    def f1(self) -> float:
        return f1_score(*self.counts)


class Bench:
    """The networks of any checkpoints, each loaded once."""

    def __init__(self, device: str):
        self.device = choose_device(device)
        self.router = cache(RouterNetwork.load)
        self.network = cache(lambda path: Network.load(path, self.device))
        self.config = cache(lambda path: read_config(path)[1])

    def segmenter(self, router: Path, checkpoint: Path) -> Segmenter:
        """This router, which gives the first guess of the cells' size, and this network for every class."""
        return Segmenter(self.router(router), dict.fromkeys(range(len(CLASSES)), self.network(checkpoint)))


def score_lines(record: Record, lines: list[Line], default_router: Path, bench: Bench, true_size: bool) -> list[Result]:
    """One image in every line of the table that has a network for it."""
    picture, truth = read_image(record.image), read_labels(record.label)
    image, true_class = NormalisedImage(normalise(picture.pixels)), cue_class(picture.pixels, truth)
    true_diameter = median_diameter(truth) if true_size else math.nan
    diameter = None if math.isnan(true_diameter) else true_diameter
    done, results = {}, []
    for line in lines:
        router, routed = line.router or default_router, true_class
        if line.routes:
            routed = bench.router(router)(image, ruled_out(picture.pixels, image.gray)).best
        key = (router, line.checkpoints[routed])
        if key[1] is None:
            continue
        if key not in done:
            found = bench.segmenter(*key).segment(picture, class_=routed, diameter=diameter)
            done[key] = score_image(truth, found.labels)[0]
        results.append(Result(line.name, record, true_class, routed, done[key]))
    return results


def lines_of_runs(folder: Path) -> list[Line]:
    """The paper's lines, as far as the folder has networks for them."""

    def there(path: Path) -> Path | None:
        return path if path.exists() else None

    first = {kind: there(runs.pretrained(folder, kind)) for kind in runs.NETWORK_KINDS}
    tuned = {
        kind: tuple(there(runs.finetuned(folder, k, kind)) for k in range(len(CLASSES))) for kind in runs.NETWORK_KINDS
    }
    lines = [Line(f"{NAMES[kind]} pre-trained", (first[kind],) * len(CLASSES)) for kind in runs.NETWORK_KINDS]
    lines += [Line(f"{NAMES[kind]} fine-tuned", tuned[kind]) for kind in runs.NETWORK_KINDS]
    if router := there(runs.router(folder)):
        ours = tuple(tuned[kind][k] or first[kind] for k, kind in enumerate(runs.CLASS_KINDS))
        stood_in = [str(k) for k, kind in enumerate(runs.CLASS_KINDS) if not tuned[kind][k] and first[kind]]
        remark = f"the pre-trained network stands in for class {', '.join(stood_in)}" if stood_in else ""
        if tuned["hover"][2]:
            lines.append(Line("Ours, Hover for class 2", (*ours[:2], tuned["hover"][2], ours[3]), router, True))
        lines.append(Line("Ours", ours, router, True, remark))
    return [line for line in lines if any(line.checkpoints)]


def names_of(folders: Sequence[Path]) -> dict[Path, str]:
    """What the lines of weights folders are called: by the folder's own name, where two have one by their paths.

    Examples
    --------
    >>> list(names_of([Path("/new/weights"), Path("/old/weights"), Path("/runs/lite")]).values())
    ['/new/weights', '/old/weights', 'lite']
    """
    own = {folder: folder.resolve().name for folder in folders}
    return {folder: str(folder) if list(own.values()).count(name) > 1 else name for folder, name in own.items()}


def line_of_weights(folder: Path, name: str) -> Line:
    """A weights folder behind its own router, which must be there, and at least one network; raises CheckpointError if
    not.
    """
    router, networks = folder / ROUTER_FILE, [folder / c.file for c in CLASSES]
    if not router.exists() or not any(path.exists() for path in networks):
        raise CheckpointError(
            f"{networks[0] if router.exists() else router}: no such weights file; complete the folder with "
            "training.assemble"
        )
    return Line(f"weights: {name}", tuple(path if path.exists() else None for path in networks), router, True)


def lines_of_networks(weights: Line) -> list[Line]:
    """A line for each network of a weights folder, which gets the images of all classes."""
    return [
        Line(f"{weights.name}, {path.stem}", (path,) * len(CLASSES), weights.router)
        for path in weights.checkpoints
        if path
    ]


def table(results: list[Result], lines: list[Line]) -> str:
    """Mean F1 by line and class, for people to read."""
    columns = {f"class {k}": [r for r in results if r.cue_class == k] for k in range(len(CLASSES))} | {"all": results}
    if any(r.record.partial for r in results):
        columns["complete labels"] = [r for r in results if not r.record.partial]
    images = {name: len({r.record.image for r in members}) for name, members in columns.items()}
    rows = []
    for line in lines:
        rows.append({"": line.name})
        for name, members in columns.items():
            scores = [r.f1 for r in members if r.line == line.name]
            rows[-1][f"{name} ({images[name]})"] = (
                f"{np.mean(scores):.4f}" if scores and len(scores) == images[name] else GAP
            )
    text = [text_table(rows)]
    if remarks := [remark for line in lines for remark in line.remarks]:
        text += ["", *remarks]
    return "\n".join(text)


def trained(line: Line, bench: Bench) -> str:
    """What the networks of a line have seen, starts included, and how long their last trainings took."""
    classes: dict[str, list[str]] = {}
    for k, path in enumerate(line.checkpoints):
        if path:
            config = bench.config(path)
            minutes = f" in {config.training['seconds'] / 60:.0f} minutes" if "seconds" in config.training else ""
            classes.setdefault(
                f"{config.crops:,} crops, the last {config.training.get('steps_done', 0):,} steps{minutes}", []
            ).append(str(k))
    return f"{line.name}: " + "; ".join(
        seen if len(own) == len(CLASSES) else f"class {', '.join(own)} {seen}" for seen, own in classes.items()
    )


def csv_lines(results: list[Result]) -> list[dict]:
    """A line for each image in each line of the table."""
    return [
        {
            "line": r.line,
            "image": r.record.image,
            "source": r.record.source,
            "partial": int(r.record.partial),
            "class": r.cue_class,
            "routed": r.routed,
            **r.counts._asdict(),
            "f1": round(r.f1, 5),
        }
        for r in results
    ]


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.ablation", __doc__)
    add = parser.add_argument
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.images.manifest)")
    add("--split", default="val", help="lines of the manifest to score [val]")
    add("--runs", type=Path, metavar="DIR", help="folder of training.protocol")
    add("--weights", type=Path, action="append", default=[], metavar="DIR", help="weights folder; may be repeated")
    add(
        "--each-network", action="store_true", help="a line for each network of --weights, on the images of all classes"
    )
    add("--true-size", action="store_true", help="take the cells' size from the labels")
    add("--trained", action="store_true", help="say below the table what the networks have seen")
    add("--limit", type=int, metavar="N", help="a quick look at N images, as equally many of each source as can be")
    add("--csv", type=Path, metavar="FILE", help="write the scores of each image there")
    add_device(parser)
    return parser.parse_args(argv)


def find_lines(folder: Path | None, weights_folders: Sequence[Path], each_network: bool) -> tuple[list[Line], Path]:
    """Lines of the table, and the router for those without one; raises ValueError if there is nothing to do.

    Parameters
    ----------
    folder : of training.protocol
    each_network : whether each network of the weights folders has a line, too
    """
    lines = lines_of_runs(folder) if folder else []
    for weights in (line_of_weights(*named) for named in names_of(weights_folders).items()):
        lines += [weights, *(lines_of_networks(weights) if each_network else [])]
    if not lines:
        raise ValueError(
            f"{folder}: holds no networks; give a folder of training.protocol"
            if folder
            else "nothing to compare; give --runs or --weights"
        )
    routers = [runs.router(folder)] if folder and runs.router(folder).exists() else []
    routers += [line.router for line in lines if line.router]
    if not routers:
        raise ValueError(
            f"{runs.router(folder)}: no router there to guess the cells' size; train it, or give a folder "
            "that has one with --weights"
        )
    return lines, routers[0]


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    lines, router = find_lines(args.runs, args.weights, args.each_network)
    records = [r for r in read_manifest(args.manifest, args.split) if r.label]
    if args.limit:
        records = pick_balanced(records, args.limit)
    bench = Bench(args.device)
    with logging_redirect_tqdm():
        results = [
            result
            for record in tqdm(records, unit="image", disable=None)
            for result in score_lines(record, lines, router, bench, args.true_size)
        ]
    print(table(results, lines))
    if args.trained:
        print("", *(trained(line, bench) for line in lines), sep="\n")
    if args.csv:
        write_table(args.csv, csv_lines(results))
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
