"""Put trained networks into a weights folder for predict.py, with checksums and a model card.

All networks of a run of training.protocol, or one of any run:

    python -m training.assemble --weights weights --manifest data/manifest.csv --terms data/README.md --runs runs
    python -m training.assemble --weights weights --manifest data/manifest.csv --class2 runs/mine/stardist.safetensors

A file that is there already is replaced only by a network with a higher validation figure (F1; the router: its score),
or with --force; one that was never measured gives way to any. The figures are those that training wrote into the
checkpoints; they compare only where they were measured on the same images, and a warning says where classes or number
of images differ. The folder then holds

    router.safetensors, class0.safetensors ... class3.safetensors
    SHA256SUMS      check with: cd weights && sha256sum -c SHA256SUMS
    MODEL_CARD.md   written from what the checkpoints say of themselves (training.model_card). Its part on known
                    failures is yours: write between the two markers, later runs keep it

The card lists the sources of the manifest's training images, and those that the checkpoints say that their networks, or
the ones that they started from, have seen besides.

--each-network is what training.measure.ablation --each-network --csv has measured with the networks of the folder: the
mean F1 of each on the images of each class. The router's checkpoint keeps it, and an image of which the router is not
sure goes where it promises most.

--scores are those of the whole program, which then stand in the model card until a network is replaced.

--storage int8 halves a file against float16; by default only a network of more than 60 MB is stored so. --terms is a
table with the columns source and terms, in a CSV or a Markdown file: the licences of the data sets, for the card.
"""

import argparse
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

from models.checkpoint import STORAGES, read_config
from models.checksums import write_checksums
from models.classes import CLASSES, ROUTER_FILE
from models.config import Config
from models.weights_folder import ALL_FILES, OWN_FILES
from training import runs
from training.command import DONE, PARTLY, command, manual
from training.images.manifest import read_manifest
from training.images.sources import Sources, counted, united
from training.images.terms import read_terms, terms_of
from training.placing import FILES, PARTS, describe, place, tell_router
from training.tables import read_table

log = logging.getLogger(__name__)


def validation_figure(config: Config) -> float | None:
    """What a checkpoint was selected by: score of a router, F1 of a segmenter; None if it was not measured."""
    return config.validation.get("f1", config.validation.get("score"))


def measured_on(config: Config) -> str:
    """The images that the figure comes from, in words."""
    classes = config.training.get("classes")
    return f"{config.validation.get('images')} images of {f'class {classes}' if classes else 'all classes'}"


def is_better(source: Path, target: Path) -> bool:
    """Whether a checkpoint should replace another one; the log says why not."""
    new, old = read_config(source)[1], read_config(target)[1]
    figures = validation_figure(new), validation_figure(old)
    if None not in figures and (on := measured_on(new)) != (before := measured_on(old)):
        log.warning("%s was measured on %s, %s on %s: their figures may not compare", source, on, target, before)
    if figures[1] is None or figures[0] is not None and figures[0] > figures[1]:
        return True
    log.info(
        "%s stays: its validation figure is %s, and %s of %s; --force replaces it",
        target,
        figures[1],
        figures[0],
        source,
    )
    return False


def place_part(
    source: Path, target: Path, data: Sources, terms: Mapping[str, str], folder: Path | None, storage: str | None
) -> None:
    """Place a checkpoint with what is known of its pre-training, from the folder of runs, and of its data: the
    manifest's sources, and those that it says that it or its start has seen.
    """
    kind, config = read_config(source)
    left_out = config.training.get("leave_out", [])
    listed = {name: entry for name, entry in data.items() if name not in left_out}
    seen = with_terms(united(listed, config.sources), terms)
    place(source, target, seen, pretraining(config, folder, kind), storage)


def check_kind(part: str, source: Path) -> None:
    """Raise ValueError if a checkpoint is of the wrong kind for its place."""
    kind, _ = read_config(source)
    if (kind == "router") != (part == "router"):
        raise ValueError(
            f"{source}: a {kind} network cannot be {FILES[part]}; give it as "
            f"{'--router' if kind == 'router' else '--class0 to --class3'}"
        )


def with_terms(sources: Sources, table: Mapping[str, str]) -> dict[str, dict]:
    """Sources with the terms of a table, and of those that it lacks their own."""
    return {name: {**entry, "terms": terms_of(name, table) or entry["terms"]} for name, entry in sources.items()}


def pretraining(config: Config, folder: Path | None, kind: str) -> Mapping:
    """What the checkpoint that a network was fine-tuned from says of its training, if it is at hand."""
    start = folder and runs.pretrained(folder, kind)
    if not config.training.get("init") or not start or not start.exists():
        return config.pretraining
    return read_config(start)[1].training


def expected_f1(path: Path) -> list[list[float]]:
    """Mean F1 on the images of each class (rows) by each network (columns), from the CSV file of
    training.measure.ablation.

    Raises ValueError if a network or a class is missing in it, or it has the networks of several folders.
    """
    scores: dict[tuple[int, int], list[float]] = {}
    folders = set()
    for _, row in read_table(path, ("line", "class", "f1")):
        if found := re.search(r"^(.*), class([0-3])$", row["line"]):
            folders.add(found[1])
            scores.setdefault((int(row["class"]), int(found[2])), []).append(float(row["f1"]))
    if len(folders) > 1:
        raise ValueError(
            f"{path}: has the networks of several folders ({'; '.join(sorted(folders))}); measure those of --weights "
            "alone"
        )
    numbers = range(len(CLASSES))
    if missing := [f"network class{n} on class {c}" for c in numbers for n in numbers if (c, n) not in scores]:
        raise ValueError(
            f"{path}: no scores of {', '.join(missing)}; make the file with training.measure.ablation --weights DIR "
            "--each-network --csv FILE, on images of all classes"
        )
    return [[round(mean(scores[c, n]), 4) for n in numbers] for c in numbers]


def find_sources(args: argparse.Namespace) -> dict[str, Path]:
    """The checkpoint for each part: the one named, else the run's, if it has one."""
    found = {part: getattr(args, part) for part in PARTS if getattr(args, part)}
    if args.runs:
        defaults = {"router": runs.router(args.runs)}
        defaults |= {f"class{k}": runs.finetuned(args.runs, k, kind) for k, kind in enumerate(runs.CLASS_KINDS)}
        found = {part: path for part, path in defaults.items() if path.exists()} | found
    if not found and not (args.each_network or args.scores):
        raise ValueError(
            f"{args.runs}: holds no router/ and no class0-stardist/ ...; give a folder of training.protocol"
            if args.runs
            else "nothing to assemble; give --runs, or single networks with --router and --class0 to --class3"
        )
    return found


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.assemble", __doc__)
    add = parser.add_argument
    add("--weights", type=Path, required=True, metavar="DIR", help="the folder to write")
    add("--manifest", type=Path, required=True, help="what the networks were trained on last, for the model card")
    add("--terms", type=Path, metavar="FILE", help="table of the sources' licences (.csv or .md)")
    add("--runs", type=Path, metavar="DIR", help="folder of training.protocol to take the networks from")
    for part in PARTS:
        add(f"--{part}", type=Path, metavar="FILE", help="checkpoint for this part [that of --runs]")
    add(
        "--each-network",
        type=Path,
        metavar="FILE",
        help="what each network scores on each class (.csv of training.measure.ablation)",
    )
    add(
        "--scores",
        type=Path,
        metavar="FILE",
        help="scores by source, for the model card (.csv of training.measure.sources)",
    )
    add("--storage", choices=STORAGES, help="number format of the weights [float16, int8 where that exceeds 60 MB]")
    add("--force", action="store_true", help="replace networks whatever their validation figures are")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    found = find_sources(args)
    matrix = expected_f1(args.each_network) if args.each_network else None
    for part, source in found.items():
        check_kind(part, source)
    own = [name for name in OWN_FILES if (args.weights / name).exists()]
    if "router" in found and own:
        raise ValueError(
            f"{args.weights}: {', '.join(own)} would not know their images by another router; assemble in another "
            "folder, or remove them"
        )
    data = counted(read_manifest(args.manifest, "train", files=False))
    terms = read_terms(args.terms) if args.terms else {}
    args.weights.mkdir(parents=True, exist_ok=True)
    changed = False
    for part, source in found.items():
        target = args.weights / FILES[part]
        if args.force or not target.exists() or is_better(source, target):
            place_part(source, target, data, terms, args.runs, args.storage)
            write_checksums(args.weights, ALL_FILES)
            changed = True
    if matrix:
        tell_router(args.weights / ROUTER_FILE, args.weights / ROUTER_FILE, matrix)
        write_checksums(args.weights, ALL_FILES)
    configs = describe(args.weights, args.scores, changed)
    missing = [FILES[part] for part in PARTS if part not in configs]
    if missing:
        log.error("%s: not usable yet, without %s; assemble the missing networks too", args.weights, ", ".join(missing))
    return PARTLY if missing else DONE


if __name__ == "__main__":
    raise SystemExit(main())
