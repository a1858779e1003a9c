"""Tables: for people to read, and as CSV files."""

import csv
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from inference.outputs.spreadsheet import spreadsheet_safe

Value = str | int | float | None
Item, Key = TypeVar("Item"), TypeVar("Key", bound=Hashable)


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """The items of each key, both in the order in which they come.

    Examples
    --------
    >>> grouped(["b1", "a1", "b2"], lambda name: name[0])
    {'b': ['b1', 'b2'], 'a': ['a1']}
    """
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def some(names: Sequence[str], most: int) -> str:
    """The first names, and how many more there are.

    Examples
    --------
    >>> some(["a.tif", "b.tif", "c.tif"], 2)
    'a.tif, b.tif and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def text_table(records: Sequence[Mapping[str, Value]]) -> str:
    """A line for the columns' names and one for each record; columns that are empty everywhere are left out.

    Numbers with a fraction are rounded to two decimals, below 1 to three; a value of None is "unknown", a missing one
    empty.

    Examples
    --------
    >>> print(text_table([{"image": "a.png", "seconds": 2.345, "failure": ""}, {"image": "b.png", "seconds": 0.5}]))
    image  seconds
    a.png     2.35
    b.png    0.500
    """
    columns = [c for c in columns_of(records) if any(r.get(c, "") != "" for r in records)]
    cells = [columns] + [[_text(r.get(c, "")) for c in columns] for r in records]
    widths = [max(map(len, column)) for column in zip(*cells)]
    return "\n".join(
        "  ".join(f"{cell:{'>' if i else '<'}{width}}" for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
        for row in cells
    )


def columns_of(records: Sequence[Mapping[str, Value]]) -> list[str]:
    """Of the fullest record first, "failure" last: a failed record has fewer."""
    columns = dict.fromkeys(key for r in sorted(records, key=len, reverse=True) for key in r)
    return [c for c in columns if c != "failure"] + ["failure"] * ("failure" in columns)


def _text(value: Value) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if value >= 1 or value == 0 else f"{value:.3f}"
    return "unknown" if value is None else str(value)


def markdown(records: Sequence[Mapping[str, Value]], strong: Callable[[Mapping], bool] = lambda record: False) -> str:
    """A table in Markdown with the columns of the first record; numbers with a fraction have three decimals.

    Parameters
    ----------
    strong : which records are set in bold

    Examples
    --------
    >>> print(markdown([{"source": "a", "F1": 0.5}, {"source": "all", "F1": 1.0}], lambda r: r["source"] == "all"))
    | source | F1 |
    | --- | --- |
    | a | 0.500 |
    | **all** | **1.000** |
    """
    lines = [list(records[0]), ["---"] * len(records[0])]
    for record in records:
        mark = "**" if strong(record) else ""
        cells = (f"{v:.3f}" if isinstance(v, float) else str(v) for v in map(record.get, records[0]))
        lines.append([f"{mark}{cell}{mark}" for cell in cells])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_table(path: Path, records: Sequence[Mapping[str, Value]], digits: int | None = None) -> None:
    """A CSV file with a line for each record; an existing file is replaced. No text is a formula to a spreadsheet.

    Parameters
    ----------
    digits : decimals that numbers are rounded to
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, columns_of(records))
        writer.writeheader()
        for record in records:
            writer.writerow(
                {
                    k: round(v, digits) if digits is not None and isinstance(v, float) else spreadsheet_safe(v)
                    for k, v in record.items()
                }
            )


def write_row(path: Path, record: Mapping[str, Value]) -> None:
    """Append one line to a CSV file, with a header if it is new."""
    new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, list(record))
        if new:
            writer.writeheader()
        writer.writerow(record)


def drop_rows_after(path: Path, step: int) -> None:
    """Take back the lines of a CSV file whose column step is higher, and those that a breakdown has damaged; without a
    line left, or without the file, there is none.
    """
    if not path.exists():
        return
    rows = [row for _, row in read_table(path, ("step",))]
    kept = [row for row in rows if None not in row and row["step"].isdecimal() and int(row["step"]) <= step]
    part = path.with_name(f"{path.name}.part")
    if kept:
        part.unlink(missing_ok=True)
        for row in kept:
            write_row(part, row)
        part.replace(path)
    else:
        path.unlink()


def read_table(path: Path, columns: Iterable[str]) -> list[tuple[int, dict[str, str]]]:
    """Lines of a CSV file as (line number, column -> text).

    Raises ValueError if it cannot be read or has not these columns. The message names the file.
    """
    columns = tuple(columns)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            missing = [c for c in columns if c not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{path}: no column {', '.join(missing)} in its first line; expected {', '.join(columns)}"
                )
            return [(reader.line_num, row) for row in reader]
    except OSError as error:
        raise ValueError(f"{path}: cannot be opened ({error.strerror}); check the path") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a CSV file in UTF-8 ({error}); copy it again") from None
