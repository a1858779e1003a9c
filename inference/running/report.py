"""The report: a line for each image, of how it was read, what was found and where the time went."""

import csv
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from inference.outputs.spreadsheet import spreadsheet_safe
from inference.outputs.table import GrowingTable, write_table

log = logging.getLogger(__name__)

# Of an image's way, in its order; stages that run at the same time add up to more than the time that passes.
STAGES = ("read", "normalise", "route", "load", "scale", "network", "wait", "decode", "write")
STAGE_COLUMNS = {stage: f"{stage}_seconds" for stage in STAGES}
STOPWATCH = ("tolerance_seconds", "stages", "seconds", "peak_memory_mb")
TOLERANCE_PIXELS = 1_000_000  # the challenge allows 10 s up to this size, and 10 s per this many pixels above
TOLERANCE_SECONDS = 10.0

Row = Mapping[str, str | int | float | None]  # of a report that was read


@dataclass(frozen=True)
class ReportRow:
    """A line of the report; what does not apply is None.

    status : "done", "kept", "failed: REASON", "skipped: REASON", or "to be done", "to be kept" of a dry run
    image, labels : names of the files
    dtype, axes, format : of the file's pixels
    series : number and name of the image in a file of several
    planes : number of planes in the stack of labels, 1 for a single one
    pixel_size_um : height and width of a pixel in µm, one number if they are equal
    removed_cells : those that were found, but are not wanted
    class_ : of the network that ran, in words
    class_probability : the router's; None if the class was given
    uncertain_route : 1 if the router left open which class it is
    own_network : 1 if the network that ran was fine-tuned on images of one's own, beside the class's
    doubts : what the program is unsure of: "class", "size" or both
    second_diameter_px : of further, much smaller cells
    size_agreement : F1 of the cells found at the next size that was tried with those found at this one
    diameter_from : "image", "option" or "all images"
    contrast : "image", "image without its brightest places", or the values of all images that become black and white
    scale : working size over image size
    tiles, empty_tiles, cells, seam_cells, cut_cells : see `inference.tiles.Tally`; cells are those that are wanted
    warnings : what was said about the image, one after the other
    images : that are wanted of the file, each with a line of its own
    part : with --part, its number and their count, and how many images all have, such as "3/20 of 1000"
    version : of the program
    weights : the first characters of the SHA-256 of the network's checkpoint
    tolerance_seconds : what the challenge allows for an image of this size, the start of the program included
    seconds : from one image to the next; of the stages the time that is spent in each
    """

    status: str
    image: str
    labels: str | None = None
    height: int | None = None
    width: int | None = None
    dtype: str | None = None
    axes: str | None = None
    format: str | None = None
    series: str | None = None
    planes: int | None = None
    pixel_size_um: str | None = None
    cells: int | None = None
    removed_cells: int | None = None
    class_: str | None = None
    class_probability: float | None = None
    uncertain_route: int | None = None
    own_network: int | None = None
    doubts: str | None = None
    cell_diameter_px: float | None = None
    second_diameter_px: float | None = None
    size_agreement: float | None = None
    diameter_from: str | None = None
    contrast: str | None = None
    scale: float | None = None
    tiles: int | None = None
    empty_tiles: int | None = None
    seam_cells: int | None = None
    cut_cells: int | None = None
    warnings: str | None = None
    images: int | None = None
    part: str | None = None
    device: str | None = None
    version: str | None = None
    weights: str | None = None
    tolerance_seconds: float | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    peak_memory_mb: int | None = None

    @property
    def failed(self) -> bool:
        return self.status.startswith("failed")

    def columns(self, brief: bool = False) -> dict[str, str | int | float | None]:
        """The line as a table has it, the stopwatch's columns last: one for the seconds of each stage; `brief` is
        without them.
        """
        row: dict[str, str | int | float | None] = {}
        for name in (f.name for f in fields(self)):
            if brief and name in STOPWATCH:
                continue
            if name == "stages":
                row |= {
                    column: round(self.stages[stage], 3) if stage in self.stages else None
                    for stage, column in STAGE_COLUMNS.items()
                }
            else:
                row[name.removesuffix("_")] = getattr(self, name)
        return row


SUMMED = ("cells", "removed_cells", "tiles", "empty_tiles", "seam_cells", "cut_cells")  # over the planes of a stack


def add_rows(rows: Sequence[ReportRow]) -> ReportRow:
    """The line of a stack, from those of its planes."""
    total = {name: sum(getattr(row, name) for row in rows) for name in SUMMED}
    stages = {
        stage: sum(row.stages.get(stage, 0.0) for row in rows)
        for stage in STAGES
        if any(stage in row.stages for row in rows)
    }
    return replace(rows[-1], **total, stages=stages)


class Report:
    """The report of a run, which is whole after each line. A context.

    Parameters
    ----------
    path : JSON for a name that ends in .json, else CSV; None for no report
    brief : without the stopwatch's columns
    part : of each line
    resume : whether images that are kept get what their lines in the report that is replaced tell of them, but for
        times and memory. Until this one is complete, the earlier lines lie in a hidden file beside it

    Attributes
    ----------
    broken : whether a line could not be written
    """

    def __init__(self, path: Path | None, brief: bool = False, part: str | None = None, resume: bool = False):
        self.path, self.brief, self.part, self._table, self.broken = path, brief, part, None, False
        self._earlier: dict[tuple[str, ...], Row] = {}
        if path is not None:
            self._aside = path.with_name(f".earlier-{path.name}")
            for place in (self._aside, path) if resume else ():
                with suppress(OSError, ValueError):  # none is there, or it cannot be read
                    self._earlier |= {_identity(row): row for row in read_report(place)}
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._earlier:
                write_table(self._aside, list(self._earlier.values()))
            self._table = GrowingTable(path, list(ReportRow("", "").columns(brief)))

    def add(self, row: ReportRow) -> None:
        """One more line. Where that fails, as on a full disk, the log says so once, and the work goes on."""
        if self._table:
            try:
                self._table.add(self._columns(row))
            except OSError as error:
                if not self.broken:
                    log.error("report: cannot be written any more (%s); lines are missing", error.strerror)
                self.broken = True

    def _columns(self, row: ReportRow) -> Row:
        """A line as the table gets it."""
        columns = replace(row, part=self.part).columns(self.brief)
        earlier = self._earlier.get(_identity(columns)) if row.status == "kept" else None
        if earlier:
            told = [name for name in ReportRow("", "").columns(brief=True) if name != "part"]
            columns |= {name: earlier.get(name) for name in told if columns[name] is None}
        return columns

    def replace(self, rows: Sequence[ReportRow]) -> None:
        """These lines instead of those so far, as where images were not done in their order."""
        if self._table:
            assert self.path is not None, "a table has a file"
            self._close()
            self._table = GrowingTable(self.path, list(ReportRow("", "").columns(self.brief)))
            for row in rows:
                self.add(row)

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, error, *more) -> None:
        self._close()
        if self._table and not (error or self.broken):
            with suppress(OSError):
                self._aside.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._table:
            with suppress(OSError):  # a full disk, which has been told
                self._table.__exit__()


def read_report(path: Path) -> list[Row]:
    """The lines of a report, CSV or JSON. Raises ValueError for any other file."""
    try:
        if path.suffix.lower() == ".json":
            rows = json.loads(path.read_text(encoding="utf-8"))
            columns = [set(row) if isinstance(row, dict) else set() for row in rows]
        else:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(table := csv.DictReader(file))
            columns = [set(table.fieldnames or ())]
        if all(names >= {"image", "status"} for names in columns):
            return rows
    except (ValueError, TypeError, csv.Error):
        pass
    raise ValueError(f"{path}: no report as predict.py --report writes it")


IDENTITY = ("image", "labels", "series", "images", "height", "width", "planes", "cells", "version")


def _identity(row: Row) -> tuple[str, ...]:
    """What lines about the same labels of the same image have in common, also if one was read from a table."""
    values = ("" if row.get(name) is None else str(spreadsheet_safe(row[name])) for name in IDENTITY)
    return tuple(value.encode("utf-8", "backslashreplace").decode() for value in values)


def time_tolerance(height: int, width: int) -> float:
    """Seconds that the challenge allows for an image, the start of the program included."""
    return TOLERANCE_SECONDS * max(1.0, height * width / TOLERANCE_PIXELS)


def peak_memory_mb() -> int | None:
    """Largest memory of this process so far; None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10))
