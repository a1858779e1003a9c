"""What is asked of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.limits import LIMITS, Limits
from inference.outputs.filters import EVERY_CELL, CellFilter
from inference.outputs.label_tiff import LABEL_SUFFIX
from inference.outputs.overlay import OverlayStyle
from inference.outputs.pixel_size import PixelSize
from inference.outputs.products import PRODUCTS
from inference.outputs.units import Area
from inference.reading import ReadOptions
from inference.reading.safe_reading import ReadLimits
from inference.running.finding import Found, Skipped, each_once, find_images, read_list
from inference.running.lengths import Length
from inference.running.naming import Names

SPLIT_PIXELS = 2.0**28  # 16,384 x 16,384: minutes of two cores


@dataclass(frozen=True)
class Request:
    """What is asked of a run.

    sources : image files, folders of them, or patterns
    folder : for the results; made if it does not exist
    weights : folder of the five networks
    device : "auto", "cpu", "cuda" or "mps"
    class_ : 0 to 3, whose network all images are sent to; None to let the router choose
    diameter : typical cell diameter; None to measure it in each image
    sensitivity : as of `inference.decoding.sensitivity.SENSITIVITIES`
    quick : as of `inference.segmenter.Segmenter`
    same_diameter, same_contrast : measured over all images instead
    reading : channels, images and planes of the files that are wanted
    listed : text file that names more images
    recursive : whether folders in folders are gone into
    names : how results are named
    products : what is written beside the labels, names of `inference.outputs.products.PRODUCTS`
    style : of overlays
    tiled, colours : of the label TIFFs, see `inference.outputs.label_tiff.write_label_tiff`
    min_size, max_size, exclude_border : which cells are kept
    page : file for the HTML page
    report : file for the report
    brief : whether the report is without the stopwatch's columns
    resume : whether results that an earlier run has left complete are kept
    overwrite : whether files that are not this program's are written over
    read_limits : how much an image may ask for
    timeout : seconds for an image; None for any
    verify_weights : whether the checksums of all networks are compared before the first image
    dask : address of a Dask scheduler, or "local" or "local:N" for a cluster on this machine; None for this process
    dask_files : "shared" where workers see the folders, "send" where they do not, "auto" to find out
    split_pixels : of images that are split among workers, at least
    part : number and count of the part of the images that is done, such as (3, 20); None for all
    dry : whether it is only said what would be done
    quiet : whether no progress is shown
    seconds_between_lines : of the log, about the progress of one image
    """

    sources: Sequence[str | Path]
    folder: Path
    weights: Path
    device: str = "auto"
    class_: int | None = None
    diameter: Length | None = None
    sensitivity: float = 0.0
    quick: bool = False
    same_diameter: bool = False
    same_contrast: bool = False
    reading: ReadOptions = ReadOptions()
    listed: Path | None = None
    recursive: bool = False
    names: Names = Names.STEM
    products: tuple[str, ...] = ()
    style: OverlayStyle = OverlayStyle()
    tiled: bool = False
    colours: bool = False
    min_size: Area | None = None
    max_size: Area | None = None
    exclude_border: bool = False
    page: Path | None = None
    report: Path | None = None
    brief: bool = False
    resume: bool = False
    dry: bool = False
    quiet: bool = False
    seconds_between_lines: float = 30.0
    limits: Limits = LIMITS
    overwrite: bool = False
    read_limits: ReadLimits = ReadLimits()
    timeout: float | None = None
    verify_weights: bool = False
    dask: str | None = None
    dask_files: str = "auto"
    split_pixels: float = SPLIT_PIXELS
    part: tuple[int, int] | None = None

    @property
    def what_labels_depend_on(self) -> dict[str, object]:
        """Of what is asked for, by name."""
        names = (
            "class_",
            "diameter",
            "sensitivity",
            "quick",
            "same_diameter",
            "same_contrast",
            "reading",
            "tiled",
            "colours",
            "min_size",
            "max_size",
            "exclude_border",
        )
        style = self.style if "overlay" in self.products else OverlayStyle()
        return {name: getattr(self, name) for name in names} | {"style": style}

    @property
    def suffixes(self) -> list[str]:
        """Of what is written for each image, the labels first."""
        return [LABEL_SUFFIX, *(PRODUCTS[option].suffix for option in self.products)]

    def find(self) -> tuple[list[Found], list[Skipped]]:
        """The images, each one once, and what is left out."""
        images, skipped = (
            find_images(self.sources, self.recursive, self.names is Names.CHALLENGE) if self.sources else ([], [])
        )
        listed = read_list(self.listed) if self.listed else []
        return each_once((*listed, *images)), skipped

    def wanted(self, pixel_size: PixelSize | None) -> CellFilter:
        """Which cells of an image are kept. Raises ValueError where a size in µm² needs a pixel size."""
        low, high = (size.in_pixels(pixel_size) if size else None for size in (self.min_size, self.max_size))
        return CellFilter(
            EVERY_CELL.min_area if low is None else low,
            EVERY_CELL.max_area if high is None else high,
            self.exclude_border,
        )
