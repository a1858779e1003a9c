"""What a run says of its images: the line of each, what may be wrong with its cells, and errors in words."""

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from inference.listening import heard
from inference.machine import lacks_memory
from inference.outputs.products import Product
from inference.outputs.refusal import OutputRefused
from inference.reading.picture import ImageError
from inference.running.finding import Skipped
from inference.running.report import ReportRow
from models.checksums import CheckpointError
from models.classes import CLASSES

if TYPE_CHECKING:
    from inference.outputs.result import Result

SKIPPED = 5  # names in a line

log = logging.getLogger(__name__)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """The warnings that the program logs meanwhile, in this list."""
    warnings: list[str] = []

    def take(record: logging.LogRecord) -> None:
        if record.levelno == logging.WARNING:
            warnings.append(record.getMessage())

    with heard(logging.getLogger(__name__.removesuffix(".running.messages")), take):
        yield warnings


def formatted(record: logging.LogRecord) -> str:
    """The text of a line of the log, with the traceback that belongs to it, for a process that shows it."""
    text = record.getMessage()
    return f"{text}\n{logging.Formatter().formatException(record.exc_info)}" if record.exc_info else text


def too_slow(name: str, seconds: float) -> ImageError:
    """What is raised where an image is given up."""
    return ImageError(
        f"{name}: not done after the {seconds:g} s of --timeout; give it more, or cut the image into parts"
    )


def summary_of(row: ReportRow) -> str:
    """The line of the log about an image that is done."""
    if row.status == "kept":
        return f"{row.image}: kept, {row.labels} fits it ({row.cells} cells)"
    removed = f" ({row.removed_cells} removed)" if row.removed_cells else ""
    class_ = f"{row.class_} (own network)" if row.own_network else row.class_
    return (
        f"{row.image}: {row.cells} cells{removed} of {row.cell_diameter_px:.0f} px, {class_}, {row.labels}, "
        f"{row.seconds:.1f} s"
    )


def skipped_lines(skipped: Sequence[Skipped]) -> Iterator[str]:
    """A line for each reason, with the first of what is left out for it; the report names all."""
    names: dict[str, list[str]] = {}
    for entry in skipped:
        names.setdefault(entry.reason, []).append(entry.path.name)
    for reason, own in names.items():
        more = f" and {len(own) - SKIPPED} more" if len(own) > SKIPPED else ""
        yield f"{', '.join(own[:SKIPPED])}{more}: skipped, {reason}"


def write_product(product: Product, target: Path, result: "Result") -> bool:
    """Write one more file; where its format cannot hold the image, or a library for it is missing, a warning says
    so. Returns whether its format can hold the image.
    """
    try:
        product.write(target, result)
    except (ImportError, OutputRefused) as error:
        reason = f"it needs {error.name}: pip install {error.name}" if isinstance(error, ImportError) else error
        log.warning("%s: %s is not written: %s", result.source.name, target.name, reason)
        return isinstance(error, ImportError)
    return True


def warnings_of(name: str, result: "Result") -> Iterator[str]:
    """What may be wrong with an image's cells."""
    plan = result.plan
    if result.summary.cut_cells:
        yield (
            f"{name}: {result.summary.cut_cells} cells are larger than the part of the image that was looked at in one "
            "go, and may be cut; --diameter with their size makes the parts larger"
        )
    if plan.route and plan.route.uncertain:
        shares = ", ".join(f"{c.name}: {p:.2f}" for c, p in zip(CLASSES, plan.route.probabilities))
        yield (
            f"{name}: the router is not sure of the kind of image ({shares}); the network for {plan.image_class.name} "
            "images ran, --route chooses another one"
        )
    if not plan.brown:
        yield (
            f"{name}: the cells were looked for without the brown stain, which hid them; if there are brown nuclei, "
            "--route small-colour keeps the stain"
        )
    if not plan.glare:
        yield (
            f"{name}: a few places are much brighter than all the rest; the contrast was stretched for the rest, "
            "--same-contrast leaves them in"
        )
    if plan.unsure_of_size:
        yield (
            f"{name}: the cells found change with the size that is assumed for them (taken: {plan.diameter:.0f} px); "
            "look at the labels, --diameter with the true size may find others"
        )


def describe(name: str, error: Exception) -> str:
    """One line that names the file and says what to do."""
    if lacks_memory(error):
        return f"{name}: not enough memory for this image; close other programs, or cut the image into parts"
    if isinstance(error, CheckpointError):
        return f"{name}: {error}"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"{name}: the names of its results would be too long; give the file a shorter name"
    if isinstance(error, OSError):
        return f"{name}: {error.strerror or error}; check the free space and the permissions of the output folder"
    if isinstance(error, ValueError) and name in str(error):
        return str(error)
    reason = " ".join(str(error).split())
    return f"{name}: {type(error).__name__}: {reason}; run it again with -v and report what it prints"
