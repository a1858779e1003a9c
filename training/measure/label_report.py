"""The report of `training.label`, as commands that measure its predictions look things up in it."""

from collections.abc import Mapping
from pathlib import Path

from inference.outputs.spreadsheet import spreadsheet_safe
from training.images.manifest import Record
from training.tables import read_table

Key = tuple[str, str]  # source and name of an image, as the report has them


def read_label_report(predictions: Path, *columns: str) -> Mapping[Key, Mapping[str, str]]:
    """The rows of a folder of predictions; raises ValueError if there is no report with these columns."""
    try:
        rows = read_table(predictions / "report.csv", ("source", "image", *columns))
    except ValueError as error:
        raise ValueError(f"{error}; python -m training.label makes it") from None
    return {(row["source"], row["image"]): row for _, row in rows}


def key_of(record: Record) -> Key:
    """Of an image's row."""
    return str(spreadsheet_safe(record.source)), str(spreadsheet_safe(record.image.name))
