"""Segment the images of a manifest as predict.py does, for the scorer.

    python -m training.predict_split --manifest data/manifest.csv --weights weights --out predictions
    python -m training.score data/manifest.csv predictions

A manifest's images lie beside their labels, so predict.py on those folders would segment the labels as well. This command takes
the images alone and writes OUT/SOURCE_FOLDER/NAME_label.tiff, where training.score looks for them, and OUT/report.csv with the
class, the measured cell diameter and the cells of each image.
"""

import argparse
import logging
from pathlib import Path

from tqdm import tqdm

from inference.naming import label_names
from inference.outputs.label_tiff import LABEL_SUFFIX, write_labels
from inference.outputs.pixel_size import PixelSize
from inference.outputs.table import write_table
from inference.reading import read_image
from inference.segmenter import Segmenter
from training.datasets import read_manifest


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m training.predict_split", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--manifest", type=Path, required=True, help="CSV file of images (training.datasets)")
    add("--weights", type=Path, required=True, metavar="DIR", help="folder with the five networks")
    add("--out", type=Path, required=True, help="folder for the labels")
    add("--split", default="val", help="[val]")
    add("--route", type=int, choices=range(4), help="send every image to this network [the router decides]")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="[auto: the GPU if there is one]")
    args = parser.parse_args(argv)
    segmenter = Segmenter.from_folder(args.weights, args.device)
    folders = {}
    for record in read_manifest(args.manifest, args.split):
        folders.setdefault(record.image.parent, []).append(record)
    names = {path: name for folder in folders.values() for path, name in label_names(sorted(r.image for r in folder)).items()}
    rows = []
    for record in tqdm([r for folder in folders.values() for r in folder], unit="image", disable=None):
        picture = read_image(record.image)
        result = segmenter.segment(picture, class_=args.route)
        labels, plan, summary = result.labels, result.plan, result.summary
        target = args.out / record.image.parent.name / f"{names[record.image]}{LABEL_SUFFIX}"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_labels(target, labels, PixelSize.of(picture))
        rows.append({"source": record.source, "image": record.image.name, "class": plan.image_class.name,
                     "cells": summary.cells, "cell_diameter_px": round(plan.diameter, 1),
                     "router_diameter_px": round(plan.route.diameter, 1) if plan.route else "",
                     "seconds": round(sum(summary.seconds.values()), 2)})
    write_table(args.out / "report.csv", rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
