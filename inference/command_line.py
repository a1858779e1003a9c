"""The command line of the program: options, log, exit code."""

import argparse
import logging
import math
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from inference import __version__
from inference.decoding.sensitivity import SENSITIVITIES
from inference.exit_codes import INTERRUPTED
from inference.outputs.overlay import COLOURS, OverlayStyle, parse_colour
from inference.outputs.products import PRODUCTS
from inference.outputs.units import Area
from inference.reading import ReadOptions
from inference.reading.options import AXES, parse_axes, parse_channels, parse_plane, parse_series
from inference.reading.safe_reading import READ_SECONDS, ReadLimits
from inference.running.batch import run
from inference.running.lengths import parse_length
from inference.running.naming import Names
from inference.running.progress import BarSafeHandler
from inference.running.request import SPLIT_PIXELS, Request
from inference.streams import EscapingFormatter
from models.classes import CLASSES, SHIPPED_WEIGHTS, find_class

Value = TypeVar("Value")

DESCRIPTION = """Find the cells in microscopy images: one label TIFF for each image file.

    python predict.py -i images/ -o labels/

In a label TIFF every cell has its own number (1, 2, 3, ...), the background is 0, and height and width are those of
the image.
"""
WIDEST = 100  # pixels, of outlines

log = logging.getLogger(__name__)


def route(text: str) -> int | None:
    """The class for --route, None for "auto"."""
    return None if text == "auto" else find_class(text).number


def parse_count(text: str) -> float:
    """A number of pixels, 1 or more. Raises ValueError for anything else."""
    value = _number(text)
    if not 1 <= value < math.inf:
        raise ValueError(f"{text}: expected a number of pixels, such as 1e9")
    return value


def parse_seconds(text: str) -> float:
    """Seconds, more than 0. Raises ValueError for anything else."""
    value = _number(text)
    if not 0 < value < math.inf:
        raise ValueError(f"{text}: expected seconds, such as 600")
    return value


def parse_part(text: str) -> tuple[int, int]:
    """Number and count for --part. Raises ValueError."""
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise ValueError(f"{text}: expected a number and how many there are, such as 3/20")
    return int(number), int(count)


def parse_width(text: str) -> int:
    """Of outlines in pixels. Raises ValueError for anything that is none."""
    value = _number(text)
    if value not in range(1, WIDEST + 1):
        raise ValueError(f"{text}: expected a number of pixels from 1 to {WIDEST}")
    return int(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def written(parse: Callable[[str], Value]) -> Callable[[str], Value]:
    """A type of an option, whose errors argparse shows as they are."""

    def convert(text: str) -> Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def parse_folder(text: str) -> Path:
    if not text:
        raise ValueError("an empty name (an unset variable?); give a folder")
    return Path(text)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add(
        "-i",
        "--input",
        dest="sources",
        nargs="+",
        action="extend",
        default=[],
        metavar="IN",
        help="image files, folders of them or patterns such as 'day*/*.tif' (TIFF, PNG, JPEG, OME-Zarr, CZI, ...: "
        "docs/formats.md)",
    )
    add("--list", dest="listed", type=Path, metavar="FILE", help="a text file with the name of an image a line")
    add("--recursive", action="store_true", help="go into folders in folders; results go to folders of the same names")
    add(
        "-o",
        "--output",
        dest="folder",
        type=written(parse_folder),
        required=True,
        metavar="OUT",
        help="folder for the label TIFFs; made if it does not exist",
    )
    add(
        "--device",
        choices=("auto", "cpu", "cuda", "mps"),
        default="auto",
        help="where to compute [auto: the GPU if there is one]",
    )
    add(
        "--weights",
        type=Path,
        default=SHIPPED_WEIGHTS,
        metavar="DIR",
        help="folder with the five networks [the shipped ones]",
    )
    add(
        "--route",
        dest="class_",
        type=written(route),
        metavar="CLASS",
        help="network to use, by number or name: "
        + "; ".join(f'{c.number} or "{c.name}": {c.shows}' for c in CLASSES)
        + " [auto: decided for each image]",
    )
    add(
        "--channels",
        type=written(parse_channels),
        metavar="LIST",
        help="channels to look at, by number from 1 or by name, up to three: 2 or DAPI,GFP; + merges some: DAPI+WGA "
        "[all, if these are three at most]",
    )
    add(
        "--series",
        type=written(parse_series),
        metavar="LIST",
        help="which positions, scenes or series of a file: 2 or 1,3-5 [all, each with its own results]",
    )
    for axis, name in (("z", "z plane"), ("t", "time point")):
        add(
            f"--{axis}",
            type=written(parse_plane),
            metavar="N|max|mean|each",
            help=f"{name} of a stack, a projection of all, or each for a stack of labels",
        )
    add(
        "--axes",
        type=written(parse_axes),
        metavar="LETTERS",
        help="what a file's axes are, if it does not tell or is wrong: letters of "
        + ", ".join(f"{a} ({n})" for a, n in AXES.items()),
    )
    add(
        "--diameter",
        type=written(parse_length),
        metavar="PX",
        help="diameter of a typical cell in pixels, or in micrometres as 12um, if the outlines show cells merged or "
        "cut to pieces [measured in each image]",
    )
    add(
        "--sensitivity",
        choices=tuple(SENSITIVITIES),
        default="normal",
        help="how readily something is taken for a cell: high finds more, and more that is none [normal]",
    )
    add(
        "--quick",
        action="store_true",
        help="let the network see each part of an image once, not also turned by half a circle: in half its time, "
        "slightly worse labels",
    )
    add(
        "--same-diameter",
        action="store_true",
        help="one cell diameter for all images, the median of what is measured in them",
    )
    add("--same-contrast", action="store_true", help="one contrast for all images, so that dim ones stay dim")
    names = parser.add_mutually_exclusive_group()
    names.add_argument(
        "--full-names",
        action="store_const",
        dest="names",
        const=Names.FULL,
        default=Names.STEM,
        help="results keep the endings of the images' names: x.tif_label.tiff",
    )
    names.add_argument(
        "--challenge-names",
        action="store_const",
        dest="names",
        const=Names.CHALLENGE,
        help="results are named after what is before the first dot, and no image is skipped for its name",
    )
    add = parser.add_argument_group("which cells are kept").add_argument
    add(
        "--min-size",
        type=written(Area.parse),
        metavar="AREA",
        help="smallest area, in pixels (30) or square micrometres (12.5um2)",
    )
    add("--max-size", type=written(Area.parse), metavar="AREA", help="largest area")
    add("--exclude-border", action="store_true", help="no cells that touch the border of the image")
    add = parser.add_argument_group("what is written beside the label TIFFs").add_argument
    for product in PRODUCTS.values():
        add(f"--{product.option}", action="store_true", help=f"NAME{product.suffix}: {product.help}")
    add("--page", type=Path, metavar="FILE", help="one HTML page with a picture, counts and warnings for each image")
    add(
        "--report",
        type=Path,
        metavar="FILE",
        help="a table with a line an image: how it was read, network, cells, seconds (.csv, or .json)",
    )
    add("--brief", action="store_true", help="the report without times and memory")
    add(
        "--overlay-colour",
        type=written(parse_colour),
        metavar="COLOUR",
        default=None,
        help=f"of the outlines: {', '.join(COLOURS)}, or a number like #ff8000 [auto: what stands out best]",
    )
    add("--overlay-width", type=written(parse_width), default=1, metavar="PX", help="of the outlines [1]")
    add("--overlay-numbers", action="store_true", help="write the number of each cell into it")
    add(
        "--tiled",
        action="store_true",
        help="label TIFFs in tiles, for viewers of whole slides; ImageJ cannot open them",
    )
    add("--colours", action="store_true", help="label TIFFs with a random colour table for ImageJ")
    add = parser.add_argument_group("how it runs").add_argument
    add(
        "--resume",
        action="store_true",
        help="keep the label files that an earlier run, stopped or killed, has left complete",
    )
    add(
        "--overwrite",
        action="store_true",
        help="also write over files that this program did not write, that were changed since, or of other images; "
        "never over an image of the run",
    )
    add(
        "--max-pixels",
        type=written(parse_count),
        metavar="N",
        help="refuse images of more pixels, such as 1e9 [any that memory allows]",
    )
    add("--timeout", type=written(parse_seconds), metavar="S", help="give an image up after so many seconds [never]")
    add(
        "--verify-weights",
        action="store_true",
        help="compare the checksums of all networks before the first image [of each when it is loaded]",
    )
    add(
        "--dry-run",
        dest="dry",
        action="store_true",
        help="only say how each file would be read, what would be written, and about how long it takes",
    )
    add = parser.add_argument_group("on more than one processor or machine (docs/cluster.md)").add_argument
    add(
        "--dask",
        metavar="ADDRESS",
        help="on a Dask cluster, given by its scheduler's address, or local: a process on each GPU or core of this "
        "machine (local:4 for four)",
    )
    add(
        "--dask-files",
        choices=("auto", "shared", "send"),
        default="auto",
        help="whether workers read the images and write the labels themselves, or these are sent [shared, if all "
        "workers see both folders]",
    )
    add(
        "--dask-split",
        dest="split_pixels",
        type=written(parse_count),
        default=SPLIT_PIXELS,
        metavar="N",
        help="images of more pixels are split among workers [2.7e8]",
    )
    add(
        "--part",
        type=written(parse_part),
        metavar="K/N",
        help="only the K-th of N parts of the images, such as 3/20; the parts of a run may go on anywhere at the same "
        "time",
    )
    add = parser.add_argument
    add("-v", "--verbose", action="store_true", help="say more")
    add("-q", "--quiet", action="store_true", help="say nothing but warnings and errors")
    add("--version", action="version", version=f"multistream-cellseg {__version__}")
    args = parser.parse_args(argv)
    if not args.sources and not args.listed:
        parser.error("no images; give files or folders with -i, or a list of them with --list")
    if args.part and (args.same_contrast or args.same_diameter):
        parser.error(
            "--part with --same-contrast or --same-diameter: each part would be measured for itself; give --diameter, "
            "or run all images at once (--dask)"
        )
    low, high = args.min_size, args.max_size
    if low and high and low.micrometres == high.micrometres and low.value > high.value:
        parser.error("--min-size is larger than --max-size: no cell would be kept")
    return args


def request_of(args: argparse.Namespace) -> Request:
    """What the options ask for: those that are named as a field of `Request` as they are, the others put together."""
    given = {field.name: getattr(args, field.name) for field in fields(Request) if hasattr(args, field.name)}
    given |= {
        "sensitivity": SENSITIVITIES[args.sensitivity],
        "reading": ReadOptions(args.channels, args.axes, args.series, args.z, args.t),
        "products": tuple(option for option in PRODUCTS if getattr(args, option)),
        "style": OverlayStyle(args.overlay_colour, args.overlay_width, args.overlay_numbers),
        "read_limits": ReadLimits(args.max_pixels, min(READ_SECONDS, args.timeout or READ_SECONDS)),
    }
    return Request(**given)


def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    level = logging.DEBUG if args.verbose else logging.WARNING if args.quiet else logging.INFO
    handler = BarSafeHandler()
    handler.setFormatter(EscapingFormatter("%(levelname)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger(__name__.split(".")[0]).setLevel(level)
    logging.addLevelName(logging.INFO, "info")
    logging.addLevelName(logging.WARNING, "warning")
    logging.addLevelName(logging.ERROR, "error")
    try:
        return run(request_of(args))
    except KeyboardInterrupt:
        log.error("interrupted; finished label files are complete")
        return INTERRUPTED
