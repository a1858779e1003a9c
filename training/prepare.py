"""Turn published data sets into manifests that the training commands read.

    python -m training.prepare neurips   downloads/neurips    data/neurips  --unlabelled release-part1
    python -m training.prepare cellpose  downloads/cellpose   data/cellpose
    python -m training.prepare omnipose  downloads/datasets   data/omnipose
    python -m training.prepare sartorius downloads/sartorius  data/sartorius --unlabelled train_semi_supervised
    python -m training.prepare dsb2018   downloads/dsb2018    data/dsb2018
    python -m training.prepare pairs     my/microscope        data/mine     --images raw --labels cells
    python -m training.prepare merge data/all.csv data/*/manifest.csv

Each layout is expected as it is unpacked:

    neurips     images/cell_00001.bmp, labels/cell_00001_label.tiff, in SOURCE_DIR or in its Training-labeled (train)
                and Tuning (test set); zenodo.org/records/10719375
    cellpose    train/000_img.png, train/000_masks.png, the same in train_cyto2 and test; www.cellpose.org/dataset
    omnipose    bact_phase/train_sorted/SPECIES/x.tif, x_masks.tif, the same in test_sorted, bact_fluor, worm,
                worm_high_res; osf.io/xmury
    sartorius   train.csv (run-length encoded cells), train/ID.png; Kaggle, sartorius-cell-instance-segmentation
    dsb2018     ID/images/ID.png, ID/masks/*.png, in SOURCE_DIR or in its stage1_train; Kaggle, data-science-bowl-2018
    shared      manifest.csv with image, label, split, source; splits and sources stay as they are
    pairs       images/x.png, labels/x.tif (or x_label, x_labels, x_mask, x_masks)

Label images without a cell are taken from shared and pairs alone, as negatives; published data sets have none.

The command writes OUT_DIR/manifest.csv (image, label, split, source, modality, partial). Images and labels stay where
they are, named by relative paths, but for what has to be made, below OUT_DIR:

- labels of sartorius and dsb2018, as zlib TIFF. Where cells overlap the first one keeps the pixel; the log counts such
  pixels.
- images that are not stored as the challenge stores them: one channel for fluorescence, three for everything else. The
  cue rules go by the channels (one channel is class 0), so that a gray fluorescence image in an RGBA file would become
  class 1, 2 or 3, and a phase image of one channel class 0. This concerns sartorius, omnipose and dsb2018, whose
  modality is known (dsb2018: gray on dark background is fluorescence), and others with --modality. --keep-channels
  leaves the images as they were published.

The publisher's own test set becomes val (--test-set). Without one, a share of the train images does: an image's side
depends on --seed and its file stem alone (sartorius: on its sample_id, as a sample was imaged several times), so that
adding images moves none; if so few images leave val empty, the first one by that order goes there. All files are read
and checked. If any is missing, damaged or does not fit, all problems are listed, nothing is written, and the exit code
is 2; --skip leaves files out.
"""

import argparse
import dataclasses
import hashlib
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from training.command import DONE, NOTHING, command, fraction, manual
from training.images.manifest import SPLITS, Problem, Record, list_manifest, write_manifest
from training.images.terms import permissive_records
from training.readers.dsb2018 import list_dsb2018
from training.readers.listing import Entry, Listing, stem
from training.readers.making import Maker
from training.readers.pairs import list_cellpose, list_neurips, list_omnipose, list_pairs
from training.readers.sartorius import list_sartorius

log = logging.getLogger(__name__)

VAL_FRACTION = 0.1  # of the train images of a data set without a test set of its own


class Layout(NamedTuple):
    """A published folder structure."""

    reader: Callable[..., Listing]
    modality: str | None  # of its unlabelled images, as Entry.modality
    help: str


LAYOUTS = {
    "neurips": Layout(list_neurips, "", "NeurIPS 2022 Cell Segmentation Challenge"),
    "cellpose": Layout(list_cellpose, "", "Cellpose"),
    "omnipose": Layout(list_omnipose, "", "Omnipose: bacteria and worms"),
    "sartorius": Layout(list_sartorius, "phase", "Kaggle Sartorius Cell Instance Segmentation"),
    "dsb2018": Layout(list_dsb2018, None, "Kaggle Data Science Bowl 2018, stage1_train"),
    "pairs": Layout(list_pairs, "", "a folder of images and a folder of labels"),
}


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.prepare", __doc__)
    commands = parser.add_subparsers(dest="layout", required=True, metavar="LAYOUT")
    for layout, (_, _, text) in LAYOUTS.items():
        add = add_layout(commands, layout, text)
        add(
            "--val-fraction",
            type=fraction,
            metavar="SHARE",
            help=f"share of the train images that becomes val [{VAL_FRACTION}, or 0 where the publisher's test set "
            "becomes val]",
        )
        add("--seed", type=int, default=0, help="of the choice of val [0]")
        add(
            "--test-set",
            choices=("val", "train", "leave-out"),
            default="val",
            help="what the publisher's own test set becomes [val]",
        )
        add(
            "--unlabelled",
            type=Path,
            action="append",
            default=[],
            metavar="DIR",
            help="folder of unlabelled images, within SOURCE_DIR or anywhere; may be repeated",
        )
        add("--source", default=layout, metavar="NAME", help=f"in column source [{layout}]")
        add(
            "--modality",
            metavar="NAME",
            help="in column modality, such as phase; decides the channels [known or empty]",
        )
        add("--partial", action="store_true", help="only some of the cells of each image are labelled")
        add("--keep-channels", action="store_true", help="do not convert images to the challenge's channels")
        if layout == "pairs":
            add("--images", default="images", metavar="DIR", help="folder of images [images]")
            add("--labels", default="labels", metavar="DIR", help="folder of labels [labels]")
            add(
                "--label-suffix",
                metavar="TEXT",
                help="what a label has after its image's stem [nothing, _label(s) or _mask(s)]",
            )
    add_layout(commands, "shared", "a folder that has a manifest.csv")
    merge = commands.add_parser("merge", help="join manifests into one", description="Join manifests into one.")
    merge.add_argument("out", type=Path, help="the manifest to write")
    merge.add_argument("manifests", type=Path, nargs="+", metavar="MANIFEST")
    merge.add_argument(
        "--permissive", action="store_true", help="only sources whose --terms are (training.images.terms)"
    )
    merge.add_argument("--terms", type=Path, metavar="FILE", help="table of the sources' licences, for --permissive")
    args = parser.parse_args(argv)
    if args.layout == "merge" and args.permissive and not args.terms:
        merge.error("--permissive needs --terms, the table of the sources' licences")
    return args


def add_layout(commands, layout: str, text: str) -> Callable:
    """A sub-command with the arguments that every layout has; returns its `add_argument`."""
    parser = commands.add_parser(
        layout, help=text, description=f"{text}; python -m training.prepare -h shows the files."
    )
    add = parser.add_argument
    add("source_dir", type=Path, metavar="SOURCE_DIR", help="the data set as it was unpacked")
    add("out_dir", type=Path, metavar="OUT_DIR", help="gets manifest.csv, and the labels and images that must be made")
    add(
        "--skip",
        action="append",
        default=[],
        metavar="PATTERN",
        help="images to leave out, such as 'cell_0050*' or train/758_img.png; may be repeated",
    )
    return add


def list_data_set(args: argparse.Namespace) -> Listing:
    """What the layout's reader finds, with the command's options applied."""
    if args.layout == "shared":
        listing = Listing(*list_manifest(args.source_dir / "manifest.csv"))
    else:
        own = {k: getattr(args, k) for k in ("images", "labels", "label_suffix") if k in args}
        listing = LAYOUTS[args.layout].reader(args.source_dir, args.source, **own)
        for folder in args.unlabelled:
            add_unlabelled(listing, args.source_dir / folder, args.source, LAYOUTS[args.layout].modality)
        changes = {"partial": args.partial} | ({} if args.modality is None else {"modality": args.modality})
        listing.entries = [dataclasses.replace(e, **changes) for e in listing.entries]
    listing.entries = [e for e in listing.entries if not any(e.image.match(s) for s in args.skip)]
    listing.problems = [p for p in listing.problems if not any(p.path.match(s) for s in args.skip)]
    if args.layout != "shared":
        listing.entries = draw_splits(listing.entries, args.test_set, args.val_fraction, args.seed)
    return listing


def add_unlabelled(listing: Listing, folder: Path, source: str, modality: str | None) -> None:
    """Add the images of a folder and its sub-folders as unlabelled."""
    for image in listing.images_of(folder, recursive=True):
        name = str(Path(folder.name) / image.relative_to(folder).with_name(stem(image)))
        listing.entries.append(Entry(image, None, "unlabelled", source, modality, name=name, group=name))


def draw_splits(entries: list[Entry], test_set: str, val_fraction: float | None, seed: int) -> list[Entry]:
    """Turn the test set into `test_set` (val, train or leave-out), then `val_fraction` of the train images into val, of
    two groups and more one at least."""
    if val_fraction is None:
        val_fraction = 0 if test_set == "val" and any(e.split == "test" for e in entries) else VAL_FRACTION
    entries = [dataclasses.replace(e, split=test_set) if e.split == "test" else e for e in entries]
    entries = [e for e in entries if e.split != "leave-out"]
    groups = {e.group for e in entries if e.split == "train"}
    moved = {group for group in groups if in_validation(group, val_fraction, seed)}
    if val_fraction and len(groups) > 1 and not moved and all(e.split != "val" for e in entries):
        moved = {min(groups, key=lambda group: place_of(group, seed))}
    return [dataclasses.replace(e, split="val") if e.split == "train" and e.group in moved else e for e in entries]


def in_validation(group: str, val_fraction: float, seed: int) -> bool:
    """Whether a group of images is one of the val set: the same in every run and on every machine."""
    return place_of(group, seed) < val_fraction * 2**64


def place_of(group: str, seed: int) -> int:
    """Where a group of images lies among all that there may be; those of the lowest 2**64 * val_fraction become val."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{group}".encode()).digest()[:8], "big")


def prepare(args: argparse.Namespace) -> int:
    """Run one layout; returns the exit code."""
    out = args.out_dir
    if out.resolve().is_relative_to(args.source_dir.resolve()):
        log.error(
            "%s: OUT_DIR lies in SOURCE_DIR, where its files would be taken for published ones; give another folder",
            out,
        )
        return NOTHING
    listing, new = list_data_set(args), not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".prepare-", dir=out) as staging:
        kept, negatives = args.layout == "shared" or args.keep_channels, args.layout in ("shared", "pairs")
        maker, entries = Maker(out, Path(staging), kept, negatives), []
        with logging_redirect_tqdm():
            for entry in tqdm(listing.entries, desc=args.layout, unit="image", disable=None):
                try:
                    entries.append(maker.finish(entry))
                except ValueError as error:
                    listing.problems.append(Problem(entry.image, str(error)))
        refused = refuse(listing, args.source_dir)
        if not refused:
            maker.publish()
            write_manifest(out / "manifest.csv", entries)
    if refused:
        if new:
            out.rmdir()
        return NOTHING
    if maker.overlap:
        log.info(
            "overlapping cells: %d pixels (images: %d) stay with the first cell; cells wholly under others, which "
            "are lost: %d",
            maker.overlap,
            maker.overlapping,
            maker.hidden,
        )
    if maker.empty:
        log.info("images without cells, to train on as negatives: %d", maker.empty)
    log_counts(out / "manifest.csv", entries)
    return DONE


def merge(manifests: Sequence[Path], out: Path, terms: Path | None) -> int:
    """Join manifests; returns the exit code. An unlabelled line gives way to one that labels the same image.

    terms : table of the sources' licences, of which permissive ones alone are taken; None to take all
    """
    joined, lines = Listing(), {}
    for manifest in manifests:
        entries, problems = list_manifest(manifest)
        joined.problems += problems
        for entry in entries:
            image = entry.image.resolve()
            first, other = lines.setdefault(image, (manifest, entry))
            if other is entry:
                continue
            if bool(other.label) == bool(entry.label):
                joined.report(entry.image, f"listed in {first} and in {manifest}; take one of the lines out")
            elif entry.label:
                lines[image] = manifest, entry
    joined.entries = [entry for _, entry in lines.values()]
    if refuse(joined, out):
        return NOTHING
    if terms:
        joined.entries = permissive_records(joined.entries, terms)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_manifest(out, joined.entries)
    log_counts(out, joined.entries)
    return DONE


def refuse(listing: Listing, about: Path) -> bool:
    """Whether there are problems, or no images; logs them all."""
    if not listing.entries and not listing.problems:
        listing.report(about, "no image is left; check the path and --skip")
    for problem in listing.problems:
        log.error(problem.text)
    if listing.problems:
        log.error(
            "nothing was written: %d problem%s, see above",
            len(listing.problems),
            "s" if len(listing.problems) > 1 else "",
        )
    return bool(listing.problems)


def log_counts(manifest: Path, entries: list[Record]) -> None:
    """One line with the number of images of each split."""
    counts = Counter(e.split for e in entries)
    log.info("%s: %s", manifest, ", ".join(f"{counts[s]} {s}" for s in SPLITS if counts[s]))


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # its lines about damaged files name no file
    if args.layout == "merge":
        return merge(args.manifests, args.out, args.terms if args.permissive else None)
    return prepare(args)


if __name__ == "__main__":
    raise SystemExit(main())
