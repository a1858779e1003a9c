"""Fit a network's decoding thresholds and working size on validation images, and write them into its checkpoint.

    python -m training.thresholds runs/class1-hover/hover.safetensors --manifest data/manifest.csv --classes 1

The network runs over each image of the manifest's split "val" (of these cue classes, and of sources that are trained
on), at the size that the true cell diameter asks for, and at sizes a little smaller and larger; each time every
combination of the grid below is decoded and scored. The table goes to the screen and, with --out, into
OUT/thresholds.csv, and a combination with its F1 into the checkpoint's configuration, where inference finds it: of all
that score less than --gain below the best one, the one that differs from the defaults in the fewest values, for a
change that gains less would only fit these images. Fitting again starts from the defaults again, so that a fit that was
broken off is repeated with the same result."""

import argparse
import logging
from dataclasses import asdict, replace
from pathlib import Path

from inference.kinds import KINDS
from inference.network import Network, choose_device
from models.checkpoint import load_checkpoint, read_config, save_checkpoint
from training.command import DONE, add_device, class_number, command, manual, positive
from training.fitting import Tried, choose, decoded, score_settings
from training.images.manifest import check_sources
from training.tables import write_row
from training.validation import validation_samples

log = logging.getLogger(__name__)

TABLE = "thresholds.csv"


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.thresholds", __doc__)
    add = parser.add_argument
    add("checkpoint", type=Path, help="of a segmenter; it is replaced")
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.images.manifest)")
    add("--classes", type=class_number, nargs="+", metavar="CLASS", help="images of these classes only [all]")
    add("--leave-out", nargs="+", default=[], metavar="SOURCE", help="sources that the network was not trained on")
    add("--images", type=positive, default=40, help="validation images, balanced over the sources [40]")
    add("--gain", type=float, default=0.005, help="smallest gain in F1 for which a value is changed [0.005]")
    add("--out", type=Path, metavar="DIR", help="folder for the table")
    add_device(parser)
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    check_sources(args.manifest, args.leave_out, "--leave-out")
    if (kind := read_config(args.checkpoint)[0]) not in KINDS:
        raise ValueError(
            f"{args.checkpoint}: holds a {kind}, which decodes nothing; give the checkpoint of a segmenter"
        )
    network = Network.load(args.checkpoint, choose_device(args.device))
    samples = validation_samples(args.manifest, args.classes, args.images, args.leave_out)
    model, config = load_checkpoint(args.checkpoint)
    trained = config.training.get("diameter") or config.diameter
    scores = score_settings(network, samples, trained)
    default = float(trained), KINDS[network.kind].Settings()
    chosen = choose(scores, default, args.gain)
    report(scores, default, args.out)
    diameter, settings = chosen
    validation = {**config.validation, "f1": scores[chosen], "images": len(samples)}
    save_checkpoint(args.checkpoint, model, replace(decoded(config, chosen), validation=validation))
    log.info(
        "%s: F1 %.4f with cells of %g pixels and %s, %.4f with the defaults",
        args.checkpoint,
        scores[chosen],
        diameter,
        asdict(settings),
        scores[default],
    )
    return DONE


def report(scores: dict[Tried, float], default: Tried, out: Path | None) -> None:
    """A line for each working size and each of the grid's settings, with what differs among them."""
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / TABLE).unlink(missing_ok=True)
    for (diameter, settings), f1 in scores.items():
        changed = {"diameter": diameter} | {
            k: v for k, v in asdict(settings).items() if any(asdict(s)[k] != v for _, s in scores)
        }
        print(
            f"{f1:.4f}  "
            + "  ".join(f"{k} {v}" for k, v in changed.items())
            + ("  (default)" if (diameter, settings) == default else "")
        )
        if out:
            write_row(out / TABLE, changed | {"f1": round(f1, 5)})


if __name__ == "__main__":
    raise SystemExit(main())
