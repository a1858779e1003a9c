"""OME-Zarr (images, plates, the layout of bioformats2raw), plain Zarr arrays, and both in a ZIP file, through zarr."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import zarr

from inference.reading import sniff
from inference.reading.absent import absent_chunks
from inference.reading.harmless import understood
from inference.reading.picture import LOST_PART, AbsentImage, ImageError
from inference.reading.plausible import check_chunks
from inference.reading.series import MOST_SAMPLES, Series
from inference.reading.stores import Chunks, StoreSettings
from inference.reading.units import micrometres
from inference.reading.whole_chunks import checked

LETTERS = {"t": "T", "time": "T", "c": "C", "channel": "C", "z": "Z", "y": "Y", "x": "X", "s": "S"}
UNTOLD = "TCZYX"  # of an array whose axes have no names, the last ones
WAY_OUT = "export it again, or save it as TIFF"


def read(path: Path, kind: str | None, settings: StoreSettings) -> list[Series]:
    """The images of a folder or ZIP file."""
    try:
        node = _open(path, kind)
        found = list(_images(path, node))
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(f"{path.name}: not an OME-Zarr image or Zarr array ({error!r}); {WAY_OUT}") from None
    if not found:
        raise ImageError(f"{path.name}: not an OME-Zarr image or Zarr array (a group without one); {WAY_OUT}")
    return found


def _open(path: Path, kind: str | None) -> zarr.Group | zarr.Array:
    if kind != sniff.ZIPPED_ZARR:
        return zarr.open(path, mode="r")
    folders = sniff.zarr_folders(path)
    top = min(folders, key=len)
    if others := [folder for folder in folders if top and not f"{folder}/".startswith(f"{top}/")]:
        second = min(others, key=len)
        raise ImageError(
            f"{path.name}: holds more than one Zarr ({top}, {second}); unpack it and give the folders in it"
        )
    return zarr.open(zarr.storage.ZipStore(path, mode="r"), mode="r", path=top)


def _images(path: Path, node: zarr.Group | zarr.Array, name: str = "") -> Iterator[Series]:
    """Every image in a node, by what its attributes say it is."""
    if isinstance(node, zarr.Array):
        axes, notes = _axes_of_array(node)
        colours = "RGB" if axes[-1] == "S" and node.shape[-1] > 2 else ""
        absent = absent_chunks(path, node)
        yield Series(_chunks(path, node), axes, "Zarr", name, colours=colours, notes=notes, warnings=absent)
        return
    attributes = dict(node.attrs)
    attributes = attributes.get("ome", attributes)
    if "multiscales" in attributes:
        images: dict[str, dict] = {}
        for scales in attributes["multiscales"]:  # those of one image differ in how smaller levels are made of it
            images.setdefault(scales["datasets"][0]["path"], scales)
        for scales in images.values():
            yield _multiscale(path, node, scales, attributes, name)
    elif "plate" in attributes:
        yield from _fields(path, node, [well["path"] for well in attributes["plate"]["wells"]])
    elif "bioformats2raw.layout" in attributes:
        yield from _parts(path, node, sorted((key for key in node.group_keys() if key.isdecimal()), key=int))
    else:
        arrays = list(node.arrays())
        if len(arrays) > 1:
            raise ImageError(
                f"{path.name}: a Zarr group of {len(arrays)} arrays that does not say which one is the image; give "
                f"that one, such as {path / arrays[0][0]}"
            )
        for _, array in arrays:
            yield from _images(path, array, name)


def _fields(path: Path, plate: zarr.Group, wells: Sequence[str]) -> Iterator[Series]:
    """The fields of a plate."""
    names = []
    for well in wells:
        if well in plate:
            fields = dict(plate[well].attrs)
            names += [f"{well}/{field['path']}" for field in fields.get("ome", fields)["well"]["images"]]
        else:
            names.append(well)
    yield from _parts(path, plate, names)


def _parts(path: Path, whole: zarr.Group, names: Sequence[str]) -> Iterator[Series]:
    """The images of a plate or a recording. Those that its metadata name and that are not there or empty, as in a part
    of a plate, are told; raises ImageError if there are no others.
    """
    found: list[Series] = []
    absent: list[str] = []
    for name in names:
        if name not in whole:
            absent.append(name)
            continue
        try:
            found += list(_images(path, whole[name], name))
        except AbsentImage as error:
            absent.append(f"{name} ({str(error).removeprefix(f'{path.name}: ')})")
    if absent and not found:
        raise ImageError(f"{path.name}: of its {len(absent)} images none is there: {absent[0]}; copy it again")
    for number, series in enumerate(found):
        said = () if number or not absent else (f"left out, as they are not there: {', '.join(absent)}",)
        yield replace(series, warnings=(*said, *series.warnings))


def _chunks(path: Path, array: zarr.Array) -> Chunks:
    check_chunks(path, array.shape, array.chunks)
    return Chunks(path, checked(array))


def _axes_of_array(array: zarr.Array) -> tuple[str, tuple[str, ...]]:
    """From the names that Zarr 3, xarray or GDAL give to the axes, else by their number, or by a last one that is too
    short for columns; and what is to be said of that."""
    names = getattr(array.metadata, "dimension_names", None) or dict(array.attrs).get("_ARRAY_DIMENSIONS")
    letters = "".join(LETTERS.get(str(name).casefold(), "?") for name in names or ())
    if {"Y", "X"} <= set(letters):
        return letters, ()
    samples = array.ndim > 2 and array.shape[-1] <= MOST_SAMPLES
    last = ("S" if array.shape[-1] == 3 else "C") * samples
    untold = UNTOLD.replace("C", "") if last else UNTOLD
    count = array.ndim - samples
    return "?" * (count - len(untold)) + untold[-count:] + last, ("axes taken from the lengths",) * samples


def _multiscale(path: Path, group: zarr.Group, scales: dict, attributes: dict, name: str) -> Series:
    """An image at several resolutions, of which the first one is the full one."""
    dataset = scales["datasets"][0]
    if dataset["path"] not in group:
        raise AbsentImage(f"{path.name}: {LOST_PART} ({dataset['path']}, its full resolution); copy it again")
    array = group[dataset["path"]]
    axes = [axis if isinstance(axis, dict) else {"name": axis} for axis in scales.get("axes", ())]
    told = (LETTERS.get(axis["name"].casefold()) or LETTERS.get(str(axis.get("type")), "?") for axis in axes)
    letters = "".join(told) or UNTOLD[-array.ndim :]
    if len(letters) != array.ndim:
        letters = "?" * array.ndim  # for --axes to say
    none: tuple[str, ...] = ()
    labels, not_labels = understood(lambda: _labels(attributes), none)
    size, no_size = understood(lambda: _pixel_size(axes, [scales, dataset]), None)
    return Series(
        _chunks(path, array),
        letters,
        "OME-Zarr",
        name or str(scales.get("name", "")),
        labels,
        pixel_size=size,
        warnings=(*absent_chunks(path, array), *not_labels, *no_size),
    )


def _labels(attributes: dict) -> tuple[str, ...]:
    """Names of the channels; () where none has one."""
    labels = tuple(str(channel.get("label", "")) for channel in attributes.get("omero", {}).get("channels", ()))
    return labels if any(labels) else ()


def _pixel_size(axes: list[dict], transformed: list[dict]) -> tuple[float, float] | None:
    """(y, x) in micrometres, where the axes have units and there is a scale."""
    scale = np.ones(len(axes))
    scaled = False
    for transform in (t for part in transformed for t in part.get("coordinateTransformations", ())):
        if transform.get("type") == "scale":
            if len(transform["scale"]) != len(axes):
                raise ValueError(f"a scale of {len(transform['scale'])} numbers for {len(axes)} axes")
            scale = scale * transform["scale"]
            scaled = True
    sizes = {axis["name"].casefold(): micrometres(length, axis.get("unit") or "") for axis, length in zip(axes, scale)}
    y, x = sizes.get("y"), sizes.get("x")
    return (y, x) if scaled and y and x else None
