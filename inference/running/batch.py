"""A run: image files in, result files out; what is the same for all of them, and the exit code."""

import itertools
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from inference import __version__
from inference.ahead import ahead
from inference.exit_codes import ALL_DONE, NOTHING_DONE, SOME_FAILED
from inference.machine import lacks_memory, too_little_memory
from inference.outputs.products import check_packages
from inference.outputs.whole_file import remove_leftovers
from inference.reading.safe_reading import SafeReader
from inference.running.claims import Claims, NotOurs, check_folder, make_folder
from inference.running.dry_run import check_report, dry_run
from inference.running.finding import Found, Skipped
from inference.running.messages import skipped_lines
from inference.running.naming import result_names
from inference.running.opened import open_all
from inference.running.provenance import settings_digest
from inference.running.report import Report, ReportRow
from inference.running.request import Request
from inference.running.rights import become_owner
from inference.running.run import Run
from models.checksums import SUMS_FILE

if TYPE_CHECKING:
    from inference.outputs.page import Page

log = logging.getLogger(__name__)


def run(request: Request) -> int:
    """Segment everything that is asked for; returns the exit code."""
    try:
        check_packages(request.products)
        found, skipped = request.find()
        names = result_names(found, request.names)
        images = part_of(found, request.part)
        own_names = {image.path: names[image.path] for image in images}
        part = f"{request.part[0]}/{request.part[1]} of {len(found)}" if request.part else None
        for line in skipped_lines(skipped):
            log.warning("%s", line)
        if request.dry:
            check_folder(request.folder, "-o")
            claims = claims_of(request, found, names)
            if request.report:
                check_report(request.report)
            if request.resume:
                claims = replace(claims, settings=settings_alone(request))
            rows = dry_run(request, images, names, claims, SafeReader(request.read_limits))
            with Report(request.report, request.brief, part) as report:
                for row in rows:
                    report.add(row)
                return finish(request, rows, skipped, report)
        make_folder(request.folder, "-o")
        become_owner(request.folder, [request.weights])
        check_folder(request.folder, "-o")
        for folder in {request.folder / name.parent for name in names.values()}:
            remove_leftovers(folder)
        claims = claims_of(request, found, names)
        with ExitStack() as stack:
            if request.dask is None:
                # Reading begins, the imports go on meanwhile.
                segment = in_this_process(request, images, own_names, claims)
            else:
                segment = on_cluster(request, images, own_names, claims)
            report = stack.enter_context(Report(request.report, request.brief, part, request.resume))
            page = stack.enter_context(open_page(request)) if request.page else None
            rows = segment(report, page)
            code = finish(request, rows, skipped, report)
        return SOME_FAILED if code == ALL_DONE and page and page.broken else code
    except (OSError, ValueError, ImportError, MemoryError) as error:
        if lacks_memory(error):
            log.error("%s", too_little_memory())
        elif isinstance(error, ImportError):
            raise
        else:
            log.error("%s", error)
        return NOTHING_DONE


def settings_alone(request: Request) -> str:
    """Digest of what labels depend on, but for what is measured over all images: with --same-diameter or
    --same-contrast a dry run does not know that labels would be kept.
    """
    from inference.running.common import Common  # late: only here without a network

    return settings_digest(request.what_labels_depend_on | {"common": Common()}, request.weights / SUMS_FILE)


def part_of(images: list[Found], part: tuple[int, int] | None) -> list[Found]:
    """The images of a part, such as (3, 20): every 20th from the third on, so that parts have equally many, and large
    images that lie side by side go to different ones.
    """
    return images if part is None else images[part[0] - 1 :: part[1]]


def in_this_process(
    request: Request, images: Sequence[Found], names: Mapping[Path, Path], claims: Claims
) -> Callable[[Report, "Page | None"], list[ReportRow]]:
    """A function that segments the images one after the other, and tells of each one; all that it needs is loaded."""
    reader = SafeReader(request.read_limits)
    # The next image is read during the imports, or while the one before is segmented.
    planes = ahead(open_all(images, request.reading, reader), 1)
    # Late, for an instant -h and instant errors above: PyTorch is imported.
    from inference.running.common import measure_common
    from inference.segmenter import Segmenter
    from inference.warm_up import warm_up

    segmenter = Segmenter.from_folder(
        request.weights, request.device, request.limits, request.verify_weights, request.quick
    )
    threading.Thread(target=warm_up, daemon=True).start()  # compiled code is loaded while the router runs

    def segment(report: Report, page: "Page | None") -> list[ReportRow]:
        common = measure_common(images, reader, segmenter, request)
        settings = request.what_labels_depend_on | {"common": common}
        own = replace(claims, settings=settings_digest(settings, request.weights / SUMS_FILE))
        return Run(request, dict(names), segmenter, common, report, page, own).all(images, planes)

    return segment


def on_cluster(
    request: Request, images: Sequence[Found], names: Mapping[Path, Path], claims: Claims
) -> Callable[[Report, "Page | None"], list[ReportRow]]:
    """A function that does the same on a Dask cluster; raises NoCluster if Dask is not installed."""
    from inference.cluster.connection import need_dask

    need_dask()
    from inference.cluster.batch import segment_on_cluster  # late: distributed is imported

    return partial(segment_on_cluster, request, images, names, claims)


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


def claims_of(request: Request, images: Sequence[Found], names: Mapping[Path, Path]) -> Claims:
    """Which files the run may write, as far as it is known before the networks are loaded; raises ValueError or OSError
    if none. With --part all images are given: other parts need theirs.
    """
    claims = Claims(
        {os.path.realpath(found.path) for found in images}, __version__, "", request.overwrite, request.resume
    )
    folders = {request.folder / name.parent for name in names.values()}
    results = [(folder, suffix) for folder in folders for suffix in request.suffixes]
    tables = [(option, path) for option, path in (("--report", request.report), ("--page", request.page)) if path]
    for option, path in tables:
        claims.check_table(option, path, results)
        if request.part and request.part[0] not in map(int, re.findall(r"\d+", f"{path.parent.name} {path.name}")):
            raise NotOurs(
                f"{option} {path}: every part needs one of its own; put the part's number into the name, such as "
                f"{path.stem}-{request.part[0]}{path.suffix}"
            )
    if len({os.path.realpath(path) for _, path in tables}) < len(tables):
        raise NotOurs(f"--report and --page: both are {request.page}; give two names")
    return claims


def keep_earlier(page: Path) -> None:
    """Give the page of an earlier run, which has pictures of the images that are kept, another name."""
    if page.exists():
        names = (page.with_name(f"{page.stem}-earlier-{n}{page.suffix}") for n in itertools.count(1))
        earlier = next(name for name in names if not name.exists())
        page.rename(earlier)
        log.info("%s: the page of the earlier run, with pictures of the images that are kept", earlier)


@contextmanager
def open_page(request: Request) -> Iterator["Page"]:
    """The page of the run, which is written at the end, whatever the end is."""
    from inference.outputs.page import Page

    assert request.page is not None
    request.page.parent.mkdir(parents=True, exist_ok=True)
    with Page(request.page, f"Cells in {', '.join(map(str, request.sources)) or request.listed}") as page:
        try:
            yield page
        finally:
            try:
                if request.resume:
                    keep_earlier(request.page)
                page.write()
            except OSError as error:  # the labels are done all the same
                log.error("%s: the page cannot be written (%s)", request.page, error.strerror)
                page.broken = True
