"""What of a file is wanted: which channels, which of several images, which planes."""

import re
from dataclasses import dataclass

AXES = {"T": "time points", "C": "channels", "Z": "z planes", "Y": "rows", "X": "columns", "S": "colour samples"}
PROJECTIONS = ("max", "mean")
EACH = "each"

Plane = int | str | None  # number from 1, "max", "mean", "each"; None where the file is to have a single one
Channel = int | str  # number from 1, or name


@dataclass(frozen=True)
class ReadOptions:
    """What is to be read of a file that holds more than one plane of up to three channels. All numbers count from 1.

    channels : the channels of the picture, each a tuple of channels of the file that are merged into it; None for all
    of them
    axes : letters for the axes of the file's array that are longer than 1, of T, C, Z, Y, X, S; None for what the file
    says
    series : numbers of the images of the file; None for all
    z, t : the plane, its number or a projection ("max", "mean"), or "each" for a stack of labels; None for the only one
    """

    channels: tuple[tuple[Channel, ...], ...] | None = None
    axes: str | None = None
    series: tuple[int, ...] | None = None
    z: Plane = None
    t: Plane = None

    @property
    def chosen(self) -> dict[str, int]:
        """Where the planes that a number chooses lie, from 0, such as {"T": 0}; as `inference.reading.Image.place`."""
        return {axis: plane - 1 for axis, plane in (("T", self.t), ("Z", self.z)) if isinstance(plane, int)}


DEFAULT = ReadOptions()


def parse_channels(text: str) -> tuple[tuple[Channel, ...], ...]:
    """The channels that a user wrote: "2", "3,1", "DAPI", "DAPI+WGA,GFP". Raises ValueError with an example."""
    groups = tuple(tuple(_channel(part.strip()) for part in group.split("+")) for group in text.split(","))
    if not 1 <= len(groups) <= 3 or not all(name for group in groups for name in group):
        raise ValueError(
            f"channels {text!r}: expected one to three numbers or names, separated by commas, those to be merged by +, "
            "such as 2 or DAPI,GFP or DAPI+WGA; numbers count from 1"
        )
    return groups


def _channel(text: str) -> Channel:
    return int(text) if text.isdecimal() else text


def parse_axes(text: str) -> str:
    """Letters of axes that a user wrote, such as "ZCYX". Raises ValueError with an example."""
    axes = text.upper()
    if len(set(axes)) < len(axes) or not {"Y", "X"} <= set(axes) <= set(AXES):
        raise ValueError(
            f"axes {text!r}: expected each letter once, Y and X among them, of "
            + ", ".join(f"{letter} ({name})" for letter, name in AXES.items())
            + ", such as CYX or TZYX"
        )
    return axes


def parse_series(text: str) -> tuple[int, ...]:
    """Numbers of images that a user wrote, such as "1" or "1,3-5". Raises ValueError with an example."""
    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*([1-9]\d*)(?:-([1-9]\d*))?\s*", part)
        own = range(int(found[1]), int(found[2] or found[1]) + 1) if found else ()
        if not own:
            raise ValueError(f"series {text!r}: expected numbers from 1, such as 2 or 1,3-5")
        numbers += own
    return tuple(dict.fromkeys(numbers))


def parse_plane(text: str) -> Plane:
    """A plane that a user wrote: "5", "max", "mean" or "each". Raises ValueError with an example."""
    if text in (*PROJECTIONS, EACH):
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"plane {text!r}: expected a number from 1, max, mean, or each for a stack of labels")
    return int(text)
