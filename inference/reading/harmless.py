"""Metadata that pixels can do without: what is not understood is left out with a warning, and costs no labels."""

from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def understood(read: Callable[[], Value], otherwise: Value) -> tuple[Value, tuple[str, ...]]:
    """What `read` makes of some metadata; where it fails, `otherwise` and a warning, without the file's name."""
    try:
        return read(), ()
    except Exception as error:  # of whatever programs write into metadata
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        return otherwise, (f"its metadata (channel names, pixel size) are not understood and left out ({reason})",)
