"""Small files of every supported kind, and what chance and bad intent make of them: for `tests.fuzz`."""

import os
import random
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import tifffile
import zarr

Content = bytes | dict[str, bytes]  # of a file, or of the files in a folder by their names


def gray() -> np.ndarray:
    """Something like cells, (48, 64) uint8."""
    random_numbers = np.random.default_rng(0)
    picture = random_numbers.integers(1, 40, (48, 64), np.uint8)
    for y, x in random_numbers.integers(5, 43, (6, 2)).tolist():
        cv2.circle(picture, (x, y), 4, 200, -1)
    return picture


def seeds() -> dict[str, Content]:
    """A small file of each kind: name -> content. Kinds whose package is not installed are left out."""
    with tempfile.TemporaryDirectory() as folder:
        for write in (_tiffs, _rasters, _zarrs, _czi, _dicom, _heic):
            try:
                write(Path(folder))
            except ImportError:
                continue
        return {path.name: _content(path) for path in sorted(Path(folder).iterdir())}


def _content(path: Path) -> Content:
    if path.is_file():
        return path.read_bytes()
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def write_content(path: Path, content: Content) -> None:
    """A file or folder, in the place of what was there."""
    if isinstance(content, bytes):
        path.write_bytes(content)
        return
    shutil.rmtree(path, ignore_errors=True)
    for name, part in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(part)


def _tiffs(folder: Path) -> None:
    picture = gray()
    colour = np.stack([picture, picture // 2, 255 - picture], axis=-1)
    for codec in ("none", "zlib", "lzw", "packbits", "zstd", "jpeg", "lzma"):
        tifffile.imwrite(folder / f"{codec}.tif", picture, compression=codec)
    tifffile.imwrite(folder / "tiled.tif", colour, compression="zlib", tile=(16, 16), photometric="rgb")
    tifffile.imwrite(folder / "big.tif", picture.astype(np.uint16) * 200, bigtiff=True)
    tifffile.imwrite(folder / "float.tif", picture.astype(np.float32) / 255)
    tifffile.imwrite(folder / "stack.tif", np.stack([picture] * 3), imagej=True, metadata={"axes": "ZYX"})
    channels = np.stack([picture, picture[::-1]])
    tifffile.imwrite(folder / "channels.ome.tif", channels, metadata={"axes": "CYX"}, compression="zlib")


def _rasters(folder: Path) -> None:
    picture = gray()
    colour = np.stack([picture, picture // 2, 255 - picture], axis=-1)
    for ending in ("png", "jpg", "bmp", "webp", "pgm"):
        cv2.imwrite(str(folder / f"gray.{ending}"), picture)
    for ending in ("png", "jpg", "bmp", "webp", "ppm"):
        cv2.imwrite(str(folder / f"colour.{ending}"), colour)
    (folder / "gray.jp2").write_bytes(imagecodecs.jpeg2k_encode(picture))
    (folder / "gray.jxl").write_bytes(imagecodecs.jpegxl_encode(picture))
    (folder / "colour.gif").write_bytes(imagecodecs.gif_encode(picture))
    (folder / "colour.avif").write_bytes(imagecodecs.avif_encode(colour))
    np.save(folder / "array.npy", picture)


def _zarrs(folder: Path) -> None:
    for version in (2, 3):
        group = zarr.open_group(folder / f"v{version}.zarr", mode="w", zarr_format=version)
        group.create_array("0", shape=(48, 64), chunks=(32, 32), dtype="u1")[...] = gray()
        axes = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"]
        scale = [{"type": "scale", "scale": [0.5, 0.5]}]
        told = {"multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]}
        group.attrs.update(told if version == 2 else {"ome": {"version": "0.5", **told}})
    shutil.make_archive(str(folder / "zipped.zarr"), "zip", folder / "v3.zarr")


def _czi(folder: Path) -> None:
    from pylibCZIrw import czi

    with czi.create_czi(str(folder / "a.czi")) as document:
        document.write(data=gray()[..., None], plane={"C": 0})


def _dicom(folder: Path) -> None:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    told = FileMetaDataset()
    told.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    told.MediaStorageSOPInstanceUID = "1.2.3"
    told.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(folder / "a.dcm"), {}, file_meta=told, preamble=bytes(128))
    data.SOPClassUID, data.SOPInstanceUID = told.MediaStorageSOPClassUID, told.MediaStorageSOPInstanceUID
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = 48, 64, 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 8, 8, 7, 0
    data.PixelData = gray().tobytes()
    pydicom.dcmwrite(folder / "a.dcm", data, enforce_file_format=True)


def _heic(folder: Path) -> None:
    import pillow_heif

    pillow_heif.from_bytes("L", (64, 48), gray().tobytes()).save(str(folder / "a.heic"), quality=90)


def mutant(rng: random.Random, content: Content, others: list[Content]) -> Content:
    """The file with one to eight changes, none in some; of a folder one of its files, or without it."""
    if isinstance(content, dict):
        name = rng.choice(list(content))
        rest = {other: part for other, part in content.items() if other != name}
        return rest if rng.random() < 0.2 else rest | {name: _mutant(rng, content[name], others)}
    return _mutant(rng, content, others)


def shorter(rng: random.Random, content: Content) -> Content:
    """The file without its end; the folder without one of the files that hold pixels, or with a part of it."""
    if isinstance(content, bytes):
        return content[: rng.randrange(1, len(content))]
    names = [name for name in content if not os.path.basename(name).startswith(".") and not name.endswith(".json")]
    name = rng.choice(names)
    rest = {other: part for other, part in content.items() if other != name}
    return rest if rng.random() < 0.5 else rest | {name: content[name][: rng.randrange(len(content[name]))]}


def _mutant(rng: random.Random, content: bytes, others: list[Content]) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        # Headers are short.
        place = rng.randrange(len(data) + 1) if rng.random() < 0.5 else rng.randrange(min(len(data), 200) + 1)
        length = rng.choice((1, 1, 2, 4, 16, 200))
        kind = rng.randrange(7)
        if kind == 0:
            data[place : place + length] = rng.randbytes(min(length, max(0, len(data) - place)))
        elif kind == 1:
            del data[place : place + length]
        elif kind == 2:
            data[place:place] = rng.randbytes(length)
        elif kind == 3:
            data[place : place + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\1\0", b"\xff\xff\xff\x7f")
            )
        elif kind == 4:
            data[place:place] = data[place : place + length] * rng.choice((1, 3))
        elif kind == 5:
            del data[place:]
        else:
            other = rng.choice([other for other in others if isinstance(other, bytes)])
            start = rng.randrange(len(other))
            data[place : place + length] = other[start : start + length]
        if not data:
            break
    return bytes(data)


def bombs(folder: Path) -> Iterator[Path]:
    """Small files that ask for much: pixels, chunks, memory, time."""

    def written(name: str, content: bytes) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    def chunk(kind: bytes, content: bytes) -> bytes:
        return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)

    side = 60_000
    header = side.to_bytes(4) * 2 + bytes((8, 0, 0, 0, 0))
    packed = zlib.compress(bytes(side + 1) * 1000, 9)
    yield written(
        "bomb.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )
    jpeg = bytearray(cv2.imencode(".jpg", gray())[1].tobytes())
    place = jpeg.index(b"\xff\xc0") + 5
    jpeg[place : place + 4] = (65_000).to_bytes(2) * 2
    yield written("bomb.jpg", bytes(jpeg))
    yield written("bomb.pgm", b"P5 100000 100000 255\n" + bytes(100))
    for name, options in (("strip", {"rowsperstrip": 30_000}), ("tiles", {"tile": (16_384, 16_384)})):
        zeros = zlib.compress(bytes(30_000 * 30_000 if name == "strip" else 16_384**2), 9)
        count = 1 if name == "strip" else 4
        path = folder / f"bomb_{name}.tif"
        tifffile.imwrite(
            path, iter([zeros] * count), shape=(30_000, 30_000), dtype=np.uint8, compression="zlib", **options
        )
        yield path
    zarr.create_array(folder / "bomb.zarr", shape=(200_000, 200_000), chunks=(1, 1), dtype="uint8")
    yield folder / "bomb.zarr"
    os.mkfifo(folder / "pipe.tif")
    yield folder / "pipe.tif"
    (folder / "zero.png").symlink_to("/dev/zero")
    yield folder / "zero.png"
