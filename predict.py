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
import time
from contextlib import suppress
from pathlib import Path

from inference import __version__
from inference.images import IMAGE_SUFFIXES, ImageError, read_image
from inference.outputs import LABEL_SUFFIX, OVERLAY_SUFFIX, label_names, write_labels, write_overlay, write_report

log = logging.getLogger("predict")

ALL_DONE, SOME_FAILED, NOTHING_DONE, INTERRUPTED = 0, 1, 2, 130
TOLERANCE_PIXELS = 1_000_000  # the challenge allows 10 s up to this size, and 10 s per this many pixels above
TOLERANCE_SECONDS = 10.0


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="predict.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-i", "--input", type=Path, required=True, metavar="IN",
        help="an image file, or a folder of them (TIFF, PNG, JPEG, BMP, WebP; 8-bit, 16-bit or float; gray or colour)")
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
    add("-v", "--verbose", action="store_true", help="say more")
    add("-q", "--quiet", action="store_true", help="say nothing but warnings and errors")
    add("--version", action="version", version=f"multistream-cellseg {__version__}")
    return parser.parse_args(argv)


def find_images(source: Path) -> list[Path]:
    """The image file, or all image files of the folder in the order of their names. Raises ImageError if there is none."""
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ImageError(f"{source}: no such file or folder; give an image or a folder of images with -i")
    files = sorted(p for p in source.iterdir() if p.is_file() and not p.name.startswith("."))
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


def segment_file(path: Path, name: str, segmenter, args: argparse.Namespace, on_tile) -> dict:
    """Segment one image and write its files; returns its line of the report. Raises ImageError."""
    start = time.perf_counter()
    picture = read_image(path)
    for warning in picture.warnings:
        log.warning("%s", warning)
    read = time.perf_counter()
    result = segmenter.segment(picture, on_tile)
    segmented = time.perf_counter()
    write_labels(args.output / f"{name}{LABEL_SUFFIX}", result.labels, result.cells, picture.resolution)
    if args.overlay:
        from inference.images import normalise

        write_overlay(args.output / f"{name}{OVERLAY_SUFFIX}", normalise(picture.pixels), result.labels)
    done = time.perf_counter()
    height, width = picture.shape
    return {
        "image": path.name, "status": "done", "labels": f"{name}{LABEL_SUFFIX}", "cells": result.cells,
        "height": height, "width": width, "dtype": str(picture.pixels.dtype), "axes": picture.axes,
        "class": result.stream, "class_probability": round(result.route.probabilities[result.stream], 4) if result.route else "",
        "cell_diameter_px": round(result.diameter, 1), "scale": round(sum(result.scale) / 2, 3), "tiles": result.tiles,
        "seconds": round(done - start, 2), "tolerance_seconds": round(time_tolerance(height, width), 2),
        "read_seconds": round(read - start, 3), **{f"{k}_seconds": round(v, 3) for k, v in result.seconds.items()},
        "write_seconds": round(done - segmented, 3), "peak_memory_mb": peak_memory_mb(), "device": str(segmenter.device),
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
        from inference.segmenter import Segmenter  # late, for an instant -h and instant errors above

        if args.diameter is not None and not args.diameter >= 1:
            raise ValueError(f"--diameter must be at least 1 pixel, got {args.diameter:g}")
        segmenter = Segmenter(args.weights, args.device, None if args.route == "auto" else int(args.route), args.diameter)
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return NOTHING_DONE
    names = label_names(images)
    for path in images:
        if names[path] != path.name.split(".")[0]:
            log.warning("%s: another image has the same name up to its first dot; labels go to %s%s", path.name, names[path], LABEL_SUFFIX)
    rows = []
    with progress_bar(len(images), args.quiet) as bar:
        for path in images:
            bar.set_postfix_str(path.name)
            try:
                row = segment_file(path, names[path], segmenter, args, lambda total: bar.update(1 / total))
                log.info("%s: %d cells, class %d, %.1f s", path.name, row["cells"], row["class"], row["seconds"])
            except Exception as error:  # whatever happens to one image, the others are still to be done
                reason = describe(path.name, error)
                log.error("%s", reason, exc_info=args.verbose)
                row = {"image": path.name, "status": f"failed: {reason}"}
            bar.update(round(bar.n + 0.5) - bar.n if bar.n % 1 else 0)
            rows.append(row)
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        write_report(args.report, rows)
    failed = sum(row["status"] != "done" for row in rows)
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


def progress_bar(images: int, quiet: bool):
    """A bar on a terminal, counted in images; silent elsewhere, where there is a log line an image."""
    from tqdm import tqdm

    return tqdm(total=images, unit="image", disable=True if quiet else None,
                bar_format="{l_bar}{bar}| {n:.1f}/{total} [{elapsed}<{remaining}]{postfix}")


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
    sys.exit(main())
