"""Manifests: the CSV files that list the images of a training run, read by `training.datasets`."""

import csv
import os
from pathlib import Path

from training.readers.listing import Entry, Listing, Problem, read_table

COLUMNS = ("image", "label", "split", "source", "modality", "partial")
SPLITS = ("train", "val", "test", "unlabelled")


def list_manifest(path: Path) -> Listing:
    """The lines of a manifest; modality and partial may be missing, further columns are ignored."""
    listing = Listing()
    try:
        lines = read_table(path, ("image", "label", "split", "source"))
    except ValueError as error:
        listing.problems.append(Problem(path, str(error)))
        return listing
    for number, row in lines:
        image, label = path.parent / row["image"], path.parent / row["label"] if row["label"] else None
        lost = next((p for p in (image, label) if p and not p.is_file()), None)
        if lost:
            listing.report(lost, f"no such file, {path} line {number} lists it; copy it there, or take the line out", image)
        elif row["split"] not in SPLITS:
            listing.report(path, f"line {number}: split must be one of {', '.join(SPLITS)}, got {row['split']!r}", image)
        elif (label is None) != (row["split"] == "unlabelled"):
            listing.report(path, f"line {number}: split unlabelled, and no other, goes without a label; correct the line", image)
        else:
            listing.entries.append(Entry(image, label, row["split"], row["source"], row.get("modality", ""), name="", group="",
                                         partial=row.get("partial") == "1"))
    return listing


def write_manifest(path: Path, entries: list[Entry]) -> None:
    """Write all lines to a temporary name and rename it; paths are relative to the manifest where a relative path exists."""
    part = path.with_name(path.name + ".part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for e in entries:
            writer.writerow([relative_path(e.image, path.parent), relative_path(e.label, path.parent) if e.label else "", e.split,
                             e.source, e.modality, int(e.partial) if e.label else ""])
    part.replace(path)


def relative_path(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`, with forward slashes; absolute if they are on different drives."""
    path = path.parent.resolve() / path.name  # a file that is a link keeps its own name
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:
        return path.as_posix()
