#!/usr/bin/env python3
"""Find the cells in microscopy images: one label TIFF for each image file.

    python predict.py -i images/ -o labels/

In a label TIFF every cell has its own number (1, 2, 3, ...), the background is 0, and height and width are those of the image.
"""

import argparse
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from inference import __version__
from inference.ahead import ahead
from inference.reading import IMAGE_SUFFIXES, ZARR_SUFFIX, ImageError, Picture, open_image
from inference.outputs import (
    LABEL_SUFFIX,
    OVERLAY_SUFFIX,
    holds_labels,
    label_names,
    thin,
    write_label_rows,
    write_labels,
    write_overlay,
    write_report,
)
from inference.stopwatch import Stopwatch

log = logging.getLogger("predict")

ALL_DONE, SOME_FAILED, NOTHING_DONE, INTERRUPTED = 0, 1, 2, 130
TOLERANCE_PIXELS = 1_000_000  # the challenge allows 10 s up to this size, and 10 s per this many pixels above
TOLERANCE_SECONDS = 10.0
LABELS_IN_MEMORY = 2**26  # pixels; the labels of a larger image are written as they come
SECONDS_BETWEEN_LINES = 30.0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="predict.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-i", "--input", type=Path, required=True, metavar="IN",
        help="an image file, or a folder of them (TIFF, PNG, JPEG, BMP, WebP, OME-Zarr; 8-bit, 16-bit or float; gray or colour)")
    add("-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the label TIFFs; made if it does not exist")
    add("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute [auto: the GPU if there is one]")
    add("--weights", type=Path, default=Path(__file__).resolve().parent / "weights", metavar="DIR",
        help="folder with the five networks [the shipped ones]")
    add("--route", choices=("auto", "0", "1", "2", "3"), default="auto",
        help="network to use: 0 fluorescence and other single-channel images, 1 gray (phase contrast, DIC), 2 colour with large "
             "cells, 3 colour with small cells [auto: decided for each image]")
    add("--diameter", type=float, metavar="PX",
        help="diameter of a typical cell in pixels, if the outlines show cells merged or cut to pieces [measured in each image]")
    add("--overlay", action="store_true", help="also write NAME_overlay.png, the image with the cells' outlines")
    add("--report", type=Path, metavar="FILE",
        help="also write a table with a line an image: how it was read, network, cells, seconds (.csv, or .json)")
    add("--resume", action="store_true", help="keep the label files that an earlier run, stopped or killed, has left complete")
    add("-v", "--verbose", action="store_true", help="say more")
    add("-q", "--quiet", action="store_true", help="say nothing but warnings and errors")
    add("--version", action="version", version=f"multistream-cellseg {__version__}")
    return parser.parse_args(argv)


def find_images(source: Path) -> list[Path]:
    """The image file, or all image files of the folder in the order of their names. Raises ImageError if there is none."""
    if source.is_file() or source.suffix.lower() == ZARR_SUFFIX and source.is_dir():
        return [source]
    if not source.is_dir():
        raise ImageError(f"{source}: no such file or folder; give an image or a folder of images with -i")
    files = sorted(p for p in source.iterdir() if not p.name.startswith(".") and (p.is_file() or p.suffix.lower() == ZARR_SUFFIX))
    images = []
    for path in files:
        if path.name.endswith((LABEL_SUFFIX, OVERLAY_SUFFIX)):
            log.warning("%s: skipped, its name is that of a result of this program", path.name)
        elif path.suffix.lower() not in IMAGE_SUFFIXES:
            log.warning("%s: skipped, its name does not end in one of %s", path.name, " ".join(IMAGE_SUFFIXES))
        else:
            images.append(path)
    if not images:
        raise ImageError(f"{source}: no images in this folder; supported are {' '.join(IMAGE_SUFFIXES)}")
    return images


def time_tolerance(height: int, width: int) -> float:
    """Seconds that the challenge allows for an image, the start of the program included."""
    return TOLERANCE_SECONDS * max(1.0, height * width / TOLERANCE_PIXELS)


def open_all(paths: list[Path]) -> Iterator[tuple[Path, Picture | Exception, float]]:
    """Each image, or what was raised when it was opened, and the seconds that it took."""
    for path in paths:
        start = time.perf_counter()
        try:
            found = open_image(path)
        except Exception as error:  # whatever happens to one image, the others are still to be done
            found = error
        yield path, found, time.perf_counter() - start


def segment_file(path: Path, picture: Picture, name: str, segmenter, args: argparse.Namespace, on_tile) -> dict:
    """Segment one image and write its files; returns its line of the report."""
    clock = Stopwatch()
    target = args.output / f"{name}{LABEL_SUFFIX}"
    height, width = picture.shape
    known = {"image": path.name, "labels": target.name, "height": height, "width": width, "dtype": str(picture.pixels.dtype),
             "axes": picture.axes}
    outlines = args.output / f"{name}{OVERLAY_SUFFIX}"
    if args.resume and holds_labels(target, picture.shape) and (outlines.exists() or not args.overlay):
        return {"status": "kept"} | known
    for warning in picture.warnings:
        log.warning("%s", warning)
    result = segmenter.segment(picture, on_tile)
    if height * width <= LABELS_IN_MEMORY:
        labels = result.labels
        with clock("write"):
            write_labels(target, labels, result.cells, picture.resolution)
        overview = labels[:: result.image.reduction, :: result.image.reduction]
    else:
        thinned = []
        with clock("write"):
            rows = clock.steps("rows", result.rows)
            write_label_rows(target, thin(rows, result.image.reduction, thinned), picture.shape, picture.resolution)
        overview = np.concatenate(thinned)
    if args.overlay:
        with clock("write"):
            write_overlay(outlines, result.image.overview, overview)
    tally = result.tally
    if tally.cut_cells:
        log.warning("%s: %d cells are larger than the part of the image that was looked at in one go, and may be cut; "
                    "--diameter with their size makes the parts larger", path.name, tally.cut_cells)
    if result.route and result.route.uncertain:
        log.warning("%s: the router is not sure of the kind of image (%s); network %d ran, --route 0 to 3 chooses another one",
                    path.name, ", ".join(f"{k}: {p:.2f}" for k, p in enumerate(result.route.probabilities)), result.stream)
    return {"status": "done"} | known | {
        "cells": tally.cells, "class": result.stream,
        "class_probability": round(result.route.probabilities[result.stream], 4) if result.route else "",
        "uncertain_route": int(result.route.uncertain) if result.route else "",
        "cell_diameter_px": round(result.diameter, 1), "scale": round(sum(result.scale) / 2, 3), "tiles": tally.tiles,
        "empty_tiles": tally.empty_tiles, "seam_cells": tally.seam_cells, "cut_cells": tally.cut_cells,
        "tolerance_seconds": round(time_tolerance(height, width), 2),
        **{f"{k}_seconds": round(v, 3) for k, v in result.seconds.items()},
        "write_seconds": round(clock.seconds["write"], 3), "peak_memory_mb": peak_memory_mb(), "device": str(segmenter.device),
    }


def peak_memory_mb() -> int | str:
    """Largest memory of this process so far; empty where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return ""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))


def run(args: argparse.Namespace) -> int:
    """Segment everything that `args` asks for; returns the exit code."""
    try:
        images = find_images(args.input)
        args.output.mkdir(parents=True, exist_ok=True)
        become_owner(args.output)
        if not os.access(args.output, os.W_OK):
            raise PermissionError(f"no permission to write in {args.output}; change its owner or mode, or run as another user (--user)")
        pictures = ahead(open_all(images), 1)  # the next one is read during the imports, or while the one before is segmented
        from inference.compiled import warm_up  # late, for an instant -h and instant errors above
        from inference.segmenter import Segmenter

        if args.diameter is not None and not args.diameter >= 1:
            raise ValueError(f"--diameter must be at least 1 pixel, got {args.diameter:g}")
        segmenter = Segmenter(args.weights, args.device, None if args.route == "auto" else int(args.route), args.diameter)
        threading.Thread(target=warm_up, daemon=True).start()  # compiled code is loaded while the router runs
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return NOTHING_DONE
    names = label_names(images)
    for path in images:
        if names[path] != path.name.split(".")[0]:
            log.warning("%s: another image has the same name up to its first dot; labels go to %s%s", path.name, names[path], LABEL_SUFFIX)
    rows = []
    with Progress(len(images), args.quiet) as progress:
        start = time.perf_counter()
        for path, picture, read in pictures:
            progress.begin(path.name)
            try:
                if isinstance(picture, Exception):
                    raise picture
                row = segment_file(path, picture, names[path], segmenter, args, progress.tile)
                row |= {"read_seconds": round(read, 3), "seconds": round(time.perf_counter() - start, 2)}
                if row["status"] == "done":
                    log.info("%s: %d cells, class %d, %.1f s", path.name, row["cells"], row["class"], row["seconds"])
                else:
                    log.info("%s: kept, %s fits it", path.name, row["labels"])
            except Exception as error:  # whatever happens to one image, the others are still to be done
                reason = describe(path.name, error)
                log.error("%s", reason, exc_info=args.verbose)
                row = {"status": f"failed: {reason}", "image": path.name}
            progress.end()
            rows.append(row)
            start = time.perf_counter()
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        write_report(args.report, rows)
    failed = sum(row["status"].startswith("failed") for row in rows)
    if failed:
        log.error("%d of %d images failed, see above", failed, len(rows))
    return ALL_DONE if not failed else SOME_FAILED if failed < len(rows) else NOTHING_DONE


def become_owner(folder: Path) -> None:
    """As root, which is how a container starts, become the owner of the output folder for good.

    The label files then belong to him, and images from anywhere are not decoded with root's rights. Nothing happens where
    the folder is root's own, or where a container was started without the capability.
    """
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return
    owner = folder.stat()
    if owner.st_uid == 0:
        return
    with suppress(PermissionError):
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def describe(name: str, error: Exception) -> str:
    """One line that names the file and says what to do."""
    if isinstance(error, MemoryError):
        return f"{name}: not enough memory for this image; close other programs, or cut the image into parts"
    if isinstance(error, OSError):
        return f"{name}: {error.strerror or error}; check the free space and the permissions of the output folder"
    if isinstance(error, ValueError) and name in str(error):
        return str(error)
    return f"{name}: {type(error).__name__}: {error}; run it again with -v and report what it prints"


class Progress:
    """How far the run is, with the time that is left: a bar on a terminal; elsewhere a log line now and then for a large image."""

    def __init__(self, images: int, quiet: bool):
        from tqdm import tqdm

        self.bar = tqdm(total=images, unit="image", disable=True if quiet else None,
                        bar_format="{l_bar}{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]{postfix}")
        self.images = self.tiles = 0
        self.name, self.began, self.told = "", 0.0, 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error) -> None:
        self.bar.close()

    def begin(self, name: str) -> None:
        """An image is begun."""
        self.name, self.tiles = name, 0
        self.began = self.told = time.monotonic()
        self.bar.set_postfix_str(name)

    def tile(self, total: int) -> None:
        """One of `total` tiles of the image is done."""
        self.tiles += 1
        self.bar.update(1 / total)
        now = time.monotonic()
        if self.bar.disable and now - self.told > SECONDS_BETWEEN_LINES:
            self.told = now
            left = (now - self.began) * (total - self.tiles) / self.tiles
            log.info("%s: %.0f %%, about %d min %02d s left", self.name, 100 * self.tiles / total, *divmod(round(left), 60))

    def end(self) -> None:
        """The image is done, or has failed."""
        self.images += 1
        self.bar.update(self.images - self.bar.n)


class BarSafeHandler(logging.StreamHandler):
    """Log lines that do not tear the progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stderr)


def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    level = logging.DEBUG if args.verbose else logging.WARNING if args.quiet else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", handlers=[BarSafeHandler()])
    for name in ("predict", "inference"):
        logging.getLogger(name).setLevel(level)
    logging.addLevelName(logging.INFO, "info")
    logging.addLevelName(logging.WARNING, "warning")
    logging.addLevelName(logging.ERROR, "error")
    try:
        return run(args)
    except KeyboardInterrupt:
        log.error("interrupted; finished label files are complete")
        return INTERRUPTED


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C; the first process of a container would ignore it
    code = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all files are closed by now; taking PyTorch down in order would cost another half second
