"""The program for Python: an array or a file in, labels and the table of cells out, the same as by the command line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from tempfile import gettempdir

import numpy as np

from inference import __version__
from inference.decoding.sensitivity import SENSITIVITIES
from inference.limits import LIMITS
from inference.outputs.cell_table import CellTable
from inference.outputs.filters import CellFilter
from inference.outputs.result import Result
from inference.reading import Picture, ReadOptions, read_image
from inference.reading.channels import MOST, RGB
from inference.running.lengths import LARGEST
from inference.segmenter import Segmenter as Networks
from models.checkpoint import read_config
from models.classes import CLASSES, SHIPPED_WEIGHTS, find_class


@dataclass(frozen=True)
class Cells:
    """The cells of an image; `labels, table = cells` takes it apart.

    labels : (H, W) int32, 0 is background, cells are 1, 2, 3, ...
    table : columns of the table, each (cells,), as of `inference.outputs.cell_table.measure_cells`; a pandas.DataFrame
        can be made of it
    image_class : in words
    diameter : typical diameter of the cells in pixels that was measured or given
    """

    labels: np.ndarray
    table: CellTable
    image_class: str
    diameter: float

    def __iter__(self) -> Iterator:
        return iter((self.labels, self.table))

    def __repr__(self) -> str:
        height, width = self.labels.shape
        cells = len(self.table["label"])
        return f"Cells({cells} of class {self.image_class!r}, diameter {self.diameter:.3g}, in {height}x{width} pixels)"


@dataclass(frozen=True)
class Facts:
    """What a segmenter is.

    version : of the program
    device : on which it computes
    weights : of each class in words, the first characters of its checkpoint's SHA-256; of a network that was fine-tuned
        beside it, as "gray, own"
    scores : of each class in words, the F1 on validation images that its checkpoint tells, or None
    """

    version: str
    device: str
    weights: dict[str, str]
    scores: dict[str, float | None]


class Segmenter:
    """Finds the cells in images. Networks are loaded once, when an image first needs them.

    Parameters
    ----------
    weights : folder of the five networks; the shipped ones if None
    device : "auto", "cpu", "cuda" or "mps"
    quick : half the network's time, slightly worse labels

    Raises
    ------
    ValueError
        If a network is missing, or there is no such device.

    Examples
    --------
    >>> from multistream_cellseg import Segmenter         # doctest: +SKIP
    >>> segmenter = Segmenter()                           # doctest: +SKIP
    >>> labels, table = segmenter.segment("nuclei.tif")   # doctest: +SKIP
    """

    def __init__(self, weights: Path | str | None = None, device: str = "auto", quick: bool = False):
        self._networks = Networks.from_folder(
            SHIPPED_WEIGHTS if weights is None else Path(weights), device, quick=quick
        )

    @property
    def facts(self) -> Facts:
        """Version, device, weights and their scores."""
        weights, scores = {}, {}
        for image_class in CLASSES:
            file = self._networks.files[image_class.number]
            weights[image_class.name] = self._networks.digest(image_class.number)
            scores[image_class.name] = read_config(file)[1].validation.get("f1")
        for number in self._networks.own_files:
            weights[f"{CLASSES[number].name}, own"] = self._networks.digest(number, own=True)
        return Facts(__version__, str(self._networks.device), weights, scores)

    def segment(
        self,
        image: np.ndarray | Path | str,
        *,
        channels: Sequence[int] | None = None,
        diameter: float | None = None,
        route: int | str | None = None,
        sensitivity: str = "normal",
        pixel_size: float | tuple[float, float] | None = None,
        min_size: float = 0,
        max_size: float = np.inf,
        exclude_border: bool = False,
    ) -> Cells:
        """Find the cells in one image.

        Parameters
        ----------
        image : array (H, W) or (H, W, C), integers or floats of any size, or the path of a file
        channels : which channels to use, up to three, counted from 0; None for all
        diameter : typical diameter of a cell in pixels; None to measure it
        route : class of the image by number or name; None to let the router choose
        sensitivity : "lowest", "low", "normal", "high" or "highest"
        pixel_size : in µm; one number, or height and width; None for what a file says
        min_size, max_size : smallest and largest area that is kept, in pixels
        exclude_border : whether cells at the image's border are left out

        Raises
        ------
        ValueError
            If the image has no pixels, another shape or type, or an option is none of those named here.
        """
        if sensitivity not in SENSITIVITIES:
            raise ValueError(f"sensitivity {sensitivity!r}: expected one of {', '.join(SENSITIVITIES)}")
        if diameter is not None and not (_is_number(diameter) and 1 <= diameter <= LARGEST):
            raise ValueError(f"diameter {diameter!r}: expected 1 to {LARGEST} pixels")
        for name, size in (("min_size", min_size), ("max_size", max_size)):
            if not _is_number(size) or np.isnan(size):
                raise ValueError(f"{name} {size!r}: expected a number of pixels")
        if channels is not None:
            if not (_are_integers(channels) and 0 < len(channels) <= MOST and min(channels) >= 0):
                raise ValueError(f"channels {channels!r}: expected one to three integers from 0, such as [0, 2]")
            channels = [int(channel) for channel in channels]
        if isinstance(image, np.ndarray):
            source, picture = Path("array"), picture_of(image, channels, pixel_size)
        elif not isinstance(image, str | PathLike):
            raise ValueError(
                "expected a NumPy array of shape (H, W) or (H, W, C), or the path of a file, got "
                f"{type(image).__name__}; numpy.asarray makes an array of lists and of other libraries' arrays"
            )
        else:
            options = ReadOptions(channels=None if channels is None else tuple((c + 1,) for c in channels))
            source, picture = Path(image), read_image(Path(image), options)
            picture = picture if pixel_size is None else replace(picture, pixel_size=_checked(pixel_size))
        segmentation = self._networks.segment(
            picture,
            class_=None if route is None else find_class(str(route)).number,
            diameter=diameter,
            sensitivity=SENSITIVITIES[sensitivity],
        )
        wanted = CellFilter(min_size, max_size, exclude_border)
        with Result(source, picture, segmentation, Path(gettempdir()), LIMITS, wanted) as result:
            return Cells(result.labels.array(), result.table, result.plan.image_class.name, result.plan.diameter)


def picture_of(
    image: np.ndarray, channels: Sequence[int] | None = None, pixel_size: float | tuple[float, float] | None = None
) -> Picture:
    """An array as a file with the same pixels would be read; parameters and errors as of `Segmenter.segment`."""
    if image.ndim not in (2, 3) or 0 in image.shape or image.dtype.kind not in "buif":
        raise ValueError(
            f"expected an array of shape (H, W) or (H, W, C) of integers or floats, got {image.dtype} {image.shape}"
        )
    if image.dtype.kind == "b":
        image = image.astype(np.uint8)
    if channels is not None:
        if image.ndim == 2 or not set(range(image.shape[2])) >= set(channels) > set():
            raise ValueError(f"channels {list(channels)}: the array has the shape {image.shape}, channels last")
        image = image[:, :, list(channels)]
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    if image.ndim == 3 and image.shape[2] > MOST:
        raise ValueError(f"{image.shape[2]} channels: choose up to {MOST} of them with channels=[0, ...]")
    colours = channels is None and image.ndim == 3 and image.shape[2] == MOST
    axes = "YX (gray)" if image.ndim == 2 else "YXS (RGB)" if colours else "YXC"
    size = None if pixel_size is None else _checked(pixel_size)
    return Picture(np.ascontiguousarray(image), axes, channels=RGB if colours else (), pixel_size=size)


def _checked(pixel_size: float | tuple[float, float]) -> tuple[float, float]:
    try:
        sizes = np.asarray(pixel_size)
    except ValueError:  # lists of several lengths
        sizes = np.asarray(None)
    numbers = sizes.dtype.kind in "iuf" and sizes.shape in ((), (1,), (2,))
    if not numbers or not np.all((sizes > 0) & (sizes < np.inf)):
        raise ValueError(f"pixel_size {pixel_size!r}: expected micrometres, one number, or height and width")
    y, x = np.broadcast_to(sizes, 2).astype(float).tolist()
    return y, x


def _is_number(value: object) -> bool:
    """Also of NumPy, and an array of one number without axes."""
    return isinstance(value, Real) or isinstance(value, np.ndarray) and not value.ndim and value.dtype.kind in "iuf"


def _are_integers(values: object) -> bool:
    return isinstance(values, Sequence | np.ndarray) and all(isinstance(value, Integral) for value in values)
