"""Kaggle's Sartorius cell instance segmentation: train/ID.png and train.csv, a line a cell with its run-length encoded
pixels.
"""

from functools import partial
from pathlib import Path

import numpy as np

from training.images.manifest import Problem
from training.readers.listing import Drawing, Entry, Listing, draw
from training.tables import grouped, read_table

COLUMNS = ("id", "annotation", "width", "height", "cell_type")


def list_sartorius(folder: Path, source: str) -> Listing:
    """One entry for each image, one source for each cell type.

    Cells overlap in this data set: a pixel stays with the cell whose line comes first. Images of one
    `sample_id`, taken at different times, form a group.
    """
    listing = Listing()
    table = folder / "train.csv"
    try:
        lines = read_table(table, COLUMNS)
    except ValueError as error:
        listing.problems.append(Problem(table, str(error)))
        return listing
    cells = grouped(lines, lambda line: line[1]["id"])
    images = {path.stem: path for path in listing.images_of(folder / "train")}
    if not images:
        return listing
    for identity, rows in cells.items():
        first = rows[0][1]
        image = images.pop(identity, None)
        if image is None:
            listing.report(
                folder / "train" / f"{identity}.png",
                f"no such image, {table.name} line {rows[0][0]} lists it; unpack it again, or --skip it",
            )
            continue
        drawn, group = partial(draw_cells, table, rows), first.get("sample_id") or identity
        own = f"{source}_{first['cell_type']}"
        listing.entries.append(Entry(image, drawn, "train", own, "phase", name=identity, group=group))
    for path in images.values():
        listing.report(path, f"no cell of this image in {table.name}; copy that file again, or --skip the image")
    return listing


def draw_cells(table: Path, rows: list[tuple[int, dict[str, str]]], shape: tuple[int, int]) -> Drawing:
    """Labels of one image from its (line number, line) of `table`; raises ValueError naming the line."""
    cells = []
    for number, row in rows:
        if (row["height"], row["width"]) != (str(shape[0]), str(shape[1])):
            raise ValueError(
                f"{table}: line {number} says {row['height']}x{row['width']} pixels for an image of "
                f"{shape[0]}x{shape[1]} ({row['id']}); copy both again"
            )
        try:
            cells.append(decode_runs(row["annotation"], shape[0] * shape[1]))
        except ValueError as error:
            raise ValueError(
                f"{table}: line {number}: {error}; copy the file again, or --skip {row['id']}.png"
            ) from None
    return draw(cells, shape)


def decode_runs(text: str, size: int) -> np.ndarray:
    """Pixels of a run-length encoding "start length start length ...".

    Parameters
    ----------
    text : starts count from 1, along the rows
    size : number of pixels of the image

    Returns
    -------
    int64 array of shape (n,), row-major indices that count from 0.

    Raises
    ------
    ValueError
        If the text is no such encoding or leaves the image.

    Examples
    --------
    >>> decode_runs("1 2 6 1", 6)
    array([0, 1, 5])
    """
    try:
        numbers = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        numbers = np.zeros(0, np.int64)
    if not numbers.size or numbers.size % 2 or numbers.min() < 1:
        raise ValueError(f"the annotation must be pairs of positive integers, got {text[:40]!r}")
    starts, lengths = numbers[::2] - 1, numbers[1::2]
    if (starts + lengths).max() > size:
        raise ValueError(f"the annotation reaches pixel {(starts + lengths).max()} of an image with {size} pixels")
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())
