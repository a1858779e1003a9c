"""Do labels made with this machine's fast number format agree with those made in float32?

    python -m training.measure.number_formats tests/images
    python -m training.measure.number_formats data/manifest.csv --most 40

Segments images (of a folder, or a manifest's validation images) with the networks in float32 and in the format that the
program chooses here (bfloat16 where the hardware multiplies it), and prints F1 at IoU 0.5 of the second labels against
the first, image by image and over all cells. Both runs take the class and the cell diameter found in float32; with
--measure each finds its own, as the program does.

Exit code: 0; 1 if F1 over all cells is not above 0.995; 2 if there is nothing to compare.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import torch

from inference.network import Network, best_dtype, choose_device
from inference.reading import read_image
from inference.running.finding import images_in
from inference.segmenter import Segmenter
from models.classes import CLASSES, ROUTER_FILE, SHIPPED_WEIGHTS
from training.command import DONE, PARTLY, add_device, command, manual, positive
from training.images.manifest import read_manifest
from training.measure.f1 import f1_score, match_counts

log = logging.getLogger(__name__)

GOAL = 0.995


def segmenter_in(dtype: torch.dtype, weights: Path, device: torch.device) -> Segmenter:
    """The program's segmenter, with networks in a number format."""
    return Segmenter(weights / ROUTER_FILE, {c.number: Network.load(weights / c.file, device, dtype) for c in CLASSES})


def find_images(place: Path, most: int) -> list[Path]:
    """At most so many images, evenly spread over those of a folder or a manifest."""
    if place.is_dir():
        images = images_in(place)
    else:
        images = [record.image for record in read_manifest(place, "val")]
    if not images:
        raise ValueError(f"{place}: no images; give a folder of images or a manifest with validation images")
    return [images[i] for i in np.unique(np.linspace(0, len(images) - 1, min(most, len(images)), dtype=int))]


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.number_formats", __doc__)
    add = parser.add_argument
    add("images", type=Path, help="a folder of images, or a manifest")
    add(
        "--weights",
        type=Path,
        default=SHIPPED_WEIGHTS,
        metavar="DIR",
        help="folder with the five networks [the shipped ones]",
    )
    add_device(parser)
    add("--dtype", choices=("bfloat16", "float16"), help="compare this one [what the program chooses here]")
    add("--most", type=positive, default=1000, metavar="N", help="of more images, evenly spread ones [1000]")
    add("--measure", action="store_true", help="class and cell diameter are found in each format")
    return parser.parse_args(argv)


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    device = choose_device(args.device)
    dtype = getattr(torch, args.dtype) if args.dtype else best_dtype(device)
    if dtype == torch.float32:
        raise ValueError(
            "this machine has no faster number format than float32: nothing to compare; or name one with --dtype"
        )
    images = find_images(args.images, args.most)
    exact, fast = (segmenter_in(t, args.weights, device) for t in (torch.float32, dtype))
    total = np.zeros(3, int)
    for path in images:
        picture = read_image(path)
        expected = exact.segment(picture)
        known = {} if args.measure else {"class_": expected.plan.image_class.number, "diameter": expected.plan.diameter}
        found = fast.segment(picture, **known)
        counts = match_counts(expected.labels, found.labels)[0]
        total += counts
        log.info(
            "%s: F1 %.4f, %d and %d cells, diameter %.1f and %.1f",
            path.name,
            f1_score(*counts),
            expected.summary.cells,
            found.summary.cells,
            expected.plan.diameter,
            found.plan.diameter,
        )
    f1 = f1_score(*total.tolist())
    print(
        f"F1 of {str(dtype).removeprefix('torch.')} against float32 over {len(images)} images: {f1:.4f} (goal: above "
        f"{GOAL})"
    )
    return DONE if f1 > GOAL else PARTLY


if __name__ == "__main__":
    raise SystemExit(main())
