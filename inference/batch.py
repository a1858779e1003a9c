"""A run: image files in, result files out, one after the other; a bad file does not keep the others from being done."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from inference import __version__
from inference.ahead import ahead
from inference.files import find_images, label_names
from inference.limits import LIMITS, Limits
from inference.outputs.filters import CellFilter
from inference.outputs.label_tiff import LABEL_SUFFIX, count_cells, holds_labels, write_label_tiff
from inference.outputs.overlay import OverlayStyle
from inference.outputs.pixel_size import PixelSize
from inference.outputs.products import PRODUCTS, Product
from inference.outputs.refusal import OutputRefused
from inference.outputs.units import Area
from inference.progress import Progress
from inference.reading import Picture, open_image
from inference.report import Report, ReportRow, peak_memory_mb, time_tolerance
from inference.rights import become_owner
from inference.stopwatch import Stopwatch
from models.classes import CLASSES

if TYPE_CHECKING:
    from inference.common import Common
    from inference.outputs.page import Page
    from inference.outputs.result import Result
    from inference.segmenter import Segmenter

log = logging.getLogger(__name__)

ALL_DONE, SOME_FAILED, NOTHING_DONE = 0, 1, 2  # exit codes
HASH_DIGITS = 12  # of the weights, in the report


@dataclass(frozen=True)
class Request:
    """What is asked of a run.

    source : an image file or a folder of them
    folder : for the results; made if it does not exist
    weights : folder of the five networks
    device : "auto", "cpu", "cuda" or "mps"
    class_ : 0 to 3, whose network all images are sent to; None to let the router choose
    diameter : typical cell diameter in pixels; None to measure it in each image
    sensitivity : as of `inference.sensitivity.SENSITIVITIES`
    same_diameter, same_contrast : measured over all images instead
    products : what is written beside the labels, names of `inference.outputs.products.PRODUCTS`
    style : of overlays
    tiled, colours : of the label TIFFs, see `inference.outputs.label_tiff.write_label_tiff`
    min_size, max_size, exclude_border : which cells are kept
    page : file for the HTML page
    report : file for the report
    brief : whether the report is without the stopwatch's columns
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
    sensitivity: float = 0.0
    same_diameter: bool = False
    same_contrast: bool = False
    products: tuple[str, ...] = ()
    style: OverlayStyle = OverlayStyle()
    tiled: bool = False
    colours: bool = False
    min_size: Area | None = None
    max_size: Area | None = None
    exclude_border: bool = False
    page: Path | None = None
    report: Path | None = None
    brief: bool = False
    resume: bool = False
    quiet: bool = False
    seconds_between_lines: float = 30.0
    limits: Limits = LIMITS

    def wanted(self, pixel_size: PixelSize | None) -> CellFilter:
        """Which cells of an image are kept. Raises ValueError where a size in µm² needs a pixel size."""
        low, high = (size and size.in_pixels(pixel_size) for size in (self.min_size, self.max_size))
        every = CellFilter()
        return CellFilter(every.min_area if low is None else low, every.max_area if high is None else high, self.exclude_border)


def run(request: Request) -> int:
    """Segment everything that is asked for; returns the exit code."""
    try:
        images = find_images(request.source)
        request.folder.mkdir(parents=True, exist_ok=True)
        become_owner(request.folder)
        if not os.access(request.folder, os.W_OK):
            raise PermissionError(f"no permission to write in {request.folder}; change its owner or mode, or run as another user (--user)")
        pictures = ahead(open_all(images), 1)  # the next one is read during the imports, or while the one before is segmented
        from inference.common import measure_common  # late, for an instant -h and instant errors above: PyTorch is imported
        from inference.segmenter import Segmenter
        from inference.warm_up import warm_up

        if request.diameter is not None and not request.diameter >= 1:
            raise ValueError(f"--diameter must be at least 1 pixel, got {request.diameter:g}")
        segmenter = Segmenter.from_folder(request.weights, request.device, request.limits)
        threading.Thread(target=warm_up, daemon=True).start()  # compiled code is loaded while the router runs
        with ExitStack() as stack:
            report = stack.enter_context(Report(request.report, request.brief))
            page = stack.enter_context(open_page(request)) if request.page else None
            common = measure_common(images, segmenter, request)
            rows = run_all(pictures, label_names(images), segmenter, request, common, report, page)
    except (OSError, ValueError) as error:
        log.error("%s", error)
        return NOTHING_DONE
    failed = sum(row.failed for row in rows)
    if failed:
        log.error("%d of %d images failed, see above", failed, len(rows))
    log.info("%d images, %d cells, %d failed; results are in %s", len(rows), sum(row.cells or 0 for row in rows), failed, request.folder)
    return ALL_DONE if not failed else SOME_FAILED if failed < len(rows) else NOTHING_DONE


def run_all(pictures: Iterator[tuple[Path, Picture | Exception, float]], names: dict[Path, str], segmenter: "Segmenter",
            request: Request, common: "Common", report: Report, page: "Page | None") -> list[ReportRow]:
    """Segment the images one after the other."""
    for path, name in names.items():
        if name != path.name.split(".")[0]:
            log.warning("%s: another image has the same name up to its first dot; labels go to %s%s", path.name, name, LABEL_SUFFIX)
    rows = []
    with Progress(len(names), request.quiet, request.seconds_between_lines) as progress:
        start = time.perf_counter()
        for path, picture, read in pictures:
            progress.begin(path.name)
            with collected_warnings() as warnings:
                try:
                    if isinstance(picture, Exception):
                        raise picture
                    row = segment_file(path, picture, names[path], segmenter, request, common, page, warnings, progress.tile)
                    row = replace(row, stages={"read": read, **row.stages}, seconds=round(time.perf_counter() - start, 2))
                    log.info("%s", summary_of(row))
                except Exception as error:  # whatever happens to one image, the others are still to be done
                    reason = describe(path.name, error)
                    log.error("%s", reason, exc_info=log.isEnabledFor(logging.DEBUG))
                    row = ReportRow(f"failed: {reason}", path.name)
                    if page:
                        page.add_failure(path.name, reason)
            progress.end()
            rows.append(replace(row, warnings="; ".join(warnings) or None, version=__version__))
            report.add(rows[-1])
            start = time.perf_counter()
    return rows


def summary_of(row: ReportRow) -> str:
    """The line of the log about an image that is done."""
    if row.status == "kept":
        return f"{row.image}: kept, {row.labels} fits it ({row.cells} cells)"
    removed = f" ({row.removed_cells} removed)" if row.removed_cells else ""
    return f"{row.image}: {row.cells} cells{removed} of {row.cell_diameter_px:.0f} px, {row.class_}, {row.labels}, {row.seconds:.1f} s"


@contextmanager
def open_page(request: Request) -> Iterator["Page"]:
    """The page of the run, which is written at the end, whatever the end is."""
    from inference.outputs.page import Page

    assert request.page is not None
    request.page.parent.mkdir(parents=True, exist_ok=True)
    page = Page(request.page, f"Cells in {request.source.name or request.source}")
    try:
        yield page
    finally:
        page.write()


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """The warnings that the program logs meanwhile, in this list."""
    warnings: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: warnings.append(record.getMessage()) if record.levelno == logging.WARNING else None  # type: ignore
    logger = logging.getLogger(__name__.rpartition(".")[0])
    logger.addHandler(handler)
    try:
        yield warnings
    finally:
        logger.removeHandler(handler)


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


def segment_file(path: Path, picture: Picture, name: str, segmenter: "Segmenter", request: Request, common: "Common",
                 page: "Page | None", warnings: list[str], on_tile: Callable[[int], None]) -> ReportRow:
    """Segment one image and write its files.

    Parameters
    ----------
    warnings : those about the image so far
    """
    from inference.outputs.result import Result

    height, width = picture.shape
    products = {PRODUCTS[option]: request.folder / f"{name}{PRODUCTS[option].suffix}" for option in request.products}
    labels = request.folder / f"{name}{LABEL_SUFFIX}"
    pixel_size = PixelSize.of_resolution(picture.resolution)
    row = ReportRow("kept", path.name, labels.name, height, width, str(picture.pixels.dtype), picture.axes,
                    pixel_size_um=str(pixel_size) if pixel_size else None)
    if request.resume and holds_labels(labels, picture.shape) and all(target.exists() for target in products.values()):
        row = replace(row, cells=count_cells(labels))
        if page:
            page.add_kept(row.image, row.cells)
        return row
    for warning in picture.warnings:
        log.warning("%s", warning)
    wanted = request.wanted(pixel_size)
    diameter, ends = request.diameter or common.diameter, common.ends_of(picture)
    segmentation = segmenter.segment(picture, class_=request.class_, diameter=diameter, sensitivity=request.sensitivity, ends=ends,
                                     on_tile=on_tile)
    clock = Stopwatch()
    segmentation.rows = clock.steps("rows", segmentation.rows)  # the time of the stages before is counted there
    with clock("write"):
        result = Result(path, picture, segmentation, request.folder, request.limits.labels_in_memory, wanted, request.style)
    with result, clock("write"):
        write_label_tiff(labels, [result.labels], pixel_size, tiled=request.tiled, colours=request.colours, image=path.name)
        for product, target in products.items():
            write_product(product, target, result)
        warn_of(path.name, result)
        if page:
            page.add_result(result, warnings)
    plan, summary = result.plan, result.summary
    return replace(
        row, status="done", cells=result.labels.cells, removed_cells=result.found - result.labels.cells,
        class_=plan.image_class.name,
        class_probability=round(plan.route.probabilities[plan.image_class.number], 4) if plan.route else None,
        uncertain_route=int(plan.route.uncertain) if plan.route else None,
        cell_diameter_px=round(plan.diameter, 1),
        diameter_from="option" if request.diameter else "all images" if common.diameter else "image",
        contrast=", ".join(f"{low:g} to {high:g}" for low, high in ends) if ends else "image",
        scale=round(sum(plan.sizes.scale) / 2, 3), tiles=summary.tiles, empty_tiles=summary.empty_tiles,
        seam_cells=summary.seam_cells, cut_cells=summary.cut_cells, device=summary.device,
        weights=segmenter.sha256(plan.image_class.number)[:HASH_DIGITS] if request.report else None,
        tolerance_seconds=round(time_tolerance(height, width), 2), stages={**summary.seconds, "write": clock.seconds["write"]},
        peak_memory_mb=peak_memory_mb())


def write_product(product: Product, target: Path, result: "Result") -> None:
    """Write one more file; where its format cannot hold the image, or a library for it is missing, a warning says so."""
    try:
        product.write(target, result)
    except (ImportError, OutputRefused) as error:
        reason = f"it needs {error.name}: pip install {error.name}" if isinstance(error, ImportError) else error
        log.warning("%s: %s is not written: %s", result.source.name, target.name, reason)


def warn_of(name: str, result: "Result") -> None:
    """Say what may be wrong with an image's cells."""
    plan = result.plan
    if result.summary.cut_cells:
        log.warning("%s: %d cells are larger than the part of the image that was looked at in one go, and may be cut; "
                    "--diameter with their size makes the parts larger", name, result.summary.cut_cells)
    if plan.route and plan.route.uncertain:
        log.warning("%s: the router is not sure of the kind of image (%s); the network for %s images ran, --route chooses another one",
                    name, ", ".join(f"{c.name}: {p:.2f}" for c, p in zip(CLASSES, plan.route.probabilities)), plan.image_class.name)


def describe(name: str, error: Exception) -> str:
    """One line that names the file and says what to do."""
    if isinstance(error, MemoryError):
        return f"{name}: not enough memory for this image; close other programs, or cut the image into parts"
    if isinstance(error, OSError):
        return f"{name}: {error.strerror or error}; check the free space and the permissions of the output folder"
    if isinstance(error, ValueError) and name in str(error):
        return str(error)
    return f"{name}: {type(error).__name__}: {error}; run it again with -v and report what it prints"
