"""How large a pixel is, in micrometres."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from inference.reading import Picture

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
    def of(cls, picture: "Picture") -> "PixelSize | None":
        """Of an image, where its file tells it."""
        return cls(*picture.pixel_size) if picture.pixel_size else None
