"""Outlines and measurements as GeoJSON that QuPath imports as detections."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

from inference.outputs.cell_table import CellTable
from inference.outputs.polygons import PolygonStore
from inference.outputs.whole_file import whole_file

LEFT_OUT = ("label", "bbox-", "centroid", "touches_border")  # QuPath knows where its objects are
DIGITS = 6


def write_geojson(path: Path, polygons: PolygonStore, table: CellTable, place: Mapping[str, int] | None = None) -> None:
    """Write a FeatureCollection with a feature for each cell: polygon, number as the name, columns of the table.

    Parameters
    ----------
    table : as `inference.outputs.cell_table.measure_cells` gives it
    place : in a stack, see `inference.reading.Image.place`

    Notes
    -----
    Coordinates are pixels of the image, x before y. Measurements are a list of names and values, which all versions of
    QuPath read; the newer ones write a map. QuPath's own files have the plane in the geometry, too; channel -1 is all.
    """
    import shapely  # late: optional

    names = [name for name in table if not name.startswith(LEFT_OUT)]
    plane = f',"plane":{json.dumps({"c": -1, "z": place.get("Z", 0), "t": place.get("T", 0)})}}}' if place else "}"
    with whole_file(path) as partial, open(partial, "w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for numbers, batch in polygons:
            columns = [table[name][numbers - 1].tolist() for name in ("label", *names)]
            geometries = shapely.to_geojson(batch).tolist()
            for number, geometry, (label, *values) in zip(numbers.tolist(), geometries, zip(*columns)):
                measurements = [
                    {"name": name, "value": float(f"{value:.{DIGITS}g}")}
                    for name, value in zip(names, values)
                    if math.isfinite(value)
                ]
                properties = {"objectType": "detection", "name": str(label), "measurements": measurements}
                geometry = geometry.removesuffix("}") + plane
                feature = f'{{"type": "Feature", "geometry": {geometry}, "properties": {json.dumps(properties)}}}'
                file.write(("\n" if number == 1 else ",\n") + feature)
        file.write("\n]}\n")
