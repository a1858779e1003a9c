"""Show what the low-level cues make of a data set: a table, counts, and a picture for each class (paper, section 2.1).

    python -m training.cue_table --manifest data/manifest.csv --out runs/cues
    python -m training.cue_table --manifest data/manifest.csv --out runs/cues --split train --outlines
    python -m training.cue_table --manifest data/pseudo/manifest.csv --out runs/pseudo-cues --outlines

All lines of the manifest that have labels are taken, true ones or those of training.pseudo_label. The run writes

    OUT/cues.csv                 a line an image: channels, mean S and mean V (of HSV, 0 to 1), largest cell in pixels, class, and
                                 the rule that decided it in words
    OUT/class0_binary.png, ...   a contact sheet of each class: at most 64 images, as equally many of each source as can be, as
                                 the networks see them (normalised), named SOURCE/FILE; --outlines draws the labels

and prints the number of images of each source in each class. Look at the sheets: an image that is in the wrong class will train
the wrong stream. Mostly its channels are to blame; python -m training.prepare -h tells how to store them.
"""

import argparse
import csv
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from inference.normalisation import normalise, to_three_channels
from inference.outputs.overlay import draw_overlay
from training.cues import CLASS_NAMES, Cues, decide, measure_cues
from training.datasets import read_labels
from training.readers.listing import Entry, read_pixels
from training.readers.manifest import list_manifest
from training.validation import pick_balanced

log = logging.getLogger(__name__)

TABLE = "cues.csv"
SHEET_IMAGES, SHEET_COLUMNS = 64, 8
THUMBNAIL, CAPTION = 160, 14  # pixels
COLUMNS = ("image", "label", "split", "source", "channels", "mean_s", "mean_v", "largest_cell", "class", "rule")


@dataclass(frozen=True)
class Row:
    """A labelled image and what the rules say of it."""

    entry: Entry
    cues: Cues
    cue_class: int
    rule: str

    @property
    def source(self) -> str:
        return self.entry.source


def labelled_entries(manifest: Path, splits: list[str] | None) -> list[Entry]:
    """The lines of a manifest that have labels, of some splits or of all.

    Raises
    ------
    ValueError
        If a line is wrong or none is left.
    """
    listing = list_manifest(manifest)
    if listing.problems:
        raise ValueError("\n".join(p.text for p in listing.problems))
    entries = [e for e in listing.entries if e.label and (not splits or e.split in splits)]
    if not entries:
        found = ", ".join(sorted({e.split for e in listing.entries})) or "none"
        raise ValueError(f"{manifest}: no line with labels of the wanted splits; splits here: {found}; training.pseudo_label "
                         "labels unlabelled images")
    return entries


def read_pair(entry: Entry) -> tuple[np.ndarray, np.ndarray]:
    """Pixels as stored, and labels."""
    return read_pixels(entry.image), read_labels(entry.label)


def judge(entry: Entry) -> Row:
    """Read an image and apply the rules."""
    cues = measure_cues(*read_pair(entry))
    return Row(entry, cues, *decide(cues))


def write_table(path: Path, rows: list[Row]) -> None:
    """A CSV line an image."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in rows:
            entry, cues = row.entry, row.cues
            means = ["" if mean is None else f"{mean:.4f}" for mean in (cues.saturation, cues.value)]
            writer.writerow([entry.image, entry.label, entry.split, entry.source, cues.channels, *means, cues.largest_cell,
                             row.cue_class, row.rule])


def count_table(rows: list[Row]) -> str:
    """Images of each source (lines) in each class (columns), for people to read."""
    counts = Counter((row.source, row.cue_class) for row in rows)
    sources = sorted({row.source for row in rows})
    width = max(len("source"), *map(len, sources))
    lines = [f"{'source':{width}}" + "".join(f"  {k} {name}" for k, name in enumerate(CLASS_NAMES))]
    for source, members in [(s, [s]) for s in sources] + [("all", sources)]:
        lines.append(f"{source:{width}}" + "".join(f"  {sum(counts[m, k] for m in members):{len(name) + 2}}"
                                                   for k, name in enumerate(CLASS_NAMES)))
    return "\n".join(lines)


def contact_sheet(rows: list[Row], outlines: bool) -> np.ndarray:
    """Captioned thumbnails side by side, (H, W, 3) uint8 RGB."""
    with ThreadPoolExecutor() as pool:
        tiles = list(pool.map(lambda row: thumbnail(row, outlines), rows))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % SHEET_COLUMNS)
    lines = [np.concatenate(tiles[i:i + SHEET_COLUMNS], axis=1) for i in range(0, len(tiles), SHEET_COLUMNS)]
    return np.concatenate(lines)


def thumbnail(row: Row, outlines: bool) -> np.ndarray:
    """The normalised image, fitted into a square with SOURCE/FILE below it."""
    pixels, labels = read_pair(row.entry)
    image = normalise(pixels)
    image = draw_overlay(image, labels) if outlines else to_three_channels(image)
    zoom = THUMBNAIL / max(image.shape[:2])
    height, width = (max(1, round(n * zoom)) for n in image.shape[:2])
    tile = np.zeros((THUMBNAIL + CAPTION, THUMBNAIL, 3), np.uint8)
    top, left = (THUMBNAIL - height) // 2, (THUMBNAIL - width) // 2
    tile[top:top + height, left:left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    cv2.putText(tile, f"{row.source}/{row.entry.image.stem}", (2, THUMBNAIL + CAPTION - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.33,
                (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.cue_table", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.datasets)")
    add("--out", type=Path, required=True, help="folder for the table and the pictures")
    add("--split", nargs="+", help="lines of the manifest to take [all with labels]")
    add("--outlines", action="store_true", help="draw the outlines of the labels into the contact sheets")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parse_arguments(argv)
    try:
        entries = labelled_entries(args.manifest, args.split)
        with ThreadPoolExecutor() as pool:
            rows = list(tqdm(pool.map(judge, entries), total=len(entries), unit="image", disable=None))
        args.out.mkdir(parents=True, exist_ok=True)
        write_table(args.out / TABLE, rows)
        for k, name in enumerate(CLASS_NAMES):
            sheet = args.out / f"class{k}_{name.replace(' ', '_')}.png"
            sheet.unlink(missing_ok=True)
            if members := [row for row in rows if row.cue_class == k]:
                picture = contact_sheet(pick_balanced(members, SHEET_IMAGES), args.outlines)
                cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tofile(sheet)
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return 1
    print(count_table(rows))
    log.info("%s: %d images", args.out / TABLE, len(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
