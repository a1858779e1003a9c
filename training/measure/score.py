"""Score a folder of predicted label images against the truth: F1, precision and recall by class and by source.

    python predict.py -i images -o predictions
    python -m training.measure.score truth predictions
    python -m training.measure.score data/manifest.csv predictions --csv scores.csv

TRUTH is a manifest (training.images.manifest; the lines of --split that have labels) or a folder of *_label.* files,
sub-folders included. From a manifest the images are grouped by cue class and by source, from a folder by sub-folder.

PREDICTIONS holds the label files that predict.py writes, under the names that it gives them
(inference.running.naming.label_names). For an image in .../monuseg/ the file is looked for in PREDICTIONS/monuseg/
first, then in PREDICTIONS/.

Scores are means over the images, each image counting the same. A table is printed for each mode (training.measure.f1):
corrected, where an image without a usable prediction has F1 0, and official, where the organiser's program leaves it
out. Where only some cells are labelled (partial = 1), unlabelled cells count as spurious all the same; the tables say
how many such images a group has, and a row leaves them out. --csv writes a line for each image, mode and threshold.

Exit code: 0; 1 if a prediction is missing or unusable; 2 if nothing could be scored.
"""

import argparse
import logging
from dataclasses import asdict
from pathlib import Path

from training.command import DONE, NOTHING, PARTLY, command, manual
from training.measure.cases import cases_from_folder, cases_from_manifest
from training.measure.f1 import MODES
from training.measure.scores import EXPLAINED, score_case, score_table
from training.tables import write_table

log = logging.getLogger(__name__)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.score", __doc__)
    add = parser.add_argument
    add("truth", type=Path, metavar="TRUTH", help="manifest (CSV) or folder of *_label.* files")
    add("predictions", type=Path, metavar="PREDICTIONS", help="folder of predicted *_label.tiff files")
    add("--split", default="val", help="lines of the manifest to score [val]")
    add(
        "--thresholds",
        type=float,
        nargs="+",
        default=[0.5],
        metavar="IOU",
        help="a match needs at least this IoU [0.5]",
    )
    add("--mode", choices=(*MODES, "both"), default="both", help="[both]")
    add("--csv", type=Path, metavar="FILE", help="write the scores of each image there")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    thresholds = list(dict.fromkeys(args.thresholds))
    modes = MODES if args.mode == "both" else (args.mode,)
    if not args.predictions.is_dir():
        raise ValueError(f"{args.predictions}: no such folder; it must hold the label files that predict.py wrote")
    if args.truth.is_dir():
        cases = cases_from_folder(args.truth, args.predictions)
    else:
        cases = cases_from_manifest(args.truth, args.predictions, args.split)
    results = [score_case(case, thresholds, modes) for case in cases]
    unusable = sum(not rows or not rows[0].prediction for rows in results)
    if unusable == len(results):
        log.error(
            "nothing to score: none of the %d labelled images of %s has a usable prediction in %s",
            len(results),
            args.truth,
            args.predictions,
        )
        return NOTHING
    scores = [score for rows in results for score in rows]
    print("\n\n".join(f"{EXPLAINED[mode]}\n{score_table(scores, mode)}" for mode in modes))
    if args.csv:
        write_table(args.csv, [asdict(s) for s in scores])
    if unusable:
        log.error("%d of %d images have no usable prediction (named above)", unusable, len(results))
    return PARTLY if unusable else DONE


if __name__ == "__main__":
    raise SystemExit(main())
