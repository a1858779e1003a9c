"""How large a pixel is, in micrometres."""

from typing import NamedTuple

ISOTROPIC = 0.01  # height and width may differ by this share where a length is to be given in micrometres


class PixelSize(NamedTuple):
    """Height and width of a pixel in µm."""

    y: float
    x: float

    @property
    def area(self) -> float:
        """Of a pixel in µm²."""
        return self.y * self.x

    @property
    def side(self) -> float | None:
        """Of a square pixel in µm; None where height and width differ by more than `ISOTROPIC`."""
        return self.x if abs(self.y / self.x - 1) <= ISOTROPIC else None
