"""A run: image files in, result files out, one after the other; a bad file does not keep the others from being done."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from inference.ahead import ahead
from inference.dry_run import dry_run
from inference.finding import Found, Skipped, find_images, read_list
from inference.lengths import Length
from inference.limits import LIMITS, Limits
from inference.naming import Names, result_names
from inference.opened import Opened, open_all
from inference.outputs.label_stack import LabelStack
from inference.outputs.label_tiff import LabelTiff, holds_labels
from inference.outputs.output import Output
from inference.outputs.overlay import Overlay
from inference.progress import Progress
from inference.reading import Picture, ReadOptions
from inference.report import ReportRow, add_rows, peak_memory_mb, time_tolerance, write_report
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

    sources : image files, folders of them, or patterns
    folder : for the results; made if it does not exist
    weights : folder of the five networks
    device : "auto", "cpu" or "cuda"
    class_ : 0 to 3, whose network all images are sent to; None to let the router choose
    diameter : typical cell diameter; None to measure it in each image
    reading : channels, images and planes of the files that are wanted
    listed : text file that names more images
    recursive : whether folders in folders are gone into
    names : how results are named
    overlay : whether outline pictures are written too
    report : file for the report
    resume : whether results that an earlier run has left complete are kept
    dry : whether it is only said what would be done
    quiet : whether no progress is shown
    seconds_between_lines : of the log, about the progress of one image
    """

    sources: Sequence[str | Path]
    folder: Path
    weights: Path
    device: str = "auto"
    class_: int | None = None
    diameter: Length | None = None
    reading: ReadOptions = ReadOptions()
    listed: Path | None = None
    recursive: bool = False
    names: Names = Names.STEM
    overlay: bool = False
    report: Path | None = None
    resume: bool = False
    dry: bool = False
    quiet: bool = False
    seconds_between_lines: float = 30.0
    limits: Limits = LIMITS

    @property
    def outputs(self) -> list[Output]:
        """What is written for each image, the labels first."""
        return [LabelTiff(self.limits), *([Overlay()] if self.overlay else [])]

    def find(self) -> tuple[list[Found], list[Skipped]]:
        """The images, each one once, and what is left out."""
        images, skipped = find_images(self.sources, self.recursive, self.names is Names.CHALLENGE) if self.sources else ([], [])
        listed = read_list(self.listed) if self.listed else []
        return list({found.path.resolve(): found for found in (*listed, *images)}.values()), skipped


def run(request: Request) -> int:
    """Segment everything that is asked for; returns the exit code."""
    try:
        images, skipped = request.find()
        names = result_names(images, request.names)
        for entry in skipped:
            log.warning("%s: skipped, %s", entry.path.name, entry.reason)
        if request.dry:
            rows = dry_run(images, names, request.reading, [output.suffix for output in request.outputs])
            return finish(request, rows, skipped)
        request.folder.mkdir(parents=True, exist_ok=True)
        become_owner(request.folder)
        if not os.access(request.folder, os.W_OK):
            raise PermissionError(f"no permission to write in {request.folder}; change its owner or mode, or run as another user (--user)")
        planes = ahead(open_all(images, request.reading), 1)  # the next is read during the imports, or while the one before is segmented
        from inference.segmenter import Segmenter  # late, for an instant -h and instant errors above: it imports PyTorch
        from inference.warm_up import warm_up

        segmenter = Segmenter.from_folder(request.weights, request.device, request.limits)
        threading.Thread(target=warm_up, daemon=True).start()  # compiled code is loaded while the router runs
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return NOTHING_DONE
    if request.names is Names.CHALLENGE:
        for path, name in names.items():
            if name.name != path.name.split(".")[0]:
                log.warning("%s: another image has the same name up to its first dot; labels go to %s%s", path.name, name,
                            LabelTiff.suffix)
    rows: list[ReportRow] = []
    owners: dict[Path, Path] = {}
    with Progress(len(images), request.quiet, request.seconds_between_lines) as progress:
        start = time.perf_counter()
        for _, group in groupby(planes, lambda plane: (plane.found, plane.number)):
            opened = iter(group)
            first = next(opened)
            file = first.found.path.name
            progress.begin(file)
            try:
                row = segment_image(first, opened, names[first.found.path], owners, segmenter, request, progress.tile)
                row = replace(row, seconds=round(time.perf_counter() - start, 2))
                if row.status == "done":
                    log.info("%s: %d cells, %s, %.1f s", file, row.cells, row.class_, row.seconds)
                else:
                    log.info("%s: kept, %s fits it", file, row.labels)
            except Exception as error:  # whatever happens to one image, the others are still to be done
                reason = describe(file, error)
                log.error("%s", reason, exc_info=log.isEnabledFor(logging.DEBUG))
                row = ReportRow(f"failed: {reason}", str(first.found.folder / file), series=first.series)
            if first.last:
                progress.end()
            rows.append(row)
            start = time.perf_counter()
    return finish(request, rows, skipped)


def finish(request: Request, rows: list[ReportRow], skipped: list[Skipped]) -> int:
    """The report, the last lines of the log and the exit code: what is skipped does not count."""
    if request.report:
        write_report(request.report, rows + [ReportRow(f"skipped: {entry.reason}", str(entry.path)) for entry in skipped])
    if skipped:
        log.warning("%d files and folders skipped, see above", len(skipped))
    failed = sum(row.failed for row in rows)
    if failed:
        log.error("%d of %d images failed, see above", failed, len(rows))
    return ALL_DONE if not failed else SOME_FAILED if failed < len(rows) else NOTHING_DONE


def segment_image(first: Opened, others: Iterator[Opened], name: Path, owners: dict[Path, Path], segmenter: "Segmenter", request: Request,
                  on_tile: Callable[[int], None]) -> ReportRow:
    """Segment one image, all planes of it, and write its files.

    A stack is segmented with the class and the cell diameter of its middle plane; its planes' cells are numbered on.

    Parameters
    ----------
    first, others : the planes of the image
    name : of the results, below the output folder, without what is added for the image of the file and for the kind of result
    owners : files of the label files so far; a further image of a file might have the name of another file
    """
    picture, image = first.picture, first.image
    file, target = first.found.path.name, request.folder / name.with_name(f"{name.name}{image.suffix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    outputs = {output: target.with_name(f"{target.name}{output.suffix}") for output in request.outputs}
    labels = next(iter(outputs.values()))
    if (owner := owners.setdefault(labels, first.found.path)) != first.found.path:
        raise ValueError(f"{file}: {labels.name} is already that of {owner}; run this file alone, into another folder")
    height, width = picture.shape
    row = ReportRow("kept", str(first.found.folder / file), str(labels.relative_to(request.folder)), height, width,
                    str(picture.pixels.dtype), picture.axes, series=first.series, planes=len(image.views), format=picture.format)
    if request.resume and holds_labels(labels, (*image.stack, height, width)) and (
            image.stack or all(path.exists() for path in outputs.values())):
        return row
    log.info("%s: read as %s%s", file, picture.reading, f", image {first.series}" if first.series else "")
    for warning in picture.warnings:
        log.warning("%s", warning)
    diameter = request.diameter.pixels(file, picture) if request.diameter else None
    steps = first.images * len(image.views)

    def segment(plane: Opened, outputs: Mapping[Output, Path], class_: int | None, diameter: float | None) -> ReportRow:
        known = replace(row, stages={"read": plane.seconds})
        return segment_plane(known, plane.picture, outputs, segmenter, class_, diameter, lambda total: on_tile(total * steps))

    if not image.stack:
        return segment(first, outputs, request.class_, diameter)
    plan = segmenter.segment(image.open(len(image.views) // 2), class_=request.class_, diameter=diameter).plan
    stack = LabelStack(labels, (*image.stack, height, width), picture.resolution, image.stack_axes)
    done = []
    for number, plane in enumerate((first, *others)):
        files = {output: path.with_name(f"{target.name}{image.plane_suffix(number)}{output.suffix}") for output, path in outputs.items()}
        files = {stack if path == labels else output: made for (output, path), made in zip(outputs.items(), files.values())}
        done.append(segment(plane, files, plan.image_class.number, plan.diameter))
    stack.close()
    return add_rows(done)


def segment_plane(row: ReportRow, picture: Picture, outputs: Mapping[Output, Path], segmenter: "Segmenter", class_: int | None,
                  diameter: float | None, on_tile: Callable[[int], None]) -> ReportRow:
    """Segment one plane and write its files; its line of the report goes on from what is known."""
    segmentation = segmenter.segment(picture, class_=class_, diameter=diameter, on_tile=on_tile)
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
                    "--diameter with their size makes the parts larger", row.image, summary.cut_cells)
    if plan.route and plan.route.uncertain:
        log.warning("%s: the router is not sure of the kind of image (%s); the network for %s images ran, --route chooses another one",
                    row.image, ", ".join(f"{c.name}: {p:.2f}" for c, p in zip(CLASSES, plan.route.probabilities)), plan.image_class.name)
    return replace(
        row, status="done", cells=summary.cells, class_=plan.image_class.name,
        class_probability=round(plan.route.probabilities[plan.image_class.number], 4) if plan.route else None,
        uncertain_route=int(plan.route.uncertain) if plan.route else None,
        cell_diameter_px=round(plan.diameter, 1), scale=round(sum(plan.sizes.scale) / 2, 3), tiles=summary.tiles,
        empty_tiles=summary.empty_tiles, seam_cells=summary.seam_cells, cut_cells=summary.cut_cells,
        tolerance_seconds=round(time_tolerance(*picture.shape), 2), stages={**row.stages, **summary.seconds, **clock.seconds},
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
