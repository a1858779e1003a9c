"""Label images with trained networks: for the scorer, or as pseudo labels to train on (paper, 2.1 and 4.3).

    python -m training.label --weights weights --manifest data/manifest.csv --out predictions
    python -m training.measure.score data/manifest.csv predictions

A manifest's images lie beside their labels, so predict.py on those folders would segment the labels as well. This
command takes the images of --split alone and writes OUT/FOLDER/NAME_label.tiff, FOLDER being the one that the image is
in, where training.measure.score looks for it, and OUT/report.csv with the class, the measured cell diameter, the
cells and the doubts of each image.

    python -m training.label --pseudo --weights weights --manifest data/manifest.csv --out data/pseudo
    python -m training.label --pseudo --weights weights --images downloads/release-part1 --source neurips \\
        --out data/pseudo
    python -m training.cue_table --manifest data/pseudo/manifest.csv --out runs/pseudo-cues --outlines
    python -m training.prepare merge data/with-pseudo.csv data/manifest.csv data/pseudo/manifest.csv

With --pseudo it takes the manifest's lines of split "unlabelled", or a folder with its sub-folders, and writes
OUT/SOURCE_pseudo/NAME_label.tiff and OUT/manifest.csv with split "train" and source SOURCE_pseudo. That name is the
mark of pseudo labels, in manifests, tables and the model card, and --leave-out of the trainings takes it. The third
command shows the labels, the fourth adds them to the true ones. The paper uses them for the router; its segmenters got
no better by them (Table 4), so measure both (training.measure.ablation).

Look at the pictures before training. A network repeats its mistakes in its labels, and what it overlooks it learns to
overlook. Blood is the worst case: by the challenge's convention red blood cells are no cells, so that smears without a
white cell, such as those of bbbc041seg, have nothing to label, and every "cell" there is wrong. --most-cells drops
images in which many red cells were taken for cells, --leave-out a whole source. With --fewest-cells 0 images without
cells stay in, as negatives.

--confidence keeps images of whose class the router is sure.

Exit code: 0; 1 if an image could not be read, the others are done; 2 if nothing was labelled.
"""

import argparse
import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from inference.outputs.label_tiff import LABEL_SUFFIX, write_labels
from inference.outputs.pixel_size import PixelSize
from inference.reading import read_image
from inference.running.naming import label_names
from inference.segmentation import Segmentation
from inference.segmenter import Segmenter
from training.command import DONE, PARTLY, add_device, class_number, command, manual
from training.images.manifest import PSEUDO_SUFFIX, Record, check_sources, read_manifest, write_manifest
from training.readers.listing import image_files
from training.tables import grouped, write_table

log = logging.getLogger(__name__)


def find_images(args: argparse.Namespace) -> list[Record]:
    """The images of the manifest or of the folder; raises ValueError if there are none."""
    if args.manifest:
        check_sources(args.manifest, args.leave_out, "--leave-out")
        records = read_manifest(args.manifest, args.split or ("unlabelled" if args.pseudo else "val"))
    else:
        records = [Record(path, None, "unlabelled", args.source) for path in image_files(args.images, recursive=True)]
    records = [r for r in records if r.source not in args.leave_out]
    if not records:
        raise ValueError(
            f"{args.manifest}: no line is left without the sources of --leave-out"
            if args.manifest
            else f"{args.images}: no images there; check the path"
        )
    return records


def label_paths(records: list[Record], out: Path) -> dict[Path, Path]:
    """Where the scorer looks for each image's labels: below a folder of the same name as the image's.

    Raises ValueError if two images' labels would go into one file.
    """
    folders = grouped((r.image for r in records), lambda image: image.parent)
    paths = paths_in((out / folder.name, images) for folder, images in folders.items())
    for path, images in grouped(paths, paths.__getitem__).items():
        if len(images) > 1:
            raise ValueError(
                f"{images[0]} and {images[1]}: both images' labels would be {path}; rename one of their folders"
            )
    return paths


def pseudo_label_paths(records: list[Record], out: Path) -> dict[Path, Path]:
    """Where each image's pseudo labels go: below a folder for its source, in the sub-folders that its images are in."""
    paths = {}
    for source, own in grouped(records, lambda record: record.source).items():
        folders = grouped((r.image for r in own), lambda image: image.parent.resolve())
        root, top = Path(os.path.commonpath(folders)), out / f"{source}{PSEUDO_SUFFIX}"
        paths |= paths_in((top / folder.relative_to(root), images) for folder, images in folders.items())
    return paths


def paths_in(folders: Iterable[tuple[Path, list[Path]]]) -> dict[Path, Path]:
    """The file of each image's labels; what is given are pairs of their folder and the images that go there."""
    return {
        image: folder / f"{name}{LABEL_SUFFIX}"
        for folder, images in folders
        for image, name in label_names(sorted(images)).items()
    }


def reason_to_drop(result: Segmentation, fewest: int, most: int | None, confidence: float) -> str:
    """Why an image's labels are not worth training on, "" if they are."""
    plan, cells = result.plan, result.summary.cells
    if cells < fewest:
        return f"fewer than {fewest} cells"
    if most is not None and cells > most:
        return f"more than {most} cells"
    if confidence and plan.route.probabilities[plan.image_class.number] < confidence:
        return f"class probability below {confidence:g}"
    return ""


def report_line(record: Record, result: Segmentation) -> dict:
    """A line of report.csv."""
    plan, summary = result.plan, result.summary
    return {
        "source": record.source,
        "folder": record.image.parent.name,
        "image": record.image.name,
        "class": plan.image_class.name,
        "cells": summary.cells,
        "cell_diameter_px": round(plan.diameter, 1),
        "router_diameter_px": round(plan.route.diameter, 1) if plan.route else "",
        "size_agreement": "" if plan.agreement is None else round(plan.agreement, 3),
        "doubts": " ".join(plan.doubts),
        "seconds": round(sum(summary.seconds.values()), 2),
    }


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.label", __doc__)
    add = parser.add_argument
    add("--weights", type=Path, required=True, metavar="DIR", help="folder with the five networks")
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--manifest", type=Path, help="CSV file of images (training.images.manifest)")
    images.add_argument("--images", type=Path, metavar="DIR", help="with --pseudo: folder of unlabelled images")
    add("--out", type=Path, required=True, help="folder for the labels")
    add("--split", help="lines of the manifest to label [val; with --pseudo unlabelled]")
    add("--leave-out", nargs="+", default=[], metavar="SOURCE", help="sources not to label")
    add(
        "--route",
        type=class_number,
        metavar="CLASS",
        help="send every image to this class's network [the router decides]",
    )
    add("--pseudo", action="store_true", help="make labels to train on, and a manifest of them")
    add("--source", default="unlabelled", metavar="NAME", help="with --images: of the images [unlabelled]")
    add("--fewest-cells", type=int, default=3, metavar="N", help="with --pseudo: drop images with fewer cells [3]")
    add("--most-cells", type=int, metavar="N", help="with --pseudo: drop images with more cells [keep]")
    add(
        "--confidence",
        type=float,
        default=0.0,
        metavar="P",
        help="with --pseudo: drop images whose class has a lower probability [0]",
    )
    add_device(parser)
    args = parser.parse_args(argv)
    if args.images and not args.pseudo:
        parser.error("--images goes with --pseudo; predict.py segments a folder of images")
    if args.confidence and args.route is not None:
        parser.error("--confidence asks the router, which --route overrules: leave one of them out")
    return args


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    records = find_images(args)
    segmenter = Segmenter.from_folder(args.weights, args.device)
    paths = (pseudo_label_paths if args.pseudo else label_paths)(records, args.out)
    kept, lines, dropped, failed = [], [], Counter(), 0
    with logging_redirect_tqdm():
        for record in tqdm(records, unit="image", disable=None):
            try:
                picture = read_image(record.image)
                result = segmenter.segment(picture, class_=args.route)
                labels = result.labels
            except ValueError as error:
                log.error("%s/%s", record.image.parent, error)  # it begins with the file's name
                failed += 1
                continue
            limits = args.fewest_cells, args.most_cells, args.confidence
            if args.pseudo and (reason := reason_to_drop(result, *limits)):
                dropped[reason] += 1
                continue
            label = paths[record.image]
            label.parent.mkdir(parents=True, exist_ok=True)
            write_labels(label, labels, PixelSize.of(picture))
            kept.append(Record(record.image, label, "train", f"{record.source}{PSEUDO_SUFFIX}", record.modality))
            lines.append(report_line(record, result))
    for reason, count in dropped.items():
        log.info("dropped: %d with %s", count, reason)
    if not kept:
        raise ValueError(f"{args.out}: nothing written, none of the {len(records)} images got labels worth keeping")
    write_table(args.out / "report.csv", lines)
    if args.pseudo:
        write_manifest(args.out / "manifest.csv", kept)
    log.info("%s: %d images labelled", args.out, len(kept))
    return PARTLY if failed else DONE


if __name__ == "__main__":
    raise SystemExit(main())
