"""Write what a router sees in the images that the networks beside it were made from, into their weights folder.

    python -m training.reference --weights weights --manifest data/manifest.csv

training.finetune tells images like one's own from these, so that the network that it trains serves the like alone. The
file, reference.safetensors, has 512 numbers for each of two views of each image, and no image. Write it anew whenever
the router is replaced. Without it, training.finetune says so, and puts a network between the shipped one and the
trained one in the place of the shipped one.
"""

import argparse
import logging
from pathlib import Path

from models.checksums import write_checksums
from models.classes import REFERENCE_FILE
from models.weights_folder import ALL_FILES, check_weights
from training.command import DONE, command, manual
from training.images.datasets import load_samples
from training.images.manifest import check_sources, read_manifest
from training.own.likeness import write_reference

log = logging.getLogger(__name__)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.reference", __doc__)
    add = parser.add_argument
    add("--weights", type=Path, required=True, metavar="DIR", help="weights folder with a router")
    add("--manifest", type=Path, required=True, help="what its networks were trained on (training.images.manifest)")
    add("--leave-out", nargs="+", default=[], metavar="SOURCE", help="sources that they were not trained on")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    check_weights(args.weights)
    check_sources(args.manifest, args.leave_out, "--leave-out")
    records = [r for r in read_manifest(args.manifest, "train") if r.source not in args.leave_out]
    write_reference(args.weights, load_samples(records))
    write_checksums(args.weights, ALL_FILES)
    log.info("%s: %d images", args.weights / REFERENCE_FILE, len(records))
    return DONE


if __name__ == "__main__":
    raise SystemExit(main())
