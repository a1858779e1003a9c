"""Whether the program doubts what is wrong: images with bad and with good labels, and how many of each it flagged.

    python -m training.label --manifest data/manifest.csv --weights weights --out predictions
    python -m training.measure.doubts data/manifest.csv predictions

`training.label` writes beside the labels what the program was unsure of: the class, or the size of the cells
(`inference.segmentation.Plan.doubts`). Each line of the table is a range of F1 at IoU 0.5, by the challenge's rules;
cells beside the labelled ones of partly labelled images are left out. Images with bad labels that were not flagged are
named below it.

Exit code: 0; 1 if a prediction is missing or unusable, the table has the other images; 2 if something could not be
read, or all predictions are missing.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.command import DONE, PARTLY, command, manual
from training.images.manifest import Record, read_manifest
from training.measure.label_report import Key, key_of, read_label_report
from training.measure.scores import score_predictions
from training.tables import text_table

BAD, GOOD = 0.5, 0.8  # F1 below which most images should be flagged, and above which few should be
RANGES = ((0.0, BAD), (BAD, GOOD), (GOOD, 1.0))

Doubts = Mapping[Key, str]  # what the program was unsure of in an image


def said_of(record: Record, doubts: Doubts) -> str:
    """What the program was unsure of in an image."""
    return doubts.get(key_of(record), "")


def table(records: Sequence[Record], scores: Sequence[float], doubts: Doubts) -> list[dict]:
    """For each range of F1: the images, and how many of them were flagged for their class, their size, or either."""
    rows = []
    for low, high in RANGES:
        own = [
            said_of(record, doubts)
            for record, score in zip(records, scores)
            if low <= score < high or score == high == 1
        ]
        rows.append(
            {
                "F1": f"{low:g} to {high:g}",
                "images": len(own),
                "unsure of class": sum("class" in said for said in own),
                "unsure of size": sum("size" in said for said in own),
                "flagged": sum(bool(said) for said in own),
                "share": f"{sum(bool(said) for said in own) / len(own):.0%}" if own else "",
            }
        )
    return rows


def overlooked(records: Sequence[Record], scores: Sequence[float], doubts: Doubts) -> list[str]:
    """The images with bad labels that nothing was said of, worst first."""
    bad = [
        (score, f"{record.source}/{record.image.name}")
        for record, score in zip(records, scores)
        if score < BAD and not said_of(record, doubts)
    ]
    return [f"{name}  F1 {score:.2f}" for score, name in sorted(bad)]


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    records = read_manifest(args.manifest, "val")
    doubts = {key: row["doubts"] for key, row in read_label_report(args.predictions, "doubts").items()}
    found = score_predictions(args.manifest, records, args.predictions)
    predicted = [(record, score) for record, score in zip(records, found) if score is not None]
    records, scores = [record for record, _ in predicted], [score for _, score in predicted]
    print(text_table(table(records, scores, doubts)))
    names = overlooked(records, scores, doubts)
    if names:
        print("\nnot flagged:\n" + "\n".join(names))
    return PARTLY if None in found else DONE


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.doubts", __doc__)
    parser.add_argument("manifest", type=Path, help="CSV file of labelled images")
    parser.add_argument("predictions", type=Path, metavar="PREDICTIONS", help="folder that training.label wrote")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
