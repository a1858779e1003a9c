"""How large a pixel is, in micrometres."""

from typing import NamedTuple

MICROMETRES = {2: 25_400.0, 3: 10_000.0}  # in TIFF's units of resolution, inch and centimetre
ISOTROPIC = 0.01  # height and width may differ by this share where a length is to be given in micrometres


class PixelSize(NamedTuple):
    """Height and width of a pixel in µm."""

    y: float
    x: float

    def __str__(self) -> str:
        """One number if both are equal, else height x width."""
        return f"{self.x:.6g}" if self.y == self.x else f"{self.y:.6g} x {self.x:.6g}"

    @property
    def area(self) -> float:
        """Of a pixel in µm²."""
        return self.y * self.x

    @property
    def side(self) -> float | None:
        """Of a square pixel in µm; None where height and width differ by more than `ISOTROPIC`."""
        return self.x if abs(self.y / self.x - 1) <= ISOTROPIC else None

    @classmethod
    def of_resolution(cls, resolution: tuple[tuple[float, float], int] | None) -> "PixelSize | None":
        """Of pixels per unit in (y, x) and TIFF's code of the unit; None where there is no unit or no number."""
        (y, x), unit = resolution or ((0.0, 0.0), 0)
        if unit not in MICROMETRES or not (y > 0 and x > 0):
            return None
        return cls(MICROMETRES[unit] / y, MICROMETRES[unit] / x)
