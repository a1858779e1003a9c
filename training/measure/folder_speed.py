"""Images a second in a folder once the program has started, beside StarDist's own pipeline with the same network.

    python -m training.measure.folder_speed
    python -m training.measure.folder_speed --sizes 256 --images 100 --workers 2

Made for each size: a folder of images of real nuclei (training.measure.mosaic), 16-bit TIFFs. Three ways through it:

    one process      predict.py as it is: it routes each image, measures its cells and segments it
    local:N          predict.py --dask local:N, processes of their own
    StarDist         its normalisation, non-maximum suppression and painting, around the shipped network of class binary
                     in the place of its own, at the images' own size: neither routed nor measured; labels are written

"ours: STAGE" are the seconds of an image in one process by stage. The start (imports, networks, the first worker) does
not count, nor does StarDist's first image. Run it on an idle machine; the first line names its load.

Exit code: 0; 2 if nothing could be measured.
"""

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
import torch

from inference.network import Network
from inference.normalisation import to_three_channels
from inference.outputs.label_tiff import write_labels
from inference.report import STAGE_COLUMNS
from models.classes import CLASSES
from training.command import command, manual, positive
from training.measure.decode_speed import decode_by_stardist
from training.measure.machine import machine
from training.measure.mosaic import make_image, read_cells
from training.tables import text_table

SIZES = (256, 512, 1024)  # pixels
IMAGES = 40
ROOT = Path(__file__).resolve().parents[2]


def make_folder(folder: Path, side: int, count: int) -> None:
    """`count` square images of real cells."""
    folder.mkdir(parents=True)
    sources, _ = read_cells(ROOT / "tests" / "images", "gray")
    for number in range(count):
        image = make_image(sources, side, side, number)
        tifffile.imwrite(folder / f"{number:04d}.tif", image.astype(np.uint16) * 16)


def run_program(images: Path, out: Path, weights: Path, *more: str) -> list[dict]:
    """One start of predict.py; the lines of its report."""
    words = [sys.executable, "predict.py", "-i", str(images), "-o", str(out), "--weights", str(weights), "--quiet"]
    code = subprocess.run([*words, "--report", str(out / "report.csv"), *more], cwd=ROOT).returncode
    with open(out / "report.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if code:
        raise ValueError(f"{images}: predict.py ended with exit code {code}; run it without this command first")
    return rows


def images_a_second(rows: list[dict], workers: int) -> float:
    """From the seconds of each image but the first one of each worker, which loads networks."""
    seconds = sorted((float(row["seconds"]) for row in rows), reverse=True)[workers:]
    return workers * len(seconds) / sum(seconds)


def stages_of(rows: list[dict]) -> dict[str, float]:
    """Median seconds of an image by stage."""
    table = {f"ours: {stage}": [float(row[column] or 0) for row in rows] for stage, column in STAGE_COLUMNS.items()}
    return {name: float(np.median(values)) for name, values in table.items() if any(values)}


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
    add("--weights", type=Path, default=ROOT / "weights", metavar="DIR", help="[the shipped ones]")
    args = parser.parse_args(argv)
    if args.images <= args.workers + 1:
        raise ValueError(f"--images {args.images}: expected more than the workers and one")
    print(machine(), f"{torch.get_num_threads()} threads")
    network = Network.load(args.weights / CLASSES[0].file, torch.device("cpu"))
    rows = []
    for side in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            make_folder(place / "in", side, args.images)
            one = run_program(place / "in", place / "one", args.weights)
            many = run_program(place / "in", place / "many", args.weights, "--dask", f"local:{args.workers}")
            theirs = stardist_pipeline(sorted((place / "in").iterdir()), network, place / "theirs")
        rows.append(
            {
                "size": f"{side}x{side}",
                "one process (images/s)": images_a_second(one, 1),
                f"local:{args.workers}": images_a_second(many, args.workers),
                "StarDist": theirs,
                "cells an image": float(np.median([int(row["cells"]) for row in one])),
                **stages_of(one),
            }
        )
    print(text_table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
