"""A run: image files in, result files out, one after the other; a bad file does not keep the others from being done."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from inference import __version__
from inference.ahead import ahead
from inference.claims import Claim, Claims
from inference.dry_run import dry_run
from inference.finding import Found, Skipped
from inference.machine import threads_follow_quota
from inference.memory_need import check_memory
from inference.naming import Names, result_names
from inference.opened import Opened, open_all
from inference.outputs.label_rows import LabelRows, LabelStore
from inference.outputs.label_tiff import LABEL_SUFFIX, count_cells, holds_labels, write_label_tiff
from inference.outputs.pixel_size import PixelSize
from inference.outputs.products import PRODUCTS, Product
from inference.outputs.refusal import OutputRefused
from inference.outputs.whole_file import remove_leftovers
from inference.progress import Progress
from inference.provenance import settings_digest
from inference.reading import Image, ImageError
from inference.report import Report, ReportRow, add_rows, peak_memory_mb, time_tolerance
from inference.request import Request
from inference.rights import become_owner
from inference.safe_reading import SafeReader
from inference.stopwatch import Stopwatch
from inference.streams import escaped
from models.checksums import SUMS_FILE, CheckpointError
from models.classes import CLASSES

if TYPE_CHECKING:
    from inference.common import Common
    from inference.outputs.page import Page
    from inference.outputs.result import Result
    from inference.segmenter import Segmenter

log = logging.getLogger(__name__)

ALL_DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2  # exit codes
HASH_DIGITS = 12  # of the weights, in the report


def run(request: Request) -> int:
    """Segment everything that is asked for; returns the exit code."""
    threads_follow_quota()
    try:
        images, skipped = request.find()
        names = result_names(images, request.names)
        for entry in skipped:
            log.warning("%s: skipped, %s", entry.path.name, entry.reason)
        if request.dry:
            claims_of(request, images)
            rows = dry_run(images, names, request.reading, request.suffixes, SafeReader(request.read_limits))
            with Report(request.report, request.brief) as report:
                for row in rows:
                    report.add(row)
                return finish(request, rows, skipped, report)
        request.folder.mkdir(parents=True, exist_ok=True)
        become_owner(request.folder, [request.weights])
        if not os.access(request.folder, os.W_OK):
            raise PermissionError(
                f"no permission to write in {request.folder}; change its owner or mode, or run as another user (--user)"
            )
        for folder in {request.folder / name.parent for name in names.values()}:
            remove_leftovers(folder)
        claims = claims_of(request, images)
        reader = SafeReader(request.read_limits)
        # The next image is read during the imports, or while the one before is segmented.
        planes = ahead(open_all(images, request.reading, reader), 1)
        # Late, for an instant -h and instant errors above: PyTorch is imported.
        from inference.common import measure_common
        from inference.segmenter import Segmenter
        from inference.warm_up import warm_up

        segmenter = Segmenter.from_folder(request.weights, request.device, request.limits, request.verify_weights)
        threading.Thread(target=warm_up, daemon=True).start()  # compiled code is loaded while the router runs
        with ExitStack() as stack:
            report = stack.enter_context(Report(request.report, request.brief))
            page = stack.enter_context(open_page(request)) if request.page else None
            common = measure_common(images, reader, segmenter, request)
            settings = request.what_labels_depend_on | {"common": common}
            claims = replace(claims, settings=settings_digest(settings, request.weights / SUMS_FILE))
            rows = Run(request, names, segmenter, common, report, page, claims).all(images, planes)
            return finish(request, rows, skipped, report)
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return NOTHING_DONE


def finish(request: Request, rows: list[ReportRow], skipped: list[Skipped], report: Report) -> int:
    """The last lines of the report and of the log, and the exit code: what is skipped does not count."""
    for entry in skipped:
        report.add(ReportRow(f"skipped: {entry.reason}", str(entry.path)))
    if skipped:
        log.warning("%d files and folders skipped, see above", len(skipped))
    failed = sum(row.failed for row in rows)
    if failed:
        log.error("%d of %d images failed, see above", failed, len(rows))
    if not request.dry:
        cells = sum(row.cells or 0 for row in rows)
        log.info("%d images, %d cells, %d failed; results are in %s", len(rows), cells, failed, request.folder)
    if not failed:
        return SOME_FAILED if report.broken else ALL_DONE
    return SOME_FAILED if failed < len(rows) else NOTHING_DONE


def claims_of(request: Request, images: Sequence[Found]) -> Claims:
    """Which files the run may write, as far as it is known before the networks are loaded; raises ValueError or OSError
    if none.
    """
    claims = Claims({os.path.realpath(found.path) for found in images}, __version__, "", request.overwrite)
    for option, path in (("--report", request.report), ("--page", request.page)):
        if path is not None:
            claims.check_table(option, path)
    return claims


@contextmanager
def open_page(request: Request) -> Iterator["Page"]:
    """The page of the run, which is written at the end, whatever the end is."""
    from inference.outputs.page import Page

    assert request.page is not None
    request.page.parent.mkdir(parents=True, exist_ok=True)
    page = Page(request.page, f"Cells in {', '.join(map(str, request.sources)) or request.listed}")
    try:
        yield page
    finally:
        try:
            page.write()
        except OSError as error:  # the labels are done all the same
            log.error("%s: the page cannot be written (%s)", request.page, error.strerror)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """The warnings that the program logs meanwhile, in this list."""
    warnings: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.WARNING:
                warnings.append(record.getMessage())

    handler, logger = Collector(logging.WARNING), logging.getLogger(__name__.rpartition(".")[0])
    logger.addHandler(handler)
    try:
        yield warnings
    finally:
        logger.removeHandler(handler)


@dataclass
class Run:
    """The images of a run being done.

    names : of the results of each file, below the output folder
    common : what all images have in common
    report, page : where each image is told of
    claims : which files it may write
    """

    request: Request
    names: dict[Path, Path]
    segmenter: "Segmenter"
    common: "Common"
    report: Report
    page: "Page | None"
    claims: Claims

    def __post_init__(self) -> None:
        self._owners: dict[Path, Path] = {}  # files of the label files so far

    def all(self, images: Sequence[Found], planes: Iterator[Opened]) -> list[ReportRow]:
        """Segment the images one after the other."""
        if self.request.names is Names.CHALLENGE:
            for path, name in self.names.items():
                if name.name != path.name.split(".")[0]:
                    log.warning(
                        "%s: another image has the same name up to its first dot; labels go to %s%s",
                        path.name,
                        name,
                        LABEL_SUFFIX,
                    )
        rows: list[ReportRow] = []
        with Progress(len(images), self.request.quiet, self.request.seconds_between_lines) as progress:
            start = time.perf_counter()
            for _, group in groupby(planes, lambda plane: (plane.found, plane.number)):
                opened = iter(group)
                first = next(opened)
                file = first.found.path.name
                progress.begin(file)
                on_tile = self._in_time(file, start, progress.tile)
                with collected_warnings() as warnings:
                    try:
                        row = self.image(first, opened, warnings, on_tile)
                        row = replace(row, seconds=round(time.perf_counter() - start, 2))
                        log.info("%s", summary_of(row))
                    except Exception as error:  # whatever happens to one image, the others are still to be done
                        reason = describe(file, error)
                        log.error("%s", reason, exc_info=log.isEnabledFor(logging.DEBUG))
                        row = ReportRow(f"failed: {reason}", str(first.found.folder / file), series=first.series)
                        if self.page:
                            self.page.add_failure(row.image, reason)
                if first.last:
                    progress.end()
                rows.append(replace(row, warnings="; ".join(warnings) or None, version=__version__))
                self.report.add(rows[-1])
                start = time.perf_counter()
        return rows

    def _in_time(self, file: str, start: float, on_tile: Callable[[int], None]) -> Callable[[int], None]:
        """`on_tile`, which raises ImageError once --timeout has passed."""

        def checked(total: int) -> None:
            on_tile(total)
            if self.request.timeout is not None and time.perf_counter() - start > self.request.timeout:
                raise ImageError(
                    f"{file}: not done after the {self.request.timeout:g} s of --timeout; give it more, or cut the "
                    "image into parts"
                )

        return checked

    def image(
        self, first: Opened, others: Iterator[Opened], warnings: list[str], on_tile: Callable[[int], None]
    ) -> ReportRow:
        """Segment one image, all planes of it, and write its files.

        A stack is segmented with the class and the cell diameter of its middle plane; its planes' cells are numbered
        on.

        Parameters
        ----------
        first, others : the planes of the image
        warnings : those about the image so far
        """
        request, picture, image = self.request, first.picture, first.image
        file, name = first.found.path.name, self.names[first.found.path]
        target = request.folder / name.with_name(f"{name.name}{image.suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        labels = target.with_name(f"{target.name}{LABEL_SUFFIX}")
        if (owner := self._owners.setdefault(labels, first.found.path)) != first.found.path:
            raise ValueError(
                f"{file}: {labels.name} is already that of {owner}; run this file alone, into another folder"
            )
        height, width = picture.shape
        pixel_size = PixelSize.of(picture)
        row = ReportRow(
            "kept",
            str(first.found.folder / file),
            str(labels.relative_to(request.folder)),
            height,
            width,
            str(picture.pixels.dtype),
            picture.axes,
            picture.format,
            first.series,
            len(image.views),
            pixel_size_um=str(pixel_size) if pixel_size else None,
        )
        claim = self.claims.claim(first.found.path, first.digest, labels, self._others(target, image))
        if request.resume and claim.complete and holds_labels(labels, (*image.stack, height, width)):
            row = replace(row, cells=count_cells(labels))
            if self.page:
                self.page.add_kept(row.image, row.cells)
            return row
        log.info("%s: read as %s%s", file, picture.reading, f", image {first.series}" if first.series else "")
        for warning in picture.warnings:
            log.warning("%s", warning)
        class_, diameter = (
            request.class_,
            request.diameter.pixels(file, picture) if request.diameter else self.common.diameter,
        )
        if image.stack:
            plan = self.segmenter.segment(
                image.open(len(image.views) // 2), class_=class_, diameter=diameter, ends=self.common.ends_of(picture)
            ).plan
            class_, diameter = plan.image_class.number, plan.diameter
        common = _Planes(
            file, row, class_, diameter, warnings, lambda total: on_tile(total * first.images * len(image.views))
        )
        if not image.stack:
            return self.plane(
                common,
                first,
                target,
                "",
                lambda result: self._write_labels(labels, [result.labels], result, image, claim),
            )
        cells = 0
        with LabelStore(request.folder) as store:
            planes: list[LabelRows] = []

            def keep(result: "Result") -> None:
                nonlocal cells
                numbers = np.arange(result.labels.cells + 1, dtype=np.int32) + np.int32(cells)
                numbers[0] = 0
                planes.append(store.add(result.labels, result.labels.shape).renumbered(numbers))
                cells += result.labels.cells
                if len(planes) == len(image.views):
                    self._write_labels(labels, planes, result, image, claim)

            return add_rows(
                [
                    self.plane(common, plane, target, image.plane_suffix(number), keep)
                    for number, plane in enumerate(chain((first,), others))
                ]
            )

    def _others(self, target: Path, image: Image) -> dict[str, list[Path]]:
        """What is made beside the labels, by the ends of the names."""
        names = [f"{target.name}{image.plane_suffix(number)}" for number in range(len(image.views))]
        return {suffix: [target.with_name(f"{name}{suffix}") for name in names] for suffix in self.request.suffixes[1:]}

    def _write_labels(
        self, path: Path, planes: Sequence[LabelRows], result: "Result", image: Image, claim: Claim
    ) -> None:
        request, picture = self.request, result.picture
        claim.clear()
        name = escaped(" ".join(part for part in (result.source.name, image.name) if part))
        write_label_tiff(
            path,
            planes,
            PixelSize.of(picture),
            stack=image.stack,
            stack_axes=image.stack_axes,
            tiled=request.tiled,
            colours=request.colours,
            image=name,
            channels=list(map(escaped, picture.channels)),
            software=str(claim.tag),
        )

    def plane(
        self, common: "_Planes", plane: Opened, target: Path, suffix: str, keep: Callable[["Result"], None]
    ) -> ReportRow:
        """Segment one plane and write its files.

        Parameters
        ----------
        target : the image's files without their suffixes
        suffix : what the plane's own files have behind it, before those of the kinds of files
        keep : what is done with its labels
        """
        from inference.outputs.result import Result  # late: numba is imported

        request, picture, clock = self.request, plane.picture, Stopwatch()
        check_memory(common.file, picture, request.limits)
        wanted, ends = request.wanted(PixelSize.of(picture)), self.common.ends_of(picture)
        segmentation = self.segmenter.segment(
            picture,
            class_=common.class_,
            diameter=common.diameter,
            sensitivity=request.sensitivity,
            ends=ends,
            on_tile=common.on_tile,
        )
        segmentation.rows = clock.steps("rows", segmentation.rows)  # the time of the stages before is counted there
        with clock("write"):
            result = Result(
                plane.found.path,
                picture,
                segmentation,
                request.folder,
                request.limits.labels_in_memory,
                wanted,
                request.style,
            )
        with result, clock("write"):
            keep(result)
            for product in (PRODUCTS[option] for option in request.products):
                write_product(product, target.with_name(f"{target.name}{suffix}{product.suffix}"), result)
            warn_of(common.file, result)
            if self.page:
                self.page.add_result(f"{common.row.image}{plane.image.suffix}{suffix}", result, common.warnings)
        plan, summary = result.plan, result.summary
        return replace(
            common.row,
            status="done",
            cells=result.labels.cells,
            removed_cells=result.found - result.labels.cells,
            class_=plan.image_class.name,
            class_probability=round(plan.route.probabilities[plan.image_class.number], 4) if plan.route else None,
            uncertain_route=int(plan.route.uncertain) if plan.route else None,
            cell_diameter_px=round(plan.diameter, 1),
            diameter_from="option" if request.diameter else "all images" if self.common.diameter else "image",
            contrast=", ".join(f"{low:g} to {high:g}" for low, high in ends) if ends else "image",
            scale=round(sum(plan.sizes.scale) / 2, 3),
            tiles=summary.tiles,
            empty_tiles=summary.empty_tiles,
            seam_cells=summary.seam_cells,
            cut_cells=summary.cut_cells,
            device=summary.device,
            weights=(self.segmenter.sha256(plan.image_class.number) or "")[:HASH_DIGITS] if request.report else None,
            tolerance_seconds=round(time_tolerance(*picture.shape), 2),
            stages={"read": plane.seconds, **summary.seconds, "write": clock.seconds["write"]},
            peak_memory_mb=peak_memory_mb(),
        )


@dataclass(frozen=True)
class _Planes:
    """What the planes of an image have in common.

    file : name of the image's file
    row : of the report, as far as it is known before
    class_, diameter : None where they are not known before
    warnings : those about the image so far
    """

    file: str
    row: ReportRow
    class_: int | None
    diameter: float | None
    warnings: list[str]
    on_tile: Callable[[int], None]


def summary_of(row: ReportRow) -> str:
    """The line of the log about an image that is done."""
    if row.status == "kept":
        return f"{row.image}: kept, {row.labels} fits it ({row.cells} cells)"
    removed = f" ({row.removed_cells} removed)" if row.removed_cells else ""
    return (
        f"{row.image}: {row.cells} cells{removed} of {row.cell_diameter_px:.0f} px, {row.class_}, {row.labels}, "
        f"{row.seconds:.1f} s"
    )


def write_product(product: Product, target: Path, result: "Result") -> None:
    """Write one more file; where its format cannot hold the image, or a library for it is missing, a warning says
    so.
    """
    try:
        product.write(target, result)
    except (ImportError, OutputRefused) as error:
        reason = f"it needs {error.name}: pip install {error.name}" if isinstance(error, ImportError) else error
        log.warning("%s: %s is not written: %s", result.source.name, target.name, reason)


def warn_of(name: str, result: "Result") -> None:
    """Say what may be wrong with an image's cells."""
    plan = result.plan
    if result.summary.cut_cells:
        log.warning(
            "%s: %d cells are larger than the part of the image that was looked at in one go, and may be cut; "
            "--diameter with their size makes the parts larger",
            name,
            result.summary.cut_cells,
        )
    if plan.route and plan.route.uncertain:
        log.warning(
            "%s: the router is not sure of the kind of image (%s); the network for %s images ran, --route chooses "
            "another one",
            name,
            ", ".join(f"{c.name}: {p:.2f}" for c, p in zip(CLASSES, plan.route.probabilities)),
            plan.image_class.name,
        )


def describe(name: str, error: Exception) -> str:
    """One line that names the file and says what to do."""
    if isinstance(error, CheckpointError):
        return f"{name}: {error}"
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # the latter is PyTorch's
        return f"{name}: not enough memory for this image; close other programs, or cut the image into parts"
    if isinstance(error, OSError):
        return f"{name}: {error.strerror or error}; check the free space and the permissions of the output folder"
    if isinstance(error, ValueError) and name in str(error):
        return str(error)
    return f"{name}: {type(error).__name__}: {error}; run it again with -v and report what it prints"
