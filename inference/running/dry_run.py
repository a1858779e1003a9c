"""What a run would do: how each file is read, where its results go, how long it takes and what memory; without a
network."""

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from inference.outputs.label_tiff import LABEL_SUFFIX
from inference.outputs.pixel_size import PixelSize
from inference.reading import Image
from inference.reading.safe_reading import SafeReader
from inference.running.claims import Claims, NotOurs
from inference.running.finding import Found
from inference.running.messages import describe
from inference.running.naming import plane_files
from inference.running.report import ReportRow, read_report
from inference.running.request import Request
from inference.streams import escaped

# Of the benchmark that the README names, on two cores without a GPU, for cells of the size that the networks are
# trained with.
START_SECONDS = 2.0
SECONDS_AN_IMAGE = 0.8  # for routing and measuring the cells
SECONDS_A_MEGAPIXEL = 0.8
PROGRAM_MB = 830
LABEL_BYTES = 4 + 1  # a pixel: its label and its normalised value
TO_DO, KEPT = "to be done", "to be kept"  # status in the report


def dry_run(
    request: Request, files: Sequence[Found], names: Mapping[Path, Path], claims: Claims, reader: SafeReader
) -> list[ReportRow]:
    """Print a line for each image and one for all; returns their lines of the report.

    An image that the run would fail at before its first label has the same error here: two results of one name, files
    that may not be written over, a size in micrometres without a pixel size.

    Parameters
    ----------
    names : of the results of each file, below the output folder
    claims : of the run; those that resume have its settings, so that it is known which labels it would keep
    """
    rows: list[ReportRow] = []
    owners: dict[Path, str] = {}
    total, largest = START_SECONDS, 0.0
    for found in files:
        file = str(found.folder / found.path.name)
        try:
            images, digest = reader.open_images(found.path, request.reading)
        except Exception as error:  # whatever is wrong with one file, the others are to be told too
            rows.append(ReportRow(f"failed: {error}", file))
            print(escaped(f"cannot be done: {error}"))
            continue
        for image in images:
            view, planes = image.views[0], len(image.views)
            target = names[found.path].with_name(f"{names[found.path].name}{image.suffix}")
            labels = target.with_name(f"{target.name}{LABEL_SUFFIX}")
            pixels = view.shape[0] * view.shape[1] / 1e6
            beside = plane_files(target, image, request.suffixes[1:])
            taken = [path for path in (labels, *chain(*beside.values())) if owners.setdefault(path, file) != file]
            status = (
                f"failed: {taken[0]} is also that of {owners[taken[0]]}"
                if taken
                else _status(request, claims, found.path, digest, image, target)
            )
            said = (
                f"{file}: {view.reading}{f', {planes} planes' if planes > 1 else ''} -> "
                f"{', '.join((str(labels), *map(_said, beside.values())))}"
            )
            if status != KEPT:
                seconds, memory = planes * (SECONDS_AN_IMAGE + SECONDS_A_MEGAPIXEL * pixels), _memory_mb(image)
                total, largest = total + seconds, max(largest, memory)
                said += f"; about {_time(seconds)}, {memory:.0f} MB"
            print(escaped(said if status == TO_DO else f"{said}; {status}"))
            for warning in view.warnings:
                print(escaped(f"  warning: {warning}"))
            rows.append(
                ReportRow(
                    status,
                    file,
                    str(labels),
                    *view.shape,
                    str(view.pixels.dtype),
                    view.axes,
                    view.format,
                    image.name or None,
                    planes,
                    images=len(images),
                )
            )
    print(
        f"{len(rows)} images, about {_time(total)} and {largest:.0f} MB on two cores without a GPU, for cells of "
        "about 25 pixels; smaller ones take longer"
    )
    return rows


def check_report(path: Path) -> None:
    """Look at the place of a dry run's report, which `Claims.check_table` has found fit for one.

    Raises
    ------
    NotOurs
        If there is one of a true run, which would be lost.
    """
    try:
        rows = read_report(path) if path.exists() else []
    except ValueError:  # empty, or to be written over whatever it is
        return
    if any(row.get("version") or row["status"] in ("done", "kept") for row in rows):
        raise NotOurs(f"--report {path}: the report of a run that was no dry one is there; give another name")


def _status(request: Request, claims: Claims, path: Path, digest: str, image: Image, target: Path) -> str:
    """What would become of an image that can be read: `TO_DO`, `KEPT`, or why it would fail."""
    file, view = path.name, image.views[0]
    place = request.folder / target
    others = plane_files(place, image, request.suffixes[1:])
    try:
        labels = place.with_name(f"{place.name}{LABEL_SUFFIX}")
        if claims.claim(path, digest, labels, others, (*image.stack, *view.shape)).cells is not None:
            return KEPT
        if request.diameter:
            request.diameter.pixels(file, view)
        try:
            request.wanted(PixelSize.of(view))
        except ValueError as error:
            return f"failed: {file}: {error}"
    except (OSError, ValueError) as error:
        return f"failed: {describe(file, error)}"
    return TO_DO


def _said(files: Sequence[Path]) -> str:
    """Files of one kind; of a stack those of the first plane and of the last one."""
    return str(files[0]) if len(files) == 1 else f"{files[0]} to {files[-1].name}"


def _memory_mb(image: Image) -> float:
    pixels = image.views[0].shape[0] * image.views[0].shape[1]
    return PROGRAM_MB + (image.views[0].pixels.nbytes + LABEL_BYTES * pixels) / 1e6


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
