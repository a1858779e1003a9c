"""Put the reports of the parts of a run (predict.py --part) together to that of the whole run.

    python -m inference.merge_reports report.csv report-*.csv

The parts' reports are taken in the order of the numbers in their names, whatever the shell makes of it, and the lines
come as those of one run would. The exit code is that of the whole run: 0 if all images are done, 1 if some failed or a
part did not come to its end, 2 if nothing was done, or if the reports do not belong together.
"""

import re
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, zip_longest
from pathlib import Path

from inference.exit_codes import ALL_DONE, NOTHING_DONE, SOME_FAILED
from inference.outputs.table import write_table
from inference.running.report import Row, read_report

PART = "part"  # column, see `inference.running.report.ReportRow`


def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    if "-h" in words or "--help" in words:
        print((__doc__ or "").strip())
        return ALL_DONE
    if len(words) < 2 or words[0].startswith("-"):
        print((__doc__ or "").strip(), file=sys.stderr)
        return NOTHING_DONE
    merged, *parts = map(Path, words)
    try:
        reports = [read_report(part) for part in sorted(parts, key=by_number)]
        rows, unfinished = merge(reports), missing(reports)
        check_place(merged, rows)
        write_table(merged, rows)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return NOTHING_DONE
    images = [row for row in rows if not str(row["status"]).startswith("skipped")]
    failed = sum(str(row["status"]).startswith("failed") for row in images)
    print(f"{len(images)} images, {failed} failed; the report is {merged}")
    for line in unfinished:
        print(f"error: {line}; run it again with --resume, and merge once more", file=sys.stderr)
    return NOTHING_DONE if failed == len(images) else SOME_FAILED if failed or unfinished else ALL_DONE


def by_number(path: Path) -> list:
    """Orders part-2 before part-10."""
    return [(int(word), "") if word.isdecimal() else (-1, word) for word in re.split(r"(\d+)", str(path))]


def check_place(merged: Path, rows: Sequence[Row]) -> None:
    """Raise ValueError if a file would be lost: one that is no report, or a report of what is not in the parts."""
    if not merged.exists() or not merged.stat().st_size:
        return
    known = {row["image"] for row in rows}
    if any(row["image"] not in known for row in read_report(merged)):
        raise ValueError(f"{merged}: a report of other images, which would be lost; name the merged report first")


def merge(parts: Sequence[Sequence[Row]]) -> list[Row]:
    """The lines of parts 1/N to N/N as the whole run has them: an image of each part in turn, and at the end what was
    skipped, once.

    Raises ValueError if an image is in several parts.
    """
    owners: dict[object, int] = {}
    images: list[list[list[Row]]] = []
    skipped: dict[tuple, Row] = {}
    for number, part in enumerate(parts):
        own = [row for row in part if not str(row["status"]).startswith("skipped")]
        skipped |= {(row["status"], row["image"]): row for row in part if row not in own}
        images.append([list(rows) for _, rows in groupby(own, key=lambda row: row["image"])])
        for image in {row["image"] for row in own}:
            if image in owners:
                raise ValueError(f"{image} is in two of the reports; merge those of the parts of one run")
            owners[image] = number
    turns = zip_longest(*images, fillvalue=[])
    rows = [row for turn in turns for rows in turn for row in rows] + list(skipped.values())
    return [{**row, PART: None} if PART in row else row for row in rows]


def missing(parts: Sequence[Sequence[Row]]) -> list[str]:
    """What the parts of a run lack, a line for each part, by what their lines say of them. A file of several images is
    done if all of these have lines.

    Raises ValueError if they are parts of different runs.
    """
    told: dict[int, Counter] = {}  # of each part, how many images of a file have lines
    wanted: dict[object, int] = {}
    runs = set()
    for row in (row for part in parts for row in part if row.get(PART)):
        number, *run = map(int, re.findall(r"\d+", str(row[PART])))
        runs.add(tuple(run))
        own = told.setdefault(number, Counter())
        if not str(row["status"]).startswith("skipped"):
            own[row["image"]] += 1
            wanted[row["image"]] = int(row.get("images") or 1)
    if len(runs) > 1:
        raise ValueError(f"parts of {', '.join(f'{count}' for count, _ in sorted(runs))}; merge those of one run")
    lines = []
    for count, images in runs:
        for number in range(1, count + 1):
            files = told.get(number, Counter())
            done, all_files = sum(n >= wanted[file] for file, n in files.items()), len(range(number - 1, images, count))
            if done < all_files:
                lines.append(f"part {number}/{count} has {done} of {all_files} images")
    return lines


if __name__ == "__main__":
    sys.exit(main())
