"""How large a pixel is, in micrometres."""

from typing import NamedTuple

MICROMETRES = {"nm": 1e-3, "µm": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "inch": 25400.0}
ISOTROPIC = 0.01  # height and width may differ by this share where a length is to be given in micrometres


class PixelSize(NamedTuple):
    """Height and width of a pixel in µm."""

    y: float
    x: float

    @classmethod
    def of(cls, y: float, x: float, unit: str) -> "PixelSize":
        """From another unit, one of `MICROMETRES`."""
        return cls(y * MICROMETRES[unit], x * MICROMETRES[unit])

    @property
    def area(self) -> float:
        """Of a pixel in µm²."""
        return self.y * self.x

    @property
    def side(self) -> float | None:
        """Of a square pixel in µm; None where height and width differ by more than `ISOTROPIC`."""
        return self.x if abs(self.y / self.x - 1) <= ISOTROPIC else None
