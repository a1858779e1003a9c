"""A cell diameter as a user gives it: in pixels, or in micrometres, which become pixels of each image."""

import re
from dataclasses import dataclass

from inference.reading.picture import ImageError, Picture

LARGEST = 100_000
UNIT = re.compile(r"\s*([0-9.]+)\s*(um|µm|μm|px)?\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Length:
    """A length in pixels, or in micrometres."""

    value: float
    micrometres: bool = False

    def pixels(self, file: str, picture: Picture) -> float:
        """The length in pixels of a picture. Raises ImageError where a length in micrometres meets a file without a
        pixel size, or with so small pixels that it is more than LARGEST."""
        if not self.micrometres:
            return self.value
        if picture.pixel_size is None:
            raise ImageError(
                f"{file}: the file does not tell the size of its pixels, so that {self.value:g} µm cannot be told in "
                "them; give --diameter in pixels"
            )
        y, x = picture.pixel_size
        pixels = max(1.0, self.value / (y * x) ** 0.5)
        if pixels > LARGEST:
            raise ImageError(
                f"{file}: {self.value:g} µm are {pixels:.0f} of its pixels, more than {LARGEST}; give --diameter in "
                "pixels, or correct the pixel size in the file"
            )
        return pixels


def parse_length(text: str) -> Length:
    """A length that a user wrote: "28", "28px", "12um" or "12µm". Raises ValueError with an example."""
    found = UNIT.fullmatch(text)
    try:
        value = float(found[1]) if found else 0.0
    except ValueError:
        value = 0.0
    micrometres = bool(found and found[2] and found[2].lower() != "px")
    if not (value > 0 if micrometres else value >= 1) or value > LARGEST:
        raise ValueError(f"--diameter {text}: expected 1 to {LARGEST} pixels, such as 28, or micrometres, such as 12um")
    return Length(value, micrometres)
