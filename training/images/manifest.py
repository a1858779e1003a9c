"""Manifests: the CSV files that list the images of a data set, and the record that a line of one becomes.

A manifest has a line an image and at least the columns image, label, split (train, val, test or unlabelled) and source;
paths are relative to the manifest. A column modality may say how the image was taken, a column partial may hold 1 (or
true, or yes) where only some cells are labelled. Further columns are ignored. A line of split unlabelled has no label,
every other one has. An image of split train is in no line of val or test.
"""

import csv
import hashlib
import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from training.tables import read_table

COLUMNS = ("image", "label", "split", "source", "modality", "partial")
SPLITS = ("train", "val", "test", "unlabelled")
PARTIAL = {"": False, **dict.fromkeys(("0", "0.0", "false", "no"), False)}
PARTIAL |= dict.fromkeys(("1", "1.0", "true", "yes"), True)
PSEUDO_SUFFIX = "_pseudo"  # of a source whose labels a network has made
SYNTHETIC_PREFIX = "synthetic_"  # of a source that was drawn


@dataclass(frozen=True)
class Record:
    """A line of a manifest.

    label : None for an unlabelled image
    split : one of SPLITS
    source : data set, or the part of it that looks alike
    modality : fluorescence, phase, ...; "" if unknown
    partial : only some of the cells are labelled
    """

    image: Path
    label: Path | None
    split: str
    source: str
    modality: str = ""
    partial: bool = False


class NoSuchSplit(ValueError):
    """A manifest that can be read has no line of the splits that were asked for."""


class Problem(NamedTuple):
    """Why a file cannot be used. `text` names the file at fault and the remedy, `path` is the image that it keeps from
    being used.
    """

    path: Path
    text: str


def read_manifest(path: Path, *splits: str, files: bool = True) -> list[Record]:
    """The lines of some splits, or of all.

    Parameters
    ----------
    files : check that images and labels are there

    Raises
    ------
    ValueError
        If the file is not a manifest, one of these lines is wrong or names a file that is not there; a NoSuchSplit if
        there is no such line.
    """
    records, problems = list_manifest(path, splits or SPLITS, files)
    if problems:
        more = f" (and {len(problems) - 1} more lines are wrong)" if len(problems) > 1 else ""
        raise ValueError(problems[0].text + more)
    if not records:
        found = {row["split"] for _, row in read_table(path, ("split",))}
        raise NoSuchSplit(
            f"{path}: no line has split {' or '.join(map(repr, splits or SPLITS))}; splits here: {sorted(found)}"
        )
    return records


def list_manifest(path: Path, splits: Sequence[str] = SPLITS, files: bool = True) -> tuple[list[Record], list[Problem]]:
    """The lines of some splits that can be used, and what is wrong with the others. Parameters as of
    `read_manifest`.
    """
    records, problems = [], []
    try:
        lines = read_table(path, COLUMNS[:4])
    except ValueError as error:
        return [], [Problem(path, str(error))]
    folder = Path(path).parent
    trained = {os.path.normpath(row["image"]) for _, row in lines if row["split"] == "train"}
    for number, row in lines:
        if row["split"] in SPLITS and row["split"] not in splits:
            continue
        partial = (row.get("partial") or "").strip().lower()
        record = Record(
            folder / row["image"],
            folder / row["label"] if row["label"] else None,
            row["split"],
            row["source"],
            row.get("modality", ""),
            PARTIAL.get(partial, False),
        )
        lost = next((p for p in (record.image, record.label) if p and not p.is_file()), None) if files else None
        if lost:
            text = f"{lost}: no such file, {path} line {number} lists it; copy it there, or take the line out"
        elif record.split not in SPLITS:
            text = f"{path}: line {number}: split must be one of {', '.join(SPLITS)}, got {record.split!r}"
        elif (record.label is None) != (record.split == "unlabelled"):
            text = f"{path}: line {number}: split unlabelled, and no other, goes without a label; correct the line"
        elif partial not in PARTIAL:
            text = f"{path}: line {number}: partial must be 1, 0 or empty, got {row['partial']!r}"
        elif record.split in ("val", "test") and os.path.normpath(row["image"]) in trained:
            text = f"{path}: line {number}: {row['image']} is of split train, too; take one of the lines out"
        else:
            records.append(record)
            continue
        problems.append(Problem(record.image, text))
    return records, problems


def check_sources(path: Path, names: Collection[str], option: str) -> None:
    """Raise ValueError if a manifest has no line of a source that an option names: it would be ignored."""
    if not names:
        return
    there = {row["source"] for _, row in read_table(path, ("source",))}
    if unknown := sorted(set(names) - there):
        raise ValueError(
            f"{path}: no line is of source {', '.join(unknown)}, which {option} names; sources here: "
            f"{', '.join(sorted(there))}"
        )


def digest_of(records: Sequence[Record], folder: Path) -> str:
    """What tells whether a manifest in a folder still has these lines, in this order, wherever the folder lies."""
    lines = [
        [relative_path(r.image, folder), r.label and relative_path(r.label, folder), r.split, r.source, r.partial]
        for r in records
    ]
    return hashlib.sha256(json.dumps(lines).encode()).hexdigest()[:16]


def write_manifest(path: Path, records: Sequence[Record]) -> None:
    """Write all lines to a temporary name and rename it; paths are relative to the manifest where a relative path
    exists.
    """
    part = path.with_name(path.name + ".part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for r in records:
            writer.writerow(
                [
                    relative_path(r.image, path.parent),
                    relative_path(r.label, path.parent) if r.label else "",
                    r.split,
                    r.source,
                    r.modality,
                    int(r.partial) if r.label else "",
                ]
            )
    part.replace(path)


def relative_path(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`, with forward slashes; absolute if they are on different drives."""
    path = path.parent.resolve() / path.name  # a file that is a link keeps its own name
    try:
        return Path(os.path.relpath(path, folder.resolve())).as_posix()
    except ValueError:
        return path.as_posix()
