"""Images a second in a folder once the program has started, beside StarDist's own pipeline with the same network.

    python -m training.measure.folder_speed
    python -m training.measure.folder_speed --sizes 256 --images 100 --workers 2
    python -m training.measure.folder_speed --before ../8463c2e

Made for each size: a folder of images of real nuclei (training.measure.mosaic), 16-bit TIFFs. Four ways through it:

    one process      predict.py as it is: it routes each image, measures its cells and segments it
    local:N          predict.py --dask local:N, processes of their own
    before           with --before: the predict.py of another version's folder, with the weights there
    StarDist         its normalisation, non-maximum suppression and painting, around the shipped network of class binary
                     in the place of its own, at the images' own size: neither routed nor measured; labels are written

The start (imports, networks, the first worker) does not count, nor does StarDist's first image. Run it on an idle
machine; the first line names its load.

The second table is of processor time, which other work changes less, though on the second thread of the same core it
may nearly double it: milliseconds of one thread for an image, for the router, for the windows in which the cells are
measured, for those that the labels are made of, and for all.
With --processor-time nothing else is measured.

Exit code: 0; 2 if nothing could be measured.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
import torch

from inference.door import picture_of
from inference.image.forms import normalised_image, to_three_channels
from inference.network import Network
from inference.outputs.label_tiff import write_labels
from inference.routing import RouterNetwork
from inference.segmenter import Segmenter
from models.classes import CLASSES, ROUTER_FILE, SHIPPED_WEIGHTS
from training.command import DONE, command, manual, positive
from training.measure.decoding import decode_by_stardist, need_stardist
from training.measure.launching import ROOT, program_before, run_folder
from training.measure.machine import machine
from training.measure.mosaic import make_image, read_cells
from training.tables import text_table

SIZES = (256, 512, 1024)  # pixels
IMAGES = 40


def make_folder(folder: Path, side: int, count: int) -> None:
    """`count` square images of real cells."""
    folder.mkdir(parents=True)
    sources, _ = read_cells(ROOT / "tests" / "images", "gray")
    for number in range(count):
        image = make_image(sources, side, side, number)
        tifffile.imwrite(folder / f"{number:04d}.tif", image.astype(np.uint16) * 16)


def images_a_second(rows: list[dict], workers: int) -> float:
    """From the seconds of each image but the first one of each worker, which loads networks."""
    seconds = sorted((float(row["seconds"]) for row in rows), reverse=True)[workers:]
    return workers * len(seconds) / sum(seconds)


class _Timed:
    """A network that adds up the processor time of its calls."""

    def __init__(self, network: Network):
        self._network, self.seconds, self.calls = network, 0.0, 0

    def __getattr__(self, name: str):
        return getattr(self._network, name)

    def __call__(self, windows: np.ndarray) -> tuple[np.ndarray, ...]:
        began = time.thread_time()
        maps = self._network(windows)
        self.seconds, self.calls = self.seconds + time.thread_time() - began, self.calls + len(windows)
        return maps


def processor_time(images: list[Path], weights: Path) -> dict[str, float]:
    """Milliseconds of one thread for an image by what they are spent on, and numbers of windows; medians."""
    torch.set_num_threads(1)
    segmenter = Segmenter.from_folder(weights, "cpu")
    networks = {c.number: _Timed(segmenter.network(c.number)) for c in CLASSES}
    segmenter = Segmenter(RouterNetwork.load(weights / ROUTER_FILE), networks, "cpu")
    rows = []
    for path in images:
        picture = picture_of(tifffile.imread(path))
        image = normalised_image(picture.pixels)
        routing = time.thread_time()
        segmenter.route(image)
        routed = time.thread_time()
        before = [(n.seconds, n.calls) for n in networks.values()]
        segmentation = segmenter.segment(picture)
        looked = [(n.seconds, n.calls) for n in networks.values()]
        assert segmentation.labels.shape == image.shape, "labels have the image's size"
        end = time.thread_time()
        last = [(n.seconds, n.calls) for n in networks.values()]
        looks, own = np.subtract(looked, before).sum(axis=0), np.subtract(last, looked).sum(axis=0)
        rows.append((routed - routing, looks[0], own[0], end - routed, looks[1] / 1000, own[1] / 1000))
    names = (
        "router (ms)",
        "measuring the cells",
        "network for the labels",
        "all",
        "windows measured",
        "windows labelled",
    )
    return dict(zip(names, (1000 * np.median(rows[1:], axis=0)).tolist()))


def stardist_pipeline(images: list[Path], network: Network, out: Path) -> float:
    """Images a second of StarDist's pipeline."""
    from csbdeep.utils import normalize

    out.mkdir()
    began = 0.0
    for number, path in enumerate(images):
        if number == 1:
            began = time.perf_counter()
        image = tifffile.imread(path)
        window = (np.clip(normalize(image, 1, 99.8), 0, 1) * 255).astype(np.uint8)
        prob, dist = (maps[0] for maps in network(to_three_channels(window)[None]))
        write_labels(out / f"{path.stem}.tiff", decode_by_stardist(prob, np.maximum(dist, 0), image.shape))
    return (len(images) - 1) / (time.perf_counter() - began)


@command
def main(argv: list[str] | None = None) -> int:
    parser = manual("training.measure.folder_speed", __doc__ or "")
    add = parser.add_argument
    add("--sizes", type=positive, nargs="+", default=list(SIZES), metavar="N", help="sides in pixels [256 512 1024]")
    add("--images", type=positive, default=IMAGES, metavar="N", help=f"of each size [{IMAGES}]")
    add("--workers", type=positive, default=2, metavar="N", help="processes of --dask local [2]")
    add("--weights", type=Path, default=SHIPPED_WEIGHTS, metavar="DIR", help="[the shipped ones]")
    add("--before", type=Path, metavar="DIR", help="folder of another version of the program, to be timed as well")
    add("--processor-time", action="store_true", help="only the second table")
    args = parser.parse_args(argv)
    if args.images <= args.workers + 1:
        raise ValueError(f"--images {args.images}: expected more than the workers and one")
    if args.before:
        program_before(args.before)
    if not args.processor_time:
        need_stardist()
    print(machine(), f"{torch.get_num_threads()} threads")
    if not args.processor_time:
        print(text_table(images_table(args)))
    rows = []
    for side in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            make_folder(Path(folder, "in"), side, args.images)
            spent = processor_time(sorted(Path(folder, "in").iterdir()), args.weights)
        rows.append({"size": f"{side}x{side}", **spent})
    print(text_table(rows))
    return DONE


def images_table(args: argparse.Namespace) -> list[dict]:
    """Images a second of each size by each way."""
    network = Network.load(args.weights / CLASSES[0].file, torch.device("cpu"))
    rows = []
    for side in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            make_folder(place / "in", side, args.images)
            weights = "--weights", str(args.weights.resolve())
            one = run_folder(place / "in", place / "one", *weights)
            many = run_folder(place / "in", place / "many", *weights, "--dask", f"local:{args.workers}")
            theirs = stardist_pipeline(sorted((place / "in").iterdir()), network, place / "theirs")
            speeds = {
                "one process (images/s)": images_a_second(one, 1),
                f"local:{args.workers}": images_a_second(many, args.workers),
                "StarDist": theirs,
            }
            if args.before:
                there = "--weights", str(args.before.resolve() / "weights")
                before = run_folder(place / "in", place / "before", *there, program=args.before)
                speeds["before"] = images_a_second(before, 1)
        cells = float(np.median([int(row["cells"]) for row in one]))
        rows.append({"size": f"{side}x{side}", **speeds, "cells an image": cells})
    return rows


if __name__ == "__main__":
    raise SystemExit(main())
