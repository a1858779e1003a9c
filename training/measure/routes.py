"""How often the program takes the right class and the right cell size.

    python -m training.label --manifest data/manifest.csv --weights weights --out predictions
    python -m training.measure.routes data/manifest.csv predictions
    python -m training.measure.routes data/manifest.csv predictions --sources dsb2018_fluo monuseg

The class of an image is that of the paper's cue rules, which go by how it is stored. The cell size is the median over
its labelled cells, and right if it is off by a factor of two at most. The table has the labelled images of split "val"
by class, and by whether training has images of their source; below it stands every image whose size is wrong.

Exit code: 0; 2 if something could not be read.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.classes import CLASSES, find_class
from training.command import DONE, command, manual
from training.images.datasets import load_sample
from training.images.manifest import Record, check_sources, read_manifest
from training.measure.label_report import key_of, read_label_report
from training.tables import text_table

FURTHEST = 2.0  # factor between the measured and the true size that is still right


@dataclass(frozen=True)
class Way:
    """What was taken for an image, and what is true.

    class_, true_class : 0 to 3
    diameter, true_diameter : of its cells, in pixels; the true one is nan without cells
    seen : whether training has images of its source
    """

    name: str
    class_: int
    true_class: int
    diameter: float
    true_diameter: float
    seen: bool

    @property
    def wrong_size(self) -> bool:
        """Whether the size is off by more than FURTHEST; nothing is wrong without cells."""
        return max(self.diameter / self.true_diameter, self.true_diameter / self.diameter) > FURTHEST


def ways(manifest: Path, records: Sequence[Record], predictions: Path) -> list[Way]:
    """What the report of `training.label` says of each image; raises ValueError if it lacks one."""
    report = read_label_report(predictions, "class", "cell_diameter_px")
    trained = {record.source for record in read_manifest(manifest) if record.split == "train"}
    found = []
    for record in records:
        name = f"{record.source}/{record.image.name}"
        row = report.get(key_of(record))
        if row is None:
            raise ValueError(f"{predictions / 'report.csv'}: has no line for {name}; make it with training.label")
        sample, number = load_sample(record), find_class(row["class"]).number
        diameter = float(row["cell_diameter_px"])
        found.append(Way(name, number, sample.cue_class, diameter, sample.diameter, record.source in trained))
    return found


def table(found: Sequence[Way]) -> list[dict]:
    """For each group of images their number, and of how many class and size are right."""
    groups = [("all", list(found))]
    for name, seen in (("seen", True), ("unseen", False)):
        own = [way for way in found if way.seen is seen]
        groups += [(f"{name} sources", own)]
        groups += [(f"{name}, {c.name}", [way for way in own if way.true_class == c.number]) for c in CLASSES]
    return [
        {
            "images": name,
            "number": len(own),
            "right class": f"{sum(way.class_ == way.true_class for way in own) / len(own):.1%}",
            "right size": f"{sum(not way.wrong_size for way in own) / len(own):.1%}",
        }
        for name, own in groups
        if own
    ]


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    check_sources(args.manifest, args.sources or (), "--sources")
    records = [r for r in read_manifest(args.manifest, "val") if not args.sources or r.source in args.sources]
    found = ways(args.manifest, records, args.predictions)
    print(text_table(table(found)))
    for way in found:
        if way.wrong_size:
            print(f"{way.name}: {way.diameter:.0f} px instead of {way.true_diameter:.0f}")
    return DONE


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.routes", __doc__)
    parser.add_argument("manifest", type=Path, help="CSV file of labelled images")
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder that training.label wrote")
    parser.add_argument("--sources", nargs="+", metavar="SOURCE", help="these alone [all]")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
