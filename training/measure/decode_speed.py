"""Time the decoders against StarDist's compiled code and scikit-image's watershed, on the same maps in the same run.

    pip install stardist matplotlib        # for the comparison and the plot; the program needs neither
    python -m training.measure.decode_speed
    python -m training.measure.decode_speed --plot decode.png --repeat 5

The maps are made: star-shaped cells, touching each other, painted as labels; the probability and the distances of their
pixels as in training, on a quarter of the size as the networks give them, with noise on the distances. Four things are
measured:

    cells       prob and dist to labels, 2048x2048 with about 2,000 cells, against non_maximum_suppression and
                polygons_to_label
    white       every one of 700,000 grid points is a candidate, as an untrained or misled network makes them of a white
                background
    watershed   flooding of 2048x2048 pixels from about 2,000 markers, against skimage.segmentation.watershed
    growth      the first and the third for images of 1 to 64 megapixels: nanoseconds a pixel and microseconds a cell
                should not grow

Times are the best of --repeat runs after one that does not count. Ours run on one thread, StarDist's suppression on all
cores. F1 counts the cells of the two label images that match with an IoU of 0.5 and of 0.9. Pixels of equal energy may
be flooded in either order, so that the watersheds agree on the cell pixels but not on the cell of each.

Exit code: 0; 1 if a goal (printed beside its figure) is missed; 2 if nothing could be measured.
"""

import argparse
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from inference import stardist
from inference.decoding.edge_probability import edge_probability
from inference.decoding.watershed import LEVELS, WatershedSettings, boundary_strength, flood
from inference.hover import hover_maps
from inference.image.scaling import Sizes
from inference.pipeline import collect
from inference.stardist import star_distances
from inference.tiles import Tally, tile_image
from models.stardist import RAYS
from models.unet import STRIDE
from training.command import DONE, PARTLY, command, manual, positive
from training.measure.decoding import SETTINGS, decode_by_stardist, make_labels, need_stardist
from training.measure.f1 import f1_score, match_counts
from training.measure.machine import machine
from training.measure.plots import import_pyplot, plot_file
from training.tables import text_table

log = logging.getLogger(__name__)


# What is timed
SIDE = 2048  # pixels
CELLS = 2000
GROWTH_SIDES = (1024, 2048, 4096, 8192)
WHITE_GRID = 837  # 837 * 837 is 700,569
# What is to be reached
DECODE_GOAL = 10.0  # times as fast
F1_GOAL = 0.99
WATERSHED_GOAL = 5.0  # times as fast
WHITE_GOAL = 5.0  # seconds at most


def make_maps(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """prob (1, h, w) and dist (R, h, w) float32 on the 1/4 grid, as the networks give them."""
    shape = tuple(n // STRIDE for n in labels.shape)
    prob = cv2.resize(edge_probability(labels), shape[::-1], interpolation=cv2.INTER_AREA)
    return prob[None], with_errors(star_distances(labels, RAYS, STRIDE))


def with_errors(dist: np.ndarray) -> np.ndarray:
    """(h, w, R) distances, of which neighbouring rays and points err alike, by 8 % on the average, as (R, h, w)."""
    noise = np.random.default_rng(0).normal(0, 0.3, dist.shape).astype(np.float32).reshape(len(dist), -1)
    return (dist * np.maximum(1 + cv2.GaussianBlur(noise, (0, 0), 1).reshape(dist.shape), 0.1)).transpose(2, 0, 1)


def white_maps(grid: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps of (grid, grid) points that are all candidates, with distances around 16 pixels."""
    prob = np.random.default_rng(0).uniform(SETTINGS.prob_threshold + 0.01, 1, (1, grid, grid)).astype(np.float32)
    return prob, with_errors(np.full((grid, grid, RAYS), 16, np.float32))


def decode(prob: np.ndarray, dist: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Ours: maps to labels, tile by tile, as the program does it."""
    tiles = ((tile, tuple(maps[:, *tile.owned_grid()] for maps in (prob, dist))) for tile in tile_image(*shape))
    return collect(stardist.rows(tiles, SETTINGS, Sizes(shape, shape), Tally()), shape)


def landscape(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energy uint8, markers int32 and mask bool for a watershed of the labels' HV maps, all (H, W)."""
    settings, mask = WatershedSettings(), labels > 0
    boundary = boundary_strength(hover_maps(labels), settings.sobel_size)
    seeds = (mask & (boundary < settings.marker_threshold)).astype(np.uint8)
    return (
        (boundary * (LEVELS - 1)).astype(np.uint8),
        cv2.connectedComponents(seeds, connectivity=4, ltype=cv2.CV_32S)[1],
        mask,
    )


def flooded(energy: np.ndarray, markers: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Ours: a watershed that leaves its markers as they are."""
    labels = markers.copy()
    flood(energy, labels, mask)
    return labels


def best_time(function: Callable, *arguments, repeat: int) -> tuple[float, np.ndarray]:
    """Seconds of the fastest of `repeat` runs after a first one, and the result."""
    result, fastest = function(*arguments), math.inf
    for _ in range(repeat):
        start = time.perf_counter()
        result = function(*arguments)
        fastest = min(fastest, time.perf_counter() - start)
    return fastest, result


def compare_decoders(repeat: int) -> dict:
    """The line "cells"."""
    labels = make_labels(SIDE, CELLS)
    prob, dist = make_maps(labels)
    ours, found = best_time(decode, prob, dist, labels.shape, repeat=repeat)
    theirs, expected = best_time(decode_by_stardist, prob, dist, labels.shape, repeat=repeat)
    f1 = [f1_score(*counts) for counts in match_counts(expected, found, (0.5, 0.9))]
    met = theirs / ours >= DECODE_GOAL and f1[0] > F1_GOAL
    return {
        "case": "cells",
        "candidates": int((prob > SETTINGS.prob_threshold).sum()),
        "cells": int(found.max()),
        "ours": ours,
        "theirs": theirs,
        "ratio": theirs / ours,
        "agreement": f"F1 {f1[0]:.4f} at IoU 0.5, {f1[1]:.4f} at 0.9",
        "goal": f"{DECODE_GOAL:.0f} times, F1 {F1_GOAL}",
        "met": met,
    }


def time_white(repeat: int) -> dict:
    """The line "white"."""
    shape = (WHITE_GRID * STRIDE,) * 2
    ours, found = best_time(decode, *white_maps(WHITE_GRID), shape, repeat=repeat)
    return {
        "case": "white",
        "candidates": WHITE_GRID**2,
        "cells": int(found.max()),
        "ours": ours,
        "goal": f"{WHITE_GOAL:.0f} s",
        "met": ours < WHITE_GOAL,
    }


def compare_watersheds(repeat: int) -> dict:
    """The line "watershed"."""
    from skimage.segmentation import watershed

    energy, markers, mask = landscape(make_labels(SIDE, CELLS))
    ours, found = best_time(flooded, energy, markers, mask, repeat=repeat)
    theirs, expected = best_time(lambda: watershed(energy, markers, mask=mask), repeat=repeat)
    same = np.mean(found[mask] == expected[mask])
    met = theirs / ours >= WATERSHED_GOAL and np.array_equal(found > 0, expected > 0)
    return {
        "case": "watershed",
        "cells": int(found.max()),
        "ours": ours,
        "theirs": theirs,
        "ratio": theirs / ours,
        "agreement": f"{same:.2%} of the cell pixels",
        "goal": f"{WATERSHED_GOAL:.0f} times",
        "met": met,
    }


def growth(repeat: int) -> list[dict]:
    """A line for each size of GROWTH_SIDES, with as many cells a pixel in each."""
    rows = []
    for side in GROWTH_SIDES:
        labels = make_labels(side, round(CELLS * (side / SIDE) ** 2))
        cells = int(labels.max())
        decoding, _ = best_time(decode, *make_maps(labels), labels.shape, repeat=repeat)
        flooding, _ = best_time(flooded, *landscape(labels), repeat=repeat)
        rows.append(
            {
                "size": f"{side}x{side}",
                "Mpx": side**2 / 1e6,
                "cells": cells,
                "decoding": decoding,
                "us a cell": decoding / cells * 1e6,
                "watershed": flooding,
                "ns a pixel": flooding / side**2 * 1e9,
            }
        )
    return rows


def write_plot(path: Path, rows: list[dict], title: str) -> None:
    """Seconds against megapixels on logarithmic axes, with a line of constant time a pixel for each decoder."""
    sizes = [row["Mpx"] for row in rows]
    with plot_file(path, title) as (axes,):
        for name, colour in (("decoding", "tab:blue"), ("watershed", "tab:orange")):
            axes.loglog(sizes, [row[name] for row in rows], "o", color=colour, label=f"{name}, measured")
            linear = [rows[0][name] * size / sizes[0] for size in sizes]
            axes.loglog(sizes, linear, "--", color=colour, label=f"{name}, if linear")
        axes.set(xlabel="megapixels, with 477 cells each", ylabel="seconds")
        axes.legend()


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.decode_speed", __doc__)
    parser.add_argument("--repeat", type=positive, default=3, metavar="N", help="runs of which the fastest counts [3]")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="write a plot of the growth there (.png, .svg or .pdf)"
    )
    parser.add_argument(
        "--no-growth", action="store_true", help="leave the growth out: it takes most of the time and 3 GB of memory"
    )
    args = parser.parse_args(argv)
    if args.plot and args.no_growth:
        parser.error("--plot shows the growth; leave --no-growth out")
    return args


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    if args.plot:
        import_pyplot()  # now, not after minutes of measuring
    need_stardist()
    place = machine()
    lines = [each(args.repeat) for each in (compare_decoders, time_white, compare_watersheds)]
    shown = [{**line, "met": "yes" if line["met"] else "NO"} for line in lines]
    print(f"machine: {place}\nbest of {args.repeat} runs, seconds\n\n{text_table(shown)}")
    if not args.no_growth:
        rows = growth(args.repeat)
        print(f"\n{text_table(rows)}")
        if args.plot:
            write_plot(args.plot, rows, place)
    return DONE if all(line["met"] for line in lines) else PARTLY


if __name__ == "__main__":
    raise SystemExit(main())
