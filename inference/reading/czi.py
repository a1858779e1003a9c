"""Zeiss CZI, through pylibCZIrw, which is Zeiss's own libCZI: every scene at full resolution, tiles put together."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pylibCZIrw import czi

from inference.reading.absent import absent_recorded
from inference.reading.harmless import understood
from inference.reading.picture import ImageError
from inference.reading.series import Series
from inference.reading.stores import Planes, StoreSettings
from inference.reading.units import micrometres

PIXELS = {
    "Gray8": (np.uint8, 1),
    "Gray16": (np.uint16, 1),
    "Gray32Float": (np.float32, 1),
    "Bgr24": (np.uint8, 3),
    "Bgr48": (np.uint16, 3),
}
WRONG = ("Bgr48", "Zstd1")  # pixels and compression that pylibCZIrw 6.1.0 makes garbage of: ZEISS/libczi, issue 167
FURTHER = {"R": "rotations", "I": "illuminations", "H": "phases", "V": "views", "B": "blocks"}


def read(path: Path, kind: str, settings: StoreSettings) -> list[Series]:
    """The scenes of a file."""
    reader = czi.CziReader(str(path))  # open until the last picture is gone
    box = reader.total_bounding_box_no_pyramid
    there = _planes(path, reader)
    stored = np.array([entries for _, *entries in there])
    first = tuple(stored.min(axis=0).tolist())  # of T, C and Z; parts of a recording keep their numbers in some files
    lengths = tuple((stored.max(axis=0) - first + 1).tolist())
    types = {reader.get_channel_pixel_type(first[1] + channel) for channel in range(lengths[1])} & PIXELS.keys()
    grays = [name for name in types if PIXELS[name][1] == 1]
    depth = max(np.dtype(PIXELS[name][0]).itemsize for name in types)
    type_ = next(
        name
        for name, (dtype, samples) in PIXELS.items()
        if np.dtype(dtype).itemsize == depth and (samples == 1) == bool(grays)
    )
    mixed = ("its channels are of gray and of colours; those of colours are taken as gray",)
    further = tuple(
        f"of its {box[axis][1]} {name} (axis {axis}) the first one is used"
        for axis, name in FURTHER.items()
        if box.get(axis, (0, 1))[1] > 1
    )
    scenes = reader.scenes_bounding_rectangle_no_pyramid or {None: reader.total_bounding_rectangle_no_pyramid}
    none: dict = {}
    image, warnings = understood(lambda: reader.metadata["ImageDocument"]["Metadata"], none)
    return [
        replace(
            series,
            warnings=(*(mixed if 0 < len(grays) < len(types) else ()), *further, *series.warnings, *warnings),
        )
        for series in (
            _scene(reader, scene, place, first, lengths, type_, kind, image, there)
            for scene, place in sorted(scenes.items(), key=lambda s: s[0] or 0)
        )
    ]


def _planes(path: Path, reader: czi.CziReader) -> set[tuple[int | None, ...]]:
    """(scene, T, C, Z) of each plane that the file holds a part of."""
    found = set()
    stored = set()

    def note(number: int, part: Any) -> bool:
        place = part.coordinate.to_dict()
        found.add((place.get("S"), *(place.get(axis, 0) for axis in "TCZ")))
        stored.add((part.pixelType.name, part.get_compression_mode().name))
        return True  # to go on

    reader.enumerate_subblocks_subset(note, only_layer0=True)
    if WRONG in stored:
        raise ImageError(
            f"{path.name}: Zeiss's library does not read colours of 16 bits in Zstandard rightly; save it from ZEN "
            "without compression, or as OME-TIFF"
        )
    return found


def _scene(
    reader: czi.CziReader,
    scene: int | None,
    place: czi.Rectangle,
    first: tuple[int, ...],
    lengths: tuple[int, ...],
    type_: str,
    kind: str,
    metadata: dict,
    there: set[tuple[int | None, ...]],
) -> Series:
    dtype, samples = PIXELS[type_]

    def numbers(entries: tuple[int, ...]) -> tuple[int, ...]:
        """Those of a plane in the file."""
        return tuple(start + entry for start, entry in zip(first, entries))

    absent = np.array([(scene, *numbers(entries)) not in there for entries in np.ndindex(lengths)]).reshape(lengths)

    def read_plane(entries: tuple[int, ...], rows: slice, columns: slice) -> np.ndarray:
        roi = (place.x + columns.start, place.y + rows.start, columns.stop - columns.start, rows.stop - rows.start)
        pixels = reader.read(roi=roi, plane=dict(zip("TCZ", numbers(entries))), scene=scene, pixel_type=type_)
        return pixels[..., ::-1] if samples == 3 else pixels[..., 0]

    store = Planes(
        (*lengths, place.h, place.w, *((samples,) if samples > 1 else ())), np.dtype(dtype), read_plane, samples > 1
    )
    return Series(
        store,
        "TCZYX" + "S" * (samples > 1),
        kind,
        "" if scene is None else f"scene {scene + 1}",
        _channels(metadata, lengths[1]),
        "RGB" if samples > 1 else "",
        pixel_size=_pixel_size(metadata),
        absent=absent if absent.any() else None,
        warnings=absent_recorded(int(absent.sum()), absent.size),
    )


def _listed(part: object, *keys: str) -> list[dict]:
    """The entries below some keys of XML as xmltodict gives it, where one alone is no list; [] where a key is
    missing."""
    for key in keys:
        part = part.get(key) if isinstance(part, dict) else None
    return part if isinstance(part, list) else [part] if isinstance(part, dict) else []


def _channels(metadata: dict, count: int) -> tuple[str, ...]:
    for keys in (
        ("Information", "Image", "Dimensions", "Channels", "Channel"),
        ("DisplaySetting", "Channels", "Channel"),
    ):
        names = tuple(str(channel.get("@Name") or "") for channel in _listed(metadata, *keys))
        if len(names) == count and any(names):
            return names
    return ()


def _pixel_size(metadata: dict) -> tuple[float, float] | None:
    lengths = {
        item.get("@Id"): micrometres(item.get("Value"), "m")
        for item in _listed(metadata, "Scaling", "Items", "Distance")
    }
    y, x = lengths.get("Y"), lengths.get("X")
    return (y, x) if y and x else None
