"""What goes on in the process that reads one file for the program: see `inference.reading.safe_reading`.

Answers are JSON and bare pixels, which can do no harm to the program, whatever a file has made of this process.
"""

import json
import logging
import os
import stat
import sys
from contextlib import suppress
from dataclasses import asdict, replace
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from inference.listening import Listener
from inference.machine import available_memory, data_bytes
from inference.reading import Image, ImageError, open_images
from inference.reading.digests import file_digest
from inference.reading.opening import OTHER_READER, READERS
from inference.reading.picture import partners_of
from inference.reading.plausible import check_header, check_memory, check_pixels
from inference.reading.sniff import kind_of
from inference.reading.stores import STORE_SETTINGS, Deferred

PIECE = 2**26  # bytes of pixels that are sent at once
ROOM = 2**28  # bytes beside the pixels: libraries that are loaded late, their tables and threads
# Modules worth loading once for all files: libraries, and what imports them.
LATE = (
    *("tifffile", "zarr", "imagecodecs", "PIL.Image", "pydicom", "cv2", "pylibCZIrw.czi", "pillow_heif"),
    *(f"{open_images.__module__.rpartition('.')[0]}.{name}" for name in sorted({*READERS.values(), OTHER_READER})),
)


def work(connection: Connection) -> None:
    """Serve one file: the request to open it comes first; each request is answered by JSON and perhaps pixels."""
    complaints = _collect_complaints()
    _limit()
    path = Path()
    images: list[Image] = []

    def answer(request: tuple) -> tuple[dict, np.ndarray | None]:
        nonlocal path
        if request[0] == "open":
            path, options, most_pixels = request[1:]
            _refuse_devices(path)
            check_header(path, kind_of(path), most_pixels)
            images[:] = open_images(path, options)
            for image in images:
                check_pixels(path, image.views[0].shape, most_pixels)
            return {
                "images": list(map(_description, images)),
                "digest": file_digest(path, partners_of(images)),
                "loaded": [m for m in LATE if m in sys.modules],
            }, None
        image, plane = images[request[1]], request[2]
        if request[0] == "load":
            view = image.views[plane].pixels
            if isinstance(view.store, Deferred) and not STORE_SETTINGS.fits_in_memory(view.nbytes):
                check_memory(path, view.shape[:2], view.nbytes)
            pixels = image.open(plane).pixels
            return {}, pixels if isinstance(pixels, np.ndarray) else None
        return {}, np.ascontiguousarray(image.views[plane].pixels[request[3]])

    while True:
        request = connection.recv()
        try:
            said, pixels = answer(request)
        except MemoryError:
            said, pixels = {"memory": available_memory()}, None
        except Exception as error:  # whatever a library raises, the program is to hear of it
            reason = " ".join(str(error).split()) or type(error).__name__
            said, pixels = {"error" if isinstance(error, ImageError) else "unexpected": reason}, None
        if pixels is not None:
            said |= {"shape": pixels.shape, "dtype": pixels.dtype.str}
        said["complaints"] = [f"{path.name}: {line}" for line in dict.fromkeys(complaints)]
        complaints.clear()
        connection.send_bytes(json.dumps(said, default=lambda number: number.item()).encode())
        if pixels is not None and pixels.size:
            data = memoryview(pixels.reshape(-1).view(np.uint8))
            for start in range(0, len(data), PIECE):
                connection.send_bytes(data[start : start + PIECE])


def _limit() -> None:
    """No more memory than there is, half of it for the program's copy of the pixels; no files written.

    Where memory ends all the same, the system is to end this process first.
    """
    with suppress(ImportError, OSError, ValueError):
        import resource

        memory = available_memory()
        if memory is not None:
            most = data_bytes() + ROOM + memory // 2
            hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
            resource.setrlimit(
                resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
            )
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _collect_complaints() -> list[str]:
    """What libraries log and warn of from now on, in this list. What they print is lost: it names no file."""
    complaints: list[str] = []
    listener = Listener(lambda record: complaints.append(" ".join(record.getMessage().split())), logging.WARNING)
    logging.getLogger().handlers[:] = [listener]
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    return complaints


def _refuse_devices(path: Path) -> None:
    """A pipe would wait for ever, a device never end."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise ImageError(
            f"{path.name}: cannot be opened ({error.strerror}); check that the file exists and may be read"
        ) from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ImageError(f"{path.name}: not a file but a pipe, socket or device; copy the image into a file")


def _description(image: Image) -> dict:
    """All of an image but its pixels."""
    return {
        "suffix": image.suffix,
        "name": image.name,
        "stack": image.stack,
        "stack_axes": image.stack_axes,
        "views": [
            {**asdict(replace(view, pixels=np.empty(0))), "pixels": [view.pixels.shape, view.pixels.dtype.str]}
            for view in image.views
        ],
    }
