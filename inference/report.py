"""The report: a line for each image, of how it was read, what was found and where the time went."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from inference.outputs.table import write_table

# Of an image's way, in its order; stages that run at the same time add up to more than the time that passes.
STAGES = ("read", "normalise", "route", "load", "scale", "network", "wait", "decode", "write")
STAGE_COLUMNS = {stage: f"{stage}_seconds" for stage in STAGES}
TOLERANCE_PIXELS = 1_000_000  # the challenge allows 10 s up to this size, and 10 s per this many pixels above
TOLERANCE_SECONDS = 10.0


@dataclass(frozen=True)
class ReportRow:
    """A line of the report; what does not apply is None.

    status : "done", "kept" or "failed: REASON"
    image, labels : names of the files
    dtype, axes : of the file's pixels
    class_ : of the network that ran, in words
    class_probability : the router's; None if the class was given
    uncertain_route : 1 if the router left open which class it is
    scale : working size over image size
    tiles, empty_tiles, cells, seam_cells, cut_cells : see `inference.tiles.Tally`
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
    cells: int | None = None
    class_: str | None = None
    class_probability: float | None = None
    uncertain_route: int | None = None
    cell_diameter_px: float | None = None
    scale: float | None = None
    tiles: int | None = None
    empty_tiles: int | None = None
    seam_cells: int | None = None
    cut_cells: int | None = None
    tolerance_seconds: float | None = None
    stages: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    peak_memory_mb: int | None = None
    device: str | None = None

    @property
    def failed(self) -> bool:
        return self.status.startswith("failed")

    def columns(self) -> dict[str, str | int | float | None]:
        """The line as a table has it, with a column for the seconds of each stage."""
        row: dict[str, str | int | float | None] = {}
        for name in (f.name for f in fields(self)):
            if name == "stages":
                row |= {column: round(self.stages[stage], 3) if stage in self.stages else None for stage, column in STAGE_COLUMNS.items()}
            else:
                row[name.removesuffix("_")] = getattr(self, name)
        return row


def write_report(path: Path, rows: Sequence[ReportRow]) -> None:
    """JSON for a name that ends in .json, else CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, [row.columns() for row in rows])


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
