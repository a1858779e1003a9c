"""Fit a network's decoding thresholds on validation images, and write them into its checkpoint.

    python -m training.thresholds runs/class1-hover/hover.safetensors --manifest data/manifest.csv --classes 1

The network runs once over each image of the manifest's split "val" (of these cue classes), at the size that the true cell
diameter asks for; then every combination of the grid below is decoded and scored. The table goes to the screen and, with --out,
into OUT/thresholds.csv, and the best combination with its F1 into the checkpoint's configuration, where inference finds it. A
change that gains less than --gain over the defaults is not made, for it would only fit these images. Fitting again starts from
the defaults again, so that a fit that was broken off is repeated with the same result.
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
from inference.segmenter import segment_at
from inference.watershed import HoverSettings
from models.checkpoint import load_checkpoint, save_checkpoint
from training.datasets import Sample
from training.f1 import f1_score, score_image
from training.train import write_row
from training.validation import validation_samples, without_unlabelled, working_scale

log = logging.getLogger(__name__)

TABLE = "thresholds.csv"
GRIDS = {
    "stardist": [StarDistSettings(prob_threshold=p, overlap_threshold=o)
                 for p, o in itertools.product((0.3, 0.4, 0.5, 0.6), (0.3, 0.4, 0.5))],
    "hover": [HoverSettings(cell_threshold=c, marker_threshold=m)
              for c, m in itertools.product((0.4, 0.5, 0.6, 0.7), (0.05, 0.1, 0.15, 0.2, 0.3))],
}
Settings = StarDistSettings | HoverSettings


class Replay:
    """In the place of a network, for one image: runs it at the first pass and repeats its maps at later ones, whose decoders may
    have other settings."""

    def __init__(self, network: Network):
        self._network, self._maps = network, []
        self.kind, self.batch = network.kind, network.batch

    def with_settings(self, settings: Settings) -> "Replay":
        """This network at the beginning of a pass."""
        self.config = self._network.config | {self.kind: asdict(settings)}
        self._next = 0
        return self

    def __call__(self, windows: np.ndarray) -> tuple[np.ndarray, ...]:
        """The maps of a batch of windows; every pass must bring the same ones."""
        if self._next == len(self._maps):
            self._maps.append(self._network(windows))
        self._next += 1
        return self._maps[self._next - 1]


def score_settings(network: Network, samples: list[Sample]) -> dict[Settings, float]:
    """Mean F1 at IoU 0.5 for each of the grid's settings."""
    scores = {settings: [] for settings in GRIDS[network.kind]}
    for sample in tqdm(samples, unit="image", disable=None):
        replay = Replay(network)
        for settings, found in scores.items():
            labels = segment_at(sample.pixels, replay.with_settings(settings), working_scale(sample, network))
            labels = without_unlabelled(labels, sample.labels) if sample.record.partial else labels
            found.append(f1_score(*score_image(sample.labels, labels)[0]))
    return {settings: float(np.mean(found)) for settings, found in scores.items()}


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training.thresholds", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("checkpoint", type=Path, help="of a segmenter; it is replaced")
    add("--manifest", type=Path, required=True, help="CSV file of labelled images (training.datasets)")
    add("--classes", type=int, nargs="+", choices=range(4), help="images of these classes only [all]")
    add("--images", type=int, default=40, help="validation images, balanced over the sources [40]")
    add("--gain", type=float, default=0.005, help="smallest gain in F1 for which the settings are changed [0.005]")
    add("--out", type=Path, metavar="DIR", help="folder for the table")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="[auto: the GPU if there is one]")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args = parse_arguments(argv)
    try:
        network = Network(args.checkpoint, choose_device(args.device))
        samples = validation_samples(args.manifest, args.classes, args.images)
        scores = score_settings(network, samples)
        default = type(GRIDS[network.kind][0])()
        best = max(scores, key=scores.get)
        chosen = best if scores[best] - scores[default] >= args.gain else default
        report(scores, default, args.out)
        model, config = load_checkpoint(args.checkpoint)
        validation = config.get("validation", {}) | {"f1": scores[chosen], "images": len(samples)}
        save_checkpoint(args.checkpoint, model, config | {network.kind: asdict(chosen), "validation": validation})
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return 1
    log.info("%s: F1 %.4f with %s, %.4f with the defaults", args.checkpoint, scores[chosen], asdict(chosen), scores[default])
    return 0


def report(scores: dict[Settings, float], default: Settings, out: Path | None) -> None:
    """A line for each of the grid's settings, with what differs among them."""
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / TABLE).unlink(missing_ok=True)
    for settings, f1 in scores.items():
        changed = {k: v for k, v in asdict(settings).items() if any(asdict(s)[k] != v for s in scores)}
        print(f"{f1:.4f}  " + "  ".join(f"{k} {v}" for k, v in changed.items()) + ("  (default)" if settings == default else ""))
        if out:
            write_row(out / TABLE, changed | {"f1": round(f1, 5)})


if __name__ == "__main__":
    raise SystemExit(main())
