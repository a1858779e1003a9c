"""Tables as CSV or JSON files."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
        self._columns, self._begun = list(columns), False
        self._file = open(path, "wb", buffering=0)  # a line that cannot be written is not tried again by the next one
        self._end, self._tail = 0, b""  # where the lines end, and what is behind them
        try:
            if self._json:
                self._put("[", b"]\n")
            else:
                self._put(self._csv_line(dict(zip(self._columns, self._columns))))
        except OSError:
            self._file.close()
            raise

    def add(self, row: Mapping) -> None:
        """One more line. In CSV, texts that a spreadsheet would compute get an apostrophe in front.

        Raises
        ------
        OSError
            If there is no room for it; the table is as before.
        """
        if self._json:
            self._put((",\n " if self._begun else "\n ") + json.dumps(row), b"\n]\n")
        else:
            self._put(self._csv_line({key: spreadsheet_safe(value) for key, value in row.items()}))
        self._begun = True

    def _csv_line(self, row: Mapping) -> str:
        line = io.StringIO(newline="")
        csv.DictWriter(line, self._columns).writerow(row)
        return line.getvalue()

    def _put(self, text: str, tail: bytes = b"") -> None:
        line = text.encode("utf-8", "backslashreplace")
        try:
            self._write(line + tail)
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._end)
                self._write(self._tail)
            raise
        self._end, self._tail = self._end + len(line), tail

    def _write(self, data: bytes) -> None:
        self._file.seek(self._end)
        while data:
            data = data[self._file.write(data) :]

    def __enter__(self) -> "GrowingTable":
        return self

    def __exit__(self, *error) -> None:
        self._file.close()
