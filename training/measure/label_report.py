"""The report of `training.label`, as commands that measure its predictions look things up in it."""

from collections.abc import Mapping
from pathlib import Path

from inference.outputs.spreadsheet import spreadsheet_safe
from training.images.manifest import Record
from training.tables import read_table

Key = tuple[str, ...]  # source, folder and name of an image, as the report has them
KEY = "source", "folder", "image"  # the columns


def read_label_report(predictions: Path, *columns: str) -> Mapping[Key, Mapping[str, str]]:
    """The rows of a folder of predictions; raises ValueError if there is no report with these columns."""
    try:
        rows = read_table(predictions / "report.csv", (*KEY, *columns))
    except ValueError as error:
        raise ValueError(f"{error}; python -m training.label makes it") from None
    return {tuple(row[name] for name in KEY): row for _, row in rows}


def key_of(record: Record) -> Key:
    """Of an image's row. `training.label` refuses two folders of one name in which images have one name."""
    return tuple(str(spreadsheet_safe(text)) for text in (record.source, record.image.parent.name, record.image.name))
