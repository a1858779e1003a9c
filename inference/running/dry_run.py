"""What a run would do: how each file is read, where its results go, how long it takes and what memory; without a
network."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from inference.reading import Image, ReadOptions
from inference.reading.safe_reading import SafeReader
from inference.running.finding import Found
from inference.running.report import ReportRow
from inference.streams import escaped

# As docs/results.md measures them, on two cores without a GPU, for cells of the size that the networks are trained
# with.
START_SECONDS = 2.0
SECONDS_AN_IMAGE = 0.6  # for routing and measuring the cells
SECONDS_A_MEGAPIXEL = 0.25
PROGRAM_MB = 830
LABEL_BYTES = 4 + 1  # a pixel: its label and its normalised value


def dry_run(
    files: Sequence[Found],
    names: Mapping[Path, Path],
    options: ReadOptions,
    suffixes: Sequence[str],
    reader: SafeReader,
) -> list[ReportRow]:
    """Print a line for each image and one for all; returns their lines of the report. Two results of one name are an
    error.

    Parameters
    ----------
    names : of the results of each file, below the output folder
    suffixes : of the files that are written for each image
    """
    rows: list[ReportRow] = []
    owners: dict[Path, str] = {}
    total, largest = START_SECONDS, 0.0
    for found in files:
        file = str(found.folder / found.path.name)
        try:
            images, _ = reader.open_images(found.path, options)
        except Exception as error:  # whatever is wrong with one file, the others are to be told too
            rows.append(ReportRow(f"failed: {error}", file))
            print(escaped(f"cannot be done: {error}"))
            continue
        for image in images:
            view, planes = image.views[0], len(image.views)
            target = names[found.path].with_name(f"{names[found.path].name}{image.suffix}")
            results = [target.with_name(f"{target.name}{suffix}") for suffix in suffixes]
            pixels = view.shape[0] * view.shape[1] / 1e6
            seconds = planes * (SECONDS_AN_IMAGE + SECONDS_A_MEGAPIXEL * pixels)
            total += seconds
            memory = _memory_mb(image)
            largest = max(largest, memory)
            owner = owners.setdefault(results[0], file)
            status = "to be done" if owner == file else f"failed: {results[0]} is also that of {owner}"
            said = (
                f"{file}: {view.reading}{f', {planes} planes' if planes > 1 else ''} -> "
                f"{', '.join(map(str, results))}; about {_time(seconds)}, {memory:.0f} MB"
            )
            print(escaped(said + (f"; {status}" if status != "to be done" else "")))
            for warning in view.warnings:
                print(escaped(f"  warning: {warning}"))
            rows.append(
                ReportRow(
                    status,
                    file,
                    str(results[0]),
                    *view.shape,
                    str(view.pixels.dtype),
                    view.axes,
                    view.format,
                    image.name or None,
                    planes,
                )
            )
    print(
        f"{len(rows)} images, about {_time(total)} and {largest:.0f} MB on two cores without a GPU, for cells of "
        "about 25 pixels; smaller ones take longer"
    )
    return rows


def _memory_mb(image: Image) -> float:
    pixels = image.views[0].shape[0] * image.views[0].shape[1]
    return PROGRAM_MB + (image.views[0].pixels.nbytes + LABEL_BYTES * pixels) / 1e6


def _time(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
