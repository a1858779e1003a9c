"""Tables as CSV or JSON files."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from inference.outputs.spreadsheet import spreadsheet_safe
from inference.outputs.whole_file import whole_file


def write_table(path: Path, rows: Sequence[Mapping]) -> None:
    """JSON for a name that ends in .json, else CSV with a column for each key."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with whole_file(path) as partial:
        with GrowingTable(partial, columns, json_lines=_is_json(path)) as table:
            for row in rows:
                table.add(row)


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"


class GrowingTable:
    """A table in a file that is whole after each line: JSON for a name that ends in .json, else CSV.

    Parameters
    ----------
    columns : of CSV
    """

    def __init__(self, path: Path, columns: Sequence[str], json_lines: bool | None = None):
        self._json = _is_json(path) if json_lines is None else json_lines
        self._file = open(path, "w", newline="", encoding="utf-8", errors="backslashreplace")
        self._begun = False
        if self._json:
            self._file.write("[")
            self._end = self._file.tell()
            self._file.write("]\n")
        else:
            self._writer = csv.DictWriter(self._file, list(columns))
            self._writer.writeheader()
        self._file.flush()

    def add(self, row: Mapping) -> None:
        """One more line. In CSV, texts that a spreadsheet would compute get an apostrophe in front."""
        if self._json:
            self._file.seek(self._end)
            self._file.write((",\n " if self._begun else "\n ") + json.dumps(row))
            self._end = self._file.tell()
            self._file.write("\n]\n")
        else:
            self._writer.writerow({key: spreadsheet_safe(value) for key, value in row.items()})
        self._begun = True
        self._file.flush()

    def __enter__(self) -> "GrowingTable":
        return self

    def __exit__(self, *error) -> None:
        self._file.close()
