"""Units of length as microscopes and file formats write them."""

from typing import Any

MICROMETRES = {
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "micrometers": 1.0,
    "\\u00b5m": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "å": 1e-4,
    "angstrom": 1e-4,
    "mm": 1e3,
    "millimeter": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "inch": 25_400.0,
    "in": 25_400.0,
}
LARGEST_PIXEL = 10.0  # micrometres; above, the resolution of a file is that of a printer or a screen


def micrometres(length: Any, unit: str) -> float | None:
    """A length in micrometres; None where it is no positive number, or the unit is not one of length, such as
    "pixel"."""
    factor = MICROMETRES.get(unit.strip().casefold())
    try:
        number = float(length)
    except (TypeError, ValueError):
        return None
    return number * factor if factor and 0 < number < float("inf") else None


PLAUSIBLE = (1e-4, 1e5)  # micrometres, from less than an atom to a hand


def is_plausible(size: tuple[float, float]) -> bool:
    """Whether height and width of a pixel in micrometres can be true."""
    return all(PLAUSIBLE[0] <= length <= PLAUSIBLE[1] for length in size)
