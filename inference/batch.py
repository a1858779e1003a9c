"""A run: image files in, result files out, one after the other; a bad file does not keep the others from being done."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from inference.ahead import ahead
from inference.files import find_images, label_names
from inference.limits import LIMITS, Limits
from inference.outputs.label_tiff import LabelTiff, holds_labels
from inference.outputs.output import Output
from inference.outputs.overlay import Overlay
from inference.progress import Progress
from inference.reading import Picture, open_image
from inference.report import ReportRow, peak_memory_mb, time_tolerance, write_report
from inference.rights import become_owner
from inference.stopwatch import Stopwatch
from models.classes import CLASSES

if TYPE_CHECKING:
    from inference.segmenter import Segmenter

log = logging.getLogger(__name__)

ALL_DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2  # exit codes


@dataclass(frozen=True)
class Request:
    """What is asked of a run.

    source : an image file or a folder of them
    folder : for the results; made if it does not exist
    weights : folder of the five networks
    device : "auto", "cpu" or "cuda"
    class_ : 0 to 3, whose network all images are sent to; None to let the router choose
    diameter : typical cell diameter in pixels; None to measure it in each image
    overlay : whether outline pictures are written too
    report : file for the report
    resume : whether results that an earlier run has left complete are kept
    quiet : whether no progress is shown
    seconds_between_lines : of the log, about the progress of one image
    """

    source: Path
    folder: Path
    weights: Path
    device: str = "auto"
    class_: int | None = None
    diameter: float | None = None
    overlay: bool = False
    report: Path | None = None
    resume: bool = False
    quiet: bool = False
    seconds_between_lines: float = 30.0
    limits: Limits = LIMITS

    @property
    def outputs(self) -> list[Output]:
        """What is written for each image, the labels first."""
        return [LabelTiff(self.limits), *([Overlay()] if self.overlay else [])]


def run(request: Request) -> int:
    """Segment everything that is asked for; returns the exit code."""
    try:
        images = find_images(request.source)
        request.folder.mkdir(parents=True, exist_ok=True)
        become_owner(request.folder)
        if not os.access(request.folder, os.W_OK):
            raise PermissionError(f"no permission to write in {request.folder}; change its owner or mode, or run as another user (--user)")
        pictures = ahead(open_all(images), 1)  # the next one is read during the imports, or while the one before is segmented
        from inference.segmenter import Segmenter  # late, for an instant -h and instant errors above: it imports PyTorch
        from inference.warm_up import warm_up

        if request.diameter is not None and not request.diameter >= 1:
            raise ValueError(f"--diameter must be at least 1 pixel, got {request.diameter:g}")
        segmenter = Segmenter.from_folder(request.weights, request.device, request.limits)
        threading.Thread(target=warm_up, daemon=True).start()  # compiled code is loaded while the router runs
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return NOTHING_DONE
    names = label_names(images)
    for path in images:
        if names[path] != path.name.split(".")[0]:
            log.warning("%s: another image has the same name up to its first dot; labels go to %s%s", path.name, names[path],
                        LabelTiff.suffix)
    rows = []
    with Progress(len(images), request.quiet, request.seconds_between_lines) as progress:
        start = time.perf_counter()
        for path, picture, read in pictures:
            progress.begin(path.name)
            try:
                if isinstance(picture, Exception):
                    raise picture
                row = segment_file(path, picture, names[path], segmenter, request, progress.tile)
                row = replace(row, stages={"read": read, **row.stages}, seconds=round(time.perf_counter() - start, 2))
                if row.status == "done":
                    log.info("%s: %d cells, %s, %.1f s", path.name, row.cells, row.class_, row.seconds)
                else:
                    log.info("%s: kept, %s fits it", path.name, row.labels)
            except Exception as error:  # whatever happens to one image, the others are still to be done
                reason = describe(path.name, error)
                log.error("%s", reason, exc_info=log.isEnabledFor(logging.DEBUG))
                row = ReportRow(f"failed: {reason}", path.name)
            progress.end()
            rows.append(row)
            start = time.perf_counter()
    if request.report:
        write_report(request.report, rows)
    failed = sum(row.failed for row in rows)
    if failed:
        log.error("%d of %d images failed, see above", failed, len(rows))
    return ALL_DONE if not failed else SOME_FAILED if failed < len(rows) else NOTHING_DONE


def open_all(paths: list[Path]) -> Iterator[tuple[Path, Picture | Exception, float]]:
    """Each image, or what was raised when it was opened, and the seconds that it took."""
    for path in paths:
        start = time.perf_counter()
        found: Picture | Exception
        try:
            found = open_image(path)
        except Exception as error:  # whatever happens to one image, the others are still to be done
            found = error
        yield path, found, time.perf_counter() - start


def segment_file(path: Path, picture: Picture, name: str, segmenter: "Segmenter", request: Request,
                 on_tile: Callable[[int], None]) -> ReportRow:
    """Segment one image and write its files."""
    height, width = picture.shape
    outputs = {output: request.folder / f"{name}{output.suffix}" for output in request.outputs}
    labels = next(iter(outputs.values()))
    row = ReportRow("kept", path.name, labels.name, height, width, str(picture.pixels.dtype), picture.axes)
    if request.resume and holds_labels(labels, picture.shape) and all(target.exists() for target in outputs.values()):
        return row
    for warning in picture.warnings:
        log.warning("%s", warning)
    segmentation = segmenter.segment(picture, class_=request.class_, diameter=request.diameter, on_tile=on_tile)
    clock = Stopwatch()
    with clock("write"):
        writers = [output.begin(target, picture, segmentation) for output, target in outputs.items()]
    for band in segmentation.rows:
        with clock("write"):
            for writer in writers:
                writer.add(band)
    plan, summary = segmentation.plan, segmentation.summary
    with clock("write"):
        for writer in writers:
            writer.finish(summary)
    if summary.cut_cells:
        log.warning("%s: %d cells are larger than the part of the image that was looked at in one go, and may be cut; "
                    "--diameter with their size makes the parts larger", path.name, summary.cut_cells)
    if plan.route and plan.route.uncertain:
        log.warning("%s: the router is not sure of the kind of image (%s); the network for %s images ran, --route chooses another one",
                    path.name, ", ".join(f"{c.name}: {p:.2f}" for c, p in zip(CLASSES, plan.route.probabilities)), plan.image_class.name)
    return replace(
        row, status="done", cells=summary.cells, class_=plan.image_class.name,
        class_probability=round(plan.route.probabilities[plan.image_class.number], 4) if plan.route else None,
        uncertain_route=int(plan.route.uncertain) if plan.route else None,
        cell_diameter_px=round(plan.diameter, 1), scale=round(sum(plan.sizes.scale) / 2, 3), tiles=summary.tiles,
        empty_tiles=summary.empty_tiles, seam_cells=summary.seam_cells, cut_cells=summary.cut_cells,
        tolerance_seconds=round(time_tolerance(height, width), 2), stages={**summary.seconds, **clock.seconds},
        peak_memory_mb=peak_memory_mb(), device=summary.device)


def describe(name: str, error: Exception) -> str:
    """One line that names the file and says what to do."""
    if isinstance(error, MemoryError):
        return f"{name}: not enough memory for this image; close other programs, or cut the image into parts"
    if isinstance(error, OSError):
        return f"{name}: {error.strerror or error}; check the free space and the permissions of the output folder"
    if isinstance(error, ValueError) and name in str(error):
        return str(error)
    return f"{name}: {type(error).__name__}: {error}; run it again with -v and report what it prints"
