"""Show what the low-level cues make of a data set: a table, counts, and a picture for each class (paper, section 2.1).

    python -m training.cue_table --manifest data/manifest.csv --out runs/cues
    python -m training.cue_table --manifest data/manifest.csv --out runs/cues --split train --outlines
    python -m training.cue_table --manifest data/pseudo/manifest.csv --out runs/pseudo-cues --outlines

All lines of the manifest that have labels are taken, true ones or those of training.label --pseudo. The run writes

    OUT/cues.csv                 a line an image: channels, mean S and mean V (of HSV, 0 to 1), largest cell in pixels,
                                 class, and the rule that decided it in words
    OUT/class0_binary.png, ...   a contact sheet of each class: at most 64 images, as equally many of each source as can
                                 be, as the networks see them (normalised), named SOURCE/FILE; --outlines draws the
                                 labels

and prints the number of images of each source in each class. Look at the sheets: an image that is in the wrong class
will train the wrong stream. Mostly its channels are to blame; python -m training.prepare -h tells how to store them.
"""

import argparse
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from inference.image.forms import to_three_channels
from inference.outputs.overlay import OverlayStyle, draw_overlay, write_png
from training.command import DONE, command, manual
from training.images.cues import CLASS_NAMES, CUES_TABLE, Cues, decide
from training.images.datasets import READERS, load_sample
from training.images.manifest import Record, read_manifest
from training.tables import text_table, write_table
from training.validation import pick_balanced

log = logging.getLogger(__name__)

OUTLINES = OverlayStyle(colour=(255, 255, 0))  # alike on all images

SHEET_IMAGES, SHEET_COLUMNS = 64, 8
THUMBNAIL, CAPTION = 160, 14  # pixels


@dataclass(frozen=True)
class Row:
    """A labelled image and what the rules say of it."""

    record: Record
    cues: Cues
    cue_class: int
    rule: str

    @property
    def source(self) -> str:
        return self.record.source


def labelled_records(manifest: Path, splits: list[str] | None) -> list[Record]:
    """The lines of a manifest that have labels, of some splits or of all.

    Raises ValueError if a line is wrong or none is left.
    """
    records = [r for r in read_manifest(manifest, *splits or ()) if r.label]
    if not records:
        raise ValueError(
            f"{manifest}: no line of these splits has labels; training.label --pseudo labels unlabelled images"
        )
    return records


def judge(record: Record) -> Row:
    """Read an image and apply the rules."""
    sample = load_sample(record)
    return Row(record, sample.cues, *decide(sample.cues))


def table_line(row: Row) -> dict:
    """Of the CSV file."""
    record, cues = row.record, row.cues
    means = {
        name: "" if mean is None else f"{mean:.4f}"
        for name, mean in (("mean_s", cues.saturation), ("mean_v", cues.value))
    }
    return {
        "image": record.image,
        "label": record.label,
        "split": record.split,
        "source": record.source,
        "channels": cues.channels,
        **means,
        "largest_cell": cues.largest_cell,
        "class": row.cue_class,
        "rule": row.rule,
    }


def count_table(rows: list[Row]) -> str:
    """Images of each source (lines) in each class (columns), for people to read."""
    counts = Counter((row.source, row.cue_class) for row in rows)
    sources = sorted({row.source for row in rows})
    return text_table(
        [
            {"source": source}
            | {f"{k} {name}": sum(counts[m, k] for m in members) for k, name in enumerate(CLASS_NAMES)}
            for source, members in [(s, [s]) for s in sources] + [("all", sources)]
        ]
    )


def contact_sheet(rows: list[Row], outlines: bool) -> np.ndarray:
    """Captioned thumbnails side by side, (H, W, 3) uint8 RGB."""
    tiles = list(READERS.map(lambda row: thumbnail(row, outlines), rows))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % SHEET_COLUMNS)
    lines = [np.concatenate(tiles[i : i + SHEET_COLUMNS], axis=1) for i in range(0, len(tiles), SHEET_COLUMNS)]
    return np.concatenate(lines)


def thumbnail(row: Row, outlines: bool) -> np.ndarray:
    """The normalised image, fitted into a square with SOURCE/FILE below it."""
    sample = load_sample(row.record)
    image = draw_overlay(sample.pixels, sample.labels, OUTLINES) if outlines else to_three_channels(sample.pixels)
    zoom = THUMBNAIL / max(image.shape[:2])
    height, width = (max(1, round(n * zoom)) for n in image.shape[:2])
    tile = np.zeros((THUMBNAIL + CAPTION, THUMBNAIL, 3), np.uint8)
    top, left = (THUMBNAIL - height) // 2, (THUMBNAIL - width) // 2
    tile[top : top + height, left : left + width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    text, corner = f"{row.source}/{row.record.image.stem}", (2, THUMBNAIL + CAPTION - 4)
    cv2.putText(tile, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.33, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.cue_table", __doc__)
    add = parser.add_argument
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.images.manifest)")
    add("--out", type=Path, required=True, help="folder for the table and the pictures")
    add("--split", nargs="+", help="lines of the manifest to take [all with labels]")
    add("--outlines", action="store_true", help="draw the outlines of the labels into the contact sheets")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    records = labelled_records(args.manifest, args.split)
    rows = list(tqdm(READERS.map(judge, records), total=len(records), unit="image", disable=None))
    write_table(args.out / CUES_TABLE, [table_line(row) for row in rows])
    for k, name in enumerate(CLASS_NAMES):
        sheet = args.out / f"class{k}_{name.replace(' ', '_')}.png"
        sheet.unlink(missing_ok=True)
        if members := [row for row in rows if row.cue_class == k]:
            picture = contact_sheet(pick_balanced(members, SHEET_IMAGES), args.outlines)
            write_png(sheet, picture)
    print(count_table(rows))
    log.info("%s: %d images", args.out / CUES_TABLE, len(rows))
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
