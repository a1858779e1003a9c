"""Label unlabelled images with trained networks, to train the router and the segmenters on more images (paper, 2.1 and 4.3).

    python -m training.pseudo_label --weights weights --manifest data/manifest.csv --out data/pseudo
    python -m training.pseudo_label --weights weights --images downloads/release-part1 --source neurips --out data/pseudo
    python -m training.cue_table --manifest data/pseudo/manifest.csv --out runs/pseudo-cues --outlines
    python -m training.prepare merge data/with-pseudo.csv data/manifest.csv data/pseudo/manifest.csv

The first command takes the manifest's lines of split "unlabelled", the second a folder with its sub-folders; both segment as
predict.py does. They write OUT/SOURCE_pseudo/NAME_label.tiff and OUT/manifest.csv with split "train" and source SOURCE_pseudo.
That name is the mark of pseudo labels, in manifests, tables and the model card, and --leave-out of the trainings takes it. The
third command shows the labels, the fourth adds them to the true ones. The paper uses them for the router; its segmenters got no
better by them (Table 4), so measure both (training.ablation).

Look at the pictures before training. A network repeats its mistakes in its labels, and what it overlooks it learns to overlook.
Blood is the worst case: by the challenge's convention red blood cells are no cells, so that smears without a white cell, such
as those of bbbc041seg, have nothing to label, and every "cell" there is wrong. --most-cells drops images in which many red
cells were taken for cells, --leave-out a whole source. With --fewest-cells 0 images without cells stay in: the router learns
from them, segmenters leave them out.

--confidence keeps images of whose class the router is sure. Exit code 1 if an image could not be read; the others are done.
"""

import argparse
import logging
import os
from collections import Counter
from pathlib import Path

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from inference.naming import label_names
from inference.outputs.label_tiff import LABEL_SUFFIX, write_labels
from inference.outputs.pixel_size import PixelSize
from inference.reading import read_image
from inference.segmenter import Segmentation, Segmenter
from training.readers.listing import Entry, image_files
from training.readers.manifest import list_manifest, write_manifest

log = logging.getLogger(__name__)

SOURCE_SUFFIX = "_pseudo"


def find_images(args: argparse.Namespace) -> list[Entry]:
    """The unlabelled images of the manifest or of the folder; raises ValueError if there are none."""
    if args.manifest:
        listing = list_manifest(args.manifest)
        if listing.problems:
            raise ValueError("\n".join(problem.text for problem in listing.problems))
        entries = [e for e in listing.entries if e.split == "unlabelled"]
    else:
        entries = [Entry(path, None, "unlabelled", args.source, "", name="", group="")
                   for path in image_files(args.images, recursive=True)]
    entries = [e for e in entries if e.source not in args.leave_out]
    if not entries:
        raise ValueError(f"{args.manifest}: no line of split 'unlabelled' is left; add some with training.prepare --unlabelled, "
                         "or give a folder with --images" if args.manifest else f"{args.images}: no images there; check the path")
    return entries


def label_paths(entries: list[Entry], out: Path) -> dict[Path, Path]:
    """Where each image's labels go: below a folder for its source, in the sub-folders that its images are in."""
    paths = {}
    for source in dict.fromkeys(e.source for e in entries):
        folders = {}
        for entry in entries:
            if entry.source == source:
                folders.setdefault(entry.image.parent.resolve(), []).append(entry.image)
        root = Path(os.path.commonpath(folders))
        for folder, images in folders.items():
            target = out / f"{source}{SOURCE_SUFFIX}" / folder.relative_to(root)
            paths |= {image: target / f"{name}{LABEL_SUFFIX}" for image, name in label_names(sorted(images)).items()}
    return paths


def reason_to_drop(result: Segmentation, args: argparse.Namespace) -> str:
    """Why an image's labels are not worth training on, "" if they are."""
    plan, cells = result.plan, result.summary.cells
    if cells < args.fewest_cells:
        return f"fewer than {args.fewest_cells} cells"
    if args.most_cells is not None and cells > args.most_cells:
        return f"more than {args.most_cells} cells"
    if plan.route.probabilities[plan.image_class.number] < args.confidence:
        return f"class probability below {args.confidence:g}"
    return ""


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.pseudo_label", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--weights", type=Path, required=True, metavar="DIR", help="folder with the five networks")
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--manifest", type=Path, help="CSV file with lines of split unlabelled")
    images.add_argument("--images", type=Path, metavar="DIR", help="folder of unlabelled images")
    add("--source", default="unlabelled", metavar="NAME", help="of the images of a folder [unlabelled]")
    add("--out", type=Path, required=True, help="folder for the labels and their manifest")
    add("--leave-out", nargs="+", default=[], metavar="SOURCE", help="sources not to label")
    add("--fewest-cells", type=int, default=3, metavar="N", help="drop images with fewer cells [3]")
    add("--most-cells", type=int, metavar="N", help="drop images with more cells [keep]")
    add("--confidence", type=float, default=0.0, metavar="P", help="drop images whose class has a lower probability [0]")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="[auto: the GPU if there is one]")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parse_arguments(argv)
    try:
        entries = find_images(args)
        segmenter = Segmenter.from_folder(args.weights, args.device)
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return 1
    paths, kept, dropped, failed = label_paths(entries, args.out), [], Counter(), 0
    with logging_redirect_tqdm():
        for entry in tqdm(entries, unit="image", disable=None):
            try:
                picture = read_image(entry.image)
                result = segmenter.segment(picture)
                labels = result.labels
            except ValueError as error:
                log.error("%s/%s", entry.image.parent, error)  # it begins with the file's name
                failed += 1
                continue
            if reason := reason_to_drop(result, args):
                dropped[reason] += 1
                continue
            label = paths[entry.image]
            label.parent.mkdir(parents=True, exist_ok=True)
            write_labels(label, labels, PixelSize.of(picture))
            kept.append(Entry(entry.image, label, "train", f"{entry.source}{SOURCE_SUFFIX}", entry.modality, name="", group=""))
    for reason, count in dropped.items():
        log.info("dropped: %d with %s", count, reason)
    if not kept:
        log.error("%s: no manifest written, none of the %d images got labels worth keeping", args.out, len(entries))
        return 1
    write_manifest(args.out / "manifest.csv", kept)
    log.info("%s: %d images with pseudo labels", args.out / "manifest.csv", len(kept))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
