"""Read the files of a run, each in a process of its own with limits on time and memory.

A file that crashes its decoder, never ends or decodes to more than there is memory for is an error of that file alone.
"""

import json
import sys
import threading
import weakref
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from inference.reading import Image, ImageError, Picture, ReadOptions, open_images
from inference.reading.digests import file_digest
from inference.reading.nursery import Child, Nursery
from inference.reading.picture import partners_of

WORK = f"{__package__}.reader_process:work"  # of each process
READ_SECONDS = 120.0  # without an answer, for opening a file or reading a part of it
CRASHES = {"SIGSEGV", "SIGBUS", "SIGABRT", "SIGILL", "SIGFPE", "SIGTRAP", "SIGSYS"}


@dataclass(frozen=True)
class ReadLimits:
    """How much a file may ask for.

    pixels : height times width of an image; None for any
    seconds : without an answer from its decoder
    """

    pixels: float | None = None
    seconds: float = READ_SECONDS


class SafeReader:
    """Opens files in processes of their own.

    Make one before PyTorch is imported: that is quicker, as the process can be forked then. Outside of Linux, which has
    what that takes, files are read in this process.
    """

    def __init__(self, limits: ReadLimits = ReadLimits()):
        self.limits = limits
        self._loaded: set[str] = set()
        self._nursery = Nursery(WORK) if sys.platform == "linux" else None

    def open_images(self, path: Path, options: ReadOptions) -> tuple[list[Image], str]:
        """As `inference.reading.open_images`, and the digest of `inference.reading.digests.file_digest`.

        Raises
        ------
        ImageError
            As there, and if the file crashes its decoder, takes too long, or needs too much memory; also later, when
            pixels are read.
        """
        if self._nursery is None:
            images = open_images(path, options)
            return images, file_digest(path, partners_of(images))
        try:
            child = self._nursery.child(self._loaded)
        except OSError:  # killed, as by a system without memory: one more try
            self._nursery = Nursery(WORK)
            child = self._nursery.child()
        file = _File(path, child, self.limits.seconds)
        said, _ = file.ask(("open", path, options, self.limits.pixels))
        self._loaded |= set(said["loaded"])
        if said["images"]:
            said["images"][0]["views"][0]["warnings"] += said["complaints"]
        return [_image(file, number, told) for number, told in enumerate(said["images"])], said["digest"]

    def peak_memory(self) -> int | None:
        """Bytes that the largest process that has read a file had in memory."""
        return self._nursery.peak_memory() if self._nursery else None


class _File:
    """The process that has a file open. It ends with the last image of it."""

    def __init__(self, path: Path, child: Child, seconds: float):
        self.path, self.seconds = path, seconds
        self._connection, self._lock = child.connection, threading.Lock()
        self._end = weakref.finalize(self, child.end)

    def ask(self, request: tuple) -> tuple[dict, np.ndarray | None]:
        """What the process says, and the pixels that it sends."""
        with self._lock:
            try:
                if not self._end.alive:
                    raise EOFError
                self._connection.send(request)
                said = json.loads(self._receive())
                pixels = None
                if "shape" in said:
                    pixels = np.empty(said["shape"], np.dtype(said["dtype"]))
                    self._fill(memoryview(pixels.reshape(-1).view(np.uint8)) if pixels.size else memoryview(b""))
            except TimeoutError:
                self._end()
                short = "--timeout is too short for it, or " if self.seconds < READ_SECONDS else ""
                raise ImageError(
                    f"{self.path.name}: its decoder gave no answer for {self.seconds:g} s; {short}the file is damaged "
                    "or of an unusual layout: save it as a plain TIFF"
                ) from None
            except (EOFError, OSError, ValueError):
                raise ImageError(f"{self.path.name}: {self._how_it_ended()}") from None
        if "error" in said:
            raise ImageError(said["error"])
        if "unexpected" in said:
            raise ImageError(
                f"{self.path.name}: the image is damaged ({said['unexpected']}); copy it again from its source"
            )
        if "memory" in said:
            left = said["memory"]
            raise ImageError(
                f"{self.path.name}: its decoder needs more memory than there is"
                + (f" ({left / 2**20:.0f} MB left)" if left is not None else "")
                + "; close other programs, raise the container's limit, or cut the image into parts"
            )
        return said, pixels

    def _how_it_ended(self) -> str:
        signal = self._end()
        if signal in CRASHES:
            return f"its decoder crashed ({signal}); the file is damaged: copy it again, or convert it to TIFF"
        return (
            "its decoder was stopped, perhaps for lack of memory; raise the container's limit, or cut the image "
            "into parts"
        )

    def _receive(self) -> bytes:
        if not self._connection.poll(self.seconds):
            raise TimeoutError
        return self._connection.recv_bytes()

    def _fill(self, data: memoryview) -> None:
        start = 0
        while start < len(data):
            if not self._connection.poll(self.seconds):
                raise TimeoutError
            start += self._connection.recv_bytes_into(data[start:])


@dataclass(frozen=True)
class RemoteRegions:
    """As `inference.reading.Regions`, of a file that another process has open."""

    shape: tuple[int, ...]
    dtype: np.dtype
    _file: _File
    _image: int
    _plane: int

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, region: tuple[slice, slice]) -> np.ndarray:
        pixels = self._file.ask(("region", self._image, self._plane, region))[1]
        assert pixels is not None, "a region is always answered by pixels"
        return pixels


def _image(file: _File, number: int, told: dict) -> Image:
    views = tuple(_view(file, number, plane, view) for plane, view in enumerate(told["views"]))

    def load(view: Picture) -> Picture:
        assert isinstance(view.pixels, RemoteRegions)
        said, pixels = file.ask(("load", number, view.pixels._plane))
        warnings = tuple(dict.fromkeys((*view.warnings, *said["complaints"])))  # said of the same file, opened twice
        return replace(view, pixels=view.pixels if pixels is None else pixels, warnings=warnings)

    return Image(told["suffix"], told["name"], tuple(told["stack"]), told["stack_axes"], views, load)


def _view(file: _File, image: int, plane: int, told: dict) -> Picture:
    shape, dtype = told["pixels"]
    told |= {key: tuple(value) for key, value in told.items() if isinstance(value, list) and key != "pixels"}
    return Picture(**{**told, "pixels": RemoteRegions(tuple(shape), np.dtype(dtype), file, image, plane)})
