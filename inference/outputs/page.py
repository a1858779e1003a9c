"""One HTML page for a whole run, which opens in any browser without a network: pictures, counts, sizes, warnings."""

import base64
import json
import logging
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from inference.outputs.whole_file import whole_file

if TYPE_CHECKING:
    from inference.outputs.result import Result

log = logging.getLogger(__name__)

TEMPLATE = Path(__file__).with_name("page.html")
THUMBNAIL, OVERLAY = 192, 512  # pixels on the longer side
MANY, SMALL_OVERLAY = 300, 256  # images in a run, from which the overlays are small, and how small
QUALITY = 80  # of JPEG, 0 to 100
BINS_PER_OCTAVE = 4
BINS = 12 * BINS_PER_OCTAVE  # of cell diameters, from 1 to 4096 pixels


@dataclass(frozen=True)
class PageEntry:
    """A line of the page.

    image : name of the file
    failure : why there are no labels, or None
    kind : of the image, in words
    cells : number of cells
    diameter : median diameter of the cells in pixels
    diameter_um : the same in µm, or None
    warnings : what was said about the image
    thumbnail, overlay : JPEG in base64, or empty
    sizes : (BINS,) numbers of cells by diameter, see `count_sizes`
    """

    image: str
    failure: str | None = None
    kind: str = ""
    cells: int | None = None
    diameter: float | None = None
    diameter_um: float | None = None
    warnings: tuple[str, ...] = ()
    thumbnail: str = ""
    overlay: str = ""
    sizes: tuple[int, ...] = ()


def count_sizes(areas: np.ndarray) -> tuple[int, ...]:
    """How many cells there are of each diameter, in bins that grow by a factor of 2^(1 / BINS_PER_OCTAVE).

    Parameters
    ----------
    areas : (cells,) pixels, at least 1
    """
    octaves = np.log2(np.maximum(1, np.sqrt(4 * areas / math.pi)))
    places = np.minimum(BINS - 1, (octaves * BINS_PER_OCTAVE).astype(np.int64))
    return tuple(np.bincount(places, minlength=BINS).tolist())


def embedded(picture: np.ndarray, side: int) -> str:
    """A uint8 picture, (H, W) or (H, W, 3) RGB, at most `side` pixels long and high, as JPEG in base64."""
    scale = min(1.0, side / max(picture.shape[:2]))
    size = [max(1, round(n * scale)) for n in picture.shape[1::-1]]
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    small = cv2.cvtColor(small, cv2.COLOR_RGB2BGR) if small.ndim == 3 else small
    ok, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    assert ok, "OpenCV encodes any uint8 picture"
    return base64.b64encode(data.tobytes()).decode("ascii")


class Page:
    """Collects the entries of a run, in an unnamed file beside the page, and writes the page at the end. A context: the
    file lasts as long.

    Parameters
    ----------
    title : shown above the table

    Attributes
    ----------
    broken : whether an entry, or the page, could not be written
    """

    def __init__(self, path: Path, title: str):
        self.path, self.title = path, title
        self._entries = tempfile.TemporaryFile("w+", dir=path.parent, encoding="utf-8")
        self._sizes = np.zeros(BINS, np.int64)
        self._images = self._cells = self._failed = 0
        self.broken = False
        self._places: list[tuple[tuple[int, int], int]] = []  # of each entry on the page, and in the file

    def add(self, entry: PageEntry, place: tuple[int, int] = (0, 0)) -> None:
        """One more image, which stands behind those of smaller places, and behind those of its own that came before."""
        try:
            start = self._entries.tell()
            self._entries.write(json.dumps(asdict(entry)) + "\n")
            self._entries.flush()
        except OSError as error:
            if not self.broken:
                log.error(
                    "%s: the page cannot be kept (%s); the images are done all the same", self.path, error.strerror
                )
            self.broken = True
            return
        self._places.append((place, start))
        self._images += 1
        self._cells += entry.cells or 0
        self._failed += entry.failure is not None
        if entry.sizes:
            self._sizes += entry.sizes

    def add_failure(self, image: str, reason: str, place: tuple[int, int] = (0, 0)) -> None:
        """An image that could not be done."""
        self.add(PageEntry(image, reason), place)

    def add_kept(self, image: str, cells: int | None) -> None:
        """An image whose labels an earlier run has left."""
        self.add(PageEntry(image, cells=cells, warnings=("kept as an earlier run has left it",)))

    def add_result(self, image: str, result: "Result", warnings: Sequence[str] = ()) -> None:
        """An image that is done, and what was said about it."""
        areas = result.extents.area[1:]
        diameter = float(np.median(np.sqrt(4 * areas / math.pi))) if len(areas) else None
        side = result.pixel_size.side if result.pixel_size else None
        self.add(
            PageEntry(
                image,
                kind=result.plan.image_class.name,
                cells=result.labels.cells,
                diameter=diameter,
                diameter_um=diameter * side if diameter and side else None,
                warnings=tuple(warnings),
                thumbnail=embedded(result.shown, THUMBNAIL),
                overlay=embedded(result.overlay, OVERLAY if self._images < MANY else SMALL_OVERLAY),
                sizes=count_sizes(areas),
            )
        )

    def write(self) -> None:
        """Write the page of all images so far."""
        import jinja2  # late: only the page needs it

        environment = jinja2.Environment(
            autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
        )
        template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
        filled = np.flatnonzero(self._sizes)
        first, last = (int(filled[0]), int(filled[-1]) + 1) if len(filled) else (0, 0)
        stream = template.stream(
            title=self.title,
            entries=self._read(),
            images=self._images,
            cells=self._cells,
            failed=self._failed,
            sizes=self._sizes.tolist(),
            first=first,
            last=last,
            smallest=2 ** (first / BINS_PER_OCTAVE),
            largest=2 ** (last / BINS_PER_OCTAVE),
        )
        stream.enable_buffering(16)
        with whole_file(self.path) as partial, open(partial, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(stream)

    def __enter__(self) -> "Page":
        return self

    def __exit__(self, *error) -> None:
        with suppress(OSError):  # what could not be written before
            self._entries.close()

    def _read(self) -> Iterator[dict]:
        for _, start in sorted(self._places):
            self._entries.seek(start)
            yield json.loads(self._entries.readline())
