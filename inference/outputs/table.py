"""Tables as CSV or JSON files."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from inference.outputs.whole_file import whole_file


def write_table(path: Path, rows: Sequence[Mapping]) -> None:
    """JSON for a name that ends in .json, else CSV with a column for each key."""
    with whole_file(path) as partial:
        with open(partial, "w", newline="", encoding="utf-8") as file:
            if path.suffix.lower() == ".json":
                json.dump(rows, file, indent=1)
            else:
                columns = list(dict.fromkeys(key for row in rows for key in row))
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(rows)
