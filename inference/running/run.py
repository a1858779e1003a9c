"""The images of a run: each is read, segmented and written; a bad one does not keep the others from being done."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from inference import __version__, stopping
from inference.outputs.label_rows import LabelRows, LabelStore
from inference.outputs.label_tiff import LABEL_SUFFIX, write_label_tiff
from inference.outputs.pixel_size import PixelSize
from inference.outputs.products import PRODUCTS
from inference.reading import Image, ImageError, Picture
from inference.running.claims import Claim, Claims
from inference.running.finding import Found
from inference.running.memory_need import check_memory
from inference.running.messages import collected_warnings, describe, summary_of, too_slow, warnings_of, write_product
from inference.running.naming import Names, left_over, plane_files
from inference.running.opened import Opened
from inference.running.progress import Progress
from inference.running.report import Report, ReportRow, add_rows, peak_memory_mb, time_tolerance
from inference.running.request import Request
from inference.stopwatch import Stopwatch
from inference.streams import escaped

if TYPE_CHECKING:
    from inference.image.normalisation import Ends
    from inference.outputs.page import Page
    from inference.outputs.result import Result
    from inference.running.common import Common
    from inference.segmentation import Plan, Segmentation
    from inference.segmenter import Segmenter

log = logging.getLogger(__name__)


def by_image(planes: Iterator[Opened]) -> Iterator[tuple[Opened, Iterator[Opened]]]:
    """The first plane of each image, and the others of it, to be read before the next image is asked for."""
    for _, group in groupby(planes, lambda plane: (plane.found, plane.number)):
        opened = iter(group)
        yield next(opened), opened


def warn_of_names(kind: Names, names: Mapping[Path, Path]) -> None:
    """Say in a challenge which labels are not named after what is before the first dot."""
    for path, name in names.items() if kind is Names.CHALLENGE else ():
        if name.name != path.name.split(".")[0]:
            log.warning(
                "%s: another image has the same name up to its first dot; labels go to %s%s",
                path.name,
                name,
                LABEL_SUFFIX,
            )


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
    _owners: dict[Path, Path] = field(default_factory=dict, init=False)  # files of the results so far

    def all(self, images: Sequence[Found], planes: Iterator[Opened]) -> list[ReportRow]:
        """Segment the images one after the other."""
        warn_of_names(self.request.names, self.names)
        rows: list[ReportRow] = []
        with Progress(len(images), self.request.quiet, self.request.seconds_between_lines) as progress:
            start = time.perf_counter()
            for first, opened in by_image(planes):
                stopping.check()
                progress.begin(first.found.path.name)
                rows.append(self.attempt(first, opened, start, progress.tile))
                if first.last:
                    progress.end()
                self.report.add(rows[-1])
                start = time.perf_counter()
        return rows

    def attempt(
        self, first: Opened, others: Iterator[Opened], start: float, on_tile: Callable[[int], None]
    ) -> ReportRow:
        """Segment one image; whatever happens to it is told by its line of the report.

        Parameters
        ----------
        first, others : the planes of the image
        start : by time.perf_counter(), of its reading
        """
        file = first.found.path.name
        with collected_warnings() as warnings:
            try:
                row = self.image(first, others, warnings, self._in_time(file, start, on_tile))
                row = replace(row, seconds=round(time.perf_counter() - start, 2))
                log.info("%s", summary_of(row))
            except Exception as error:  # whatever happens to one image, the others are still to be done
                row = self.failed(first, error)
        return replace(row, warnings="; ".join(warnings) or None)

    def failed(self, first: Opened, error: Exception) -> ReportRow:
        """The line of an image that cannot be done, which the log and the page tell of too."""
        reason = describe(first.found.path.name, error)
        log.error("%s", reason, exc_info=error if log.isEnabledFor(logging.DEBUG) else None)
        image = str(first.found.folder / first.found.path.name)
        row = ReportRow(f"failed: {reason}", image, series=first.series, images=first.images, version=__version__)
        if self.page:
            self.page.add_failure(row.image, reason)
        return row

    def _in_time(self, file: str, start: float, on_tile: Callable[[int], None]) -> Callable[[int], None]:
        """`on_tile`, which raises ImageError once --timeout has passed, and KeyboardInterrupt if it is to stop."""

        def checked(total: int) -> None:
            stopping.check()
            on_tile(total)
            if self.request.timeout is not None and time.perf_counter() - start > self.request.timeout:
                raise too_slow(file, self.request.timeout)

        return checked

    def image(
        self, first: Opened, others: Iterator[Opened], warnings: list[str], on_tile: Callable[[int], None]
    ) -> ReportRow:
        """Segment one image, all planes of it, and write its files.

        A stack is segmented as its middle plane: with its class, cell sizes and stain; its planes' cells are numbered
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
        beside = plane_files(target, image, request.suffixes[1:])
        for path in (labels, *chain(*beside.values())):
            if (owner := self._owners.setdefault(path, first.found.path)) != first.found.path:
                raise ValueError(
                    f"{file}: {path.name} is already that of {owner}; run this file alone, into another folder"
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
            images=first.images,
            version=__version__,
        )
        claim = self.claims.claim(first.found.path, first.digest, labels, beside, (*image.stack, height, width))
        if claim.cells is not None:
            if self.page:
                self.page.add_kept(row.image, claim.cells)
            return replace(row, cells=claim.cells)
        log.info("%s: read as %s%s", file, picture.reading, f", image {first.series}" if first.series else "")
        for warning in picture.warnings:
            log.warning("%s", warning)
        for suffix in claim.stale:
            if left := left_over(target, image, suffix, beside.get(suffix, ())):
                more = f", and so are {len(left) - 1} more" if len(left) > 1 else ""
                log.warning(
                    "%s: %s is of other labels than these%s; make it anew, or remove it", file, left[0].name, more
                )
        diameter = request.diameter.pixels(file, picture) if request.diameter else self.common.diameter
        like = None
        if image.stack:
            middle = image.open(len(image.views) // 2)
            like = self.segmenter.segment(
                middle, class_=request.class_, diameter=diameter, ends=self.common.ends_of(picture)
            ).plan
        work = _Work(
            first.found.path,
            image,
            target,
            claim,
            row,
            diameter,
            like,
            warnings,
            lambda total: on_tile(total * first.images * len(image.views)),
        )
        if image.stack:
            return self._stack(work, chain((first,), others))
        clock = Stopwatch()
        with self._segmented(work, first, clock) as result, clock("write"):
            self._write_labels(work, [result.labels], picture)
            self._write_others(work, result)
        return self._row(work, first, result, clock)

    def _stack(self, work: "_Work", planes: Iterable[Opened]) -> ReportRow:
        """Segment a stack: all planes, then their labels are written, then each plane's own files.

        In this order, as files beside no labels that name them are not known for this program's own: a run that is
        stopped before leaves none.
        """
        from inference.segmentation import Segmentation  # late: PyTorch is imported

        request, image, rows = self.request, work.image, []
        with LabelStore(request.folder) as store:
            kept: list[LabelRows] = []
            segmented: list[Segmentation] = []
            for plane in planes:
                clock = Stopwatch()
                with self._segmented(work, plane, clock) as result, clock("write"):
                    kept.append(store.add(result.labels, result.labels.shape))
                summary = replace(result.summary, probabilities=result.probabilities)
                segmented.append(Segmentation.of_stored(result.plan, kept[-1], summary))
                rows.append(self._row(work, plane, result, clock))
            clock = Stopwatch()
            with clock("write"):
                self._write_labels(work, _numbered_on(kept), image.views[0])
                cells = 0
                for number, segmentation in enumerate(segmented):
                    picture = image.open(number) if request.products or self.page else image.views[number]
                    place = image.place(number)
                    with self._result(work, picture, segmentation, place=place, cells_before=cells) as result:
                        self._write_others(work, result, image.plane_suffix(number))
                        cells += result.labels.cells
        total = add_rows(rows)
        stages = {**total.stages, "write": total.stages["write"] + clock.seconds["write"]}
        return replace(total, stages=stages, peak_memory_mb=peak_memory_mb())

    def _write_labels(self, work: "_Work", planes: Sequence[LabelRows], picture: Picture) -> None:
        """Write the labels of all planes, with what the file tells of one of them."""
        request, image = self.request, work.image
        work.claim.clear()
        write_label_tiff(
            work.claim.labels,
            planes,
            PixelSize.of(picture),
            stack=image.stack,
            stack_axes=image.stack_axes,
            tiled=request.tiled,
            colours=request.colours,
            image=escaped(" ".join(part for part in (work.file, image.name) if part)),
            channels=list(map(escaped, picture.channels)),
            software=str(work.claim.tag),
        )

    def _write_others(self, work: "_Work", result: "Result", plane: str = "") -> None:
        """Write what is made of a plane beside the labels that are there, and tell of it.

        Parameters
        ----------
        plane : what its files and its entry on the page have behind the image's name
        """
        products = [PRODUCTS[option] for option in self.request.products]
        files = [work.target.with_name(f"{work.target.name}{plane}{product.suffix}") for product in products]
        refused = [file for product, file in zip(products, files) if not write_product(product, file, result)]
        work.claim.seal(files, refused)
        for warning in warnings_of(work.file, result):
            if warning not in work.warnings:  # planes of a stack have most of theirs in common
                log.warning("%s", warning)
        if self.page:
            self.page.add_result(f"{work.row.image}{work.image.suffix}{plane}", result, work.warnings)

    def _segmented(self, work: "_Work", plane: Opened, clock: Stopwatch) -> "Result":
        """The cells of a plane that are wanted."""
        request, picture = self.request, plane.picture
        check_memory(work.file, picture, request.limits)
        try:
            wanted = request.wanted(PixelSize.of(picture))
        except ValueError as error:
            raise ImageError(f"{work.file}: {error}") from None
        segmentation = self.segmenter.segment(
            picture,
            class_=request.class_,
            diameter=work.diameter,
            like=work.like,
            sensitivity=request.sensitivity,
            ends=self.common.ends_of(picture),
            on_tile=work.on_tile,
        )
        segmentation.rows = clock.steps("rows", segmentation.rows)  # the time of the stages before is counted there
        with clock("write"):
            return self._result(work, picture, segmentation, wanted=wanted)

    def _result(self, work: "_Work", picture: Picture, segmentation: "Segmentation", **more: Any) -> "Result":
        from inference.outputs.result import Result  # late: numba is imported

        request = self.request
        more["place"] = request.reading.chosen | more.get("place", {})
        return Result(work.source, picture, segmentation, request.folder, request.limits, style=request.style, **more)

    def _row(self, work: "_Work", plane: Opened, result: "Result", clock: Stopwatch) -> ReportRow:
        """The line of a plane that is done."""
        request, picture, ends = self.request, plane.picture, self.common.ends_of(plane.picture)
        plan, summary = result.plan, result.summary
        return replace(
            work.row,
            status="done",
            cells=result.labels.cells,
            removed_cells=result.found - result.labels.cells,
            class_=plan.image_class.name,
            class_probability=round(plan.route.probabilities[plan.image_class.number], 4) if plan.route else None,
            uncertain_route=int(plan.route.uncertain) if plan.route else None,
            own_network=1 if plan.own else None,
            doubts=", ".join(plan.doubts) or None,
            cell_diameter_px=round(plan.diameter, 1),
            second_diameter_px=round(plan.second, 1) if plan.second else None,
            size_agreement=round(plan.agreement, 3) if plan.agreement is not None else None,
            diameter_from="option" if request.diameter else "all images" if self.common.diameter else "image",
            contrast=_contrast(ends, plan),
            scale=round(sum(plan.sizes.scale) / 2, 3),
            tiles=summary.tiles,
            empty_tiles=summary.empty_tiles,
            seam_cells=summary.seam_cells,
            cut_cells=summary.cut_cells,
            device=summary.device,
            weights=self.segmenter.digest(plan.image_class.number, plan.own) if request.report else None,
            tolerance_seconds=round(time_tolerance(*picture.shape), 2),
            stages={"read": plane.seconds, **summary.seconds, "write": clock.seconds["write"]},
            peak_memory_mb=peak_memory_mb(),
        )


def _numbered_on(planes: Sequence[LabelRows]) -> list[LabelRows]:
    """The same planes, with cells that are numbered on from plane to plane."""
    numbered, cells = [], 0
    for plane in planes:
        numbers = np.arange(plane.cells + 1, dtype=np.int32) + np.int32(cells)
        numbers[0] = 0
        numbered.append(plane.renumbered(numbers))
        cells += plane.cells
    return numbered


def _contrast(ends: "Ends | None", plan: "Plan") -> str:
    """Of an image, as the report says it."""
    if ends:
        return ", ".join(f"{low:g} to {high:g}" for low, high in ends)
    return "image" if plan.glare else "image without its brightest places"


@dataclass(frozen=True)
class _Work:
    """An image that is being done: what its planes have in common.

    source : the image's file
    target : its results without what is added for their kinds
    claim : of these
    row : of the report, as far as it is known before
    diameter : None where it is not known before
    like : how the middle plane of a stack is segmented, and so all of them
    warnings : those about the image so far
    """

    source: Path
    image: Image
    target: Path
    claim: Claim
    row: ReportRow
    diameter: float | None
    like: "Plan | None"
    warnings: list[str]
    on_tile: Callable[[int], None]

    @property
    def file(self) -> str:
        """The name of the image's file."""
        return self.source.name
