"""Fit a network's decoding thresholds on validation images, and write them into its checkpoint.

    python -m training.thresholds runs/class1-hover/hover.safetensors --manifest data/manifest.csv --classes 1

The network runs once over each image of the manifest's split "val" (of these cue classes), at the size that the true cell
diameter asks for; then every combination of the grid below is decoded and scored. A table goes to the screen, and the best
combination with its F1 into the checkpoint's configuration, where inference finds it. A change that gains less than --gain is
not made, for it would only fit these images.
"""

import argparse
import itertools
import logging
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from inference.network import Network, choose_device
from inference.nms import StarDistSettings
from inference.segmenter import DECODERS, Stopwatch, at_scale
from inference.tiles import run_tiles
from inference.watershed import HoverSettings
from models.checkpoint import load_checkpoint, save_checkpoint
from training.datasets import Sample
from training.f1 import f1_score, score_image
from training.validation import validation_samples, without_unlabelled, working_scale

log = logging.getLogger(__name__)

GRIDS = {
    "stardist": [StarDistSettings(prob_threshold=p, overlap_threshold=o)
                 for p, o in itertools.product((0.3, 0.4, 0.5, 0.6), (0.3, 0.4, 0.5))],
    "hover": [HoverSettings(cell_threshold=c, marker_threshold=m)
              for c, m in itertools.product((0.4, 0.5, 0.6, 0.7), (0.05, 0.1, 0.15, 0.2, 0.3))],
}


def score_settings(network: Network, samples: list[Sample]) -> dict:
    """Mean F1 at IoU 0.5 for each of the grid's settings."""
    decode, _ = DECODERS[network.kind]
    scores = {settings: [] for settings in GRIDS[network.kind]}
    for sample in tqdm(samples, unit="image", disable=None):
        working = at_scale(sample.pixels, working_scale(sample, network))
        tiles = list(run_tiles(working, network, network.batch))
        for settings, found in scores.items():
            labels, _ = decode(tiles, settings, working.shape[:2], sample.labels.shape, Stopwatch())
            labels = without_unlabelled(labels, sample.labels) if sample.record.partial else labels
            found.append(f1_score(*score_image(sample.labels, labels)[0]))
    return {settings: float(np.mean(found)) for settings, found in scores.items()}


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(prog="python -m training.thresholds", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("checkpoint", type=Path)
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.datasets)")
    add("--classes", type=int, nargs="+", choices=range(4), help="images of these classes only [all]")
    add("--images", type=int, default=40, help="validation images, balanced over the sources [40]")
    add("--gain", type=float, default=0.005, help="smallest gain in F1 for which the settings are changed [0.005]")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args(argv)
    network = Network(args.checkpoint, choose_device(args.device))
    samples = validation_samples(args.manifest, args.classes, args.images)
    scores = score_settings(network, samples)
    default = DECODERS[network.kind][1]()
    best = max(scores, key=scores.get)
    for settings, f1 in scores.items():
        changed = {k: v for k, v in asdict(settings).items() if any(asdict(s)[k] != v for s in scores)}
        print(f"{f1:.4f}  " + "  ".join(f"{k} {v}" for k, v in changed.items()) + ("  (default)" if settings == default else ""))
    chosen = best if scores[best] - scores[default] >= args.gain else default
    model, config = load_checkpoint(args.checkpoint)
    validation = config.get("validation", {}) | {"f1": scores[chosen], "images": len(samples)}
    save_checkpoint(args.checkpoint, model, config | {network.kind: asdict(chosen), "validation": validation})
    log.info("%s: F1 %.4f with %s, %.4f with the defaults", args.checkpoint, scores[chosen], asdict(chosen), scores[default])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
