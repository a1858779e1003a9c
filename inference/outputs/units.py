"""Sizes as people give them on the command line."""

import re
from dataclasses import dataclass

from inference.outputs.pixel_size import PixelSize


@dataclass(frozen=True)
class Area:
    """An area in pixels, or in µm².

    Examples
    --------
    >>> Area.parse("30"), Area.parse("12.5um2")
    (Area(value=30.0, micrometres=False), Area(value=12.5, micrometres=True))
    """

    value: float
    micrometres: bool = False

    @classmethod
    def parse(cls, text: str) -> "Area":
        """Of "30" (pixels) or "12.5um2" (µm²). Raises ValueError for anything else."""
        found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) ?([uµμ]m(?:2|²|\^2))?", text.strip())
        if found is None:
            raise ValueError(f"{text!r} is no area; give pixels (30) or square micrometres (12.5um2)")
        return cls(float(found[1]), found[2] is not None)

    def in_pixels(self, pixel_size: PixelSize | None) -> float:
        """Raises ValueError where the image has no pixel size, and one is needed."""
        if not self.micrometres:
            return self.value
        if pixel_size is None:
            raise ValueError(f"the file has no pixel size, which {self.value:g} µm² asks for; give the area in pixels")
        return self.value / pixel_size.area
