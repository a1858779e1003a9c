"""Outlines as text, a line a cell, as Cellpose writes them: x,y,x,y,... in pixels."""

from pathlib import Path

from inference.outputs.polygons import PolygonStore, largest_ring
from inference.outputs.whole_file import whole_file


def write_outlines_txt(path: Path, polygons: PolygonStore) -> None:
    """Line n is the outer outline of cell n along its pixels, without holes; the largest one if it is in pieces."""
    with whole_file(path) as partial, open(partial, "w", encoding="ascii") as file:
        for _, batch in polygons:
            for polygon in batch:
                file.write(",".join(map(str, largest_ring(polygon).ravel().tolist())) + "\n")
