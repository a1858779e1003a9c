"""The standard streams: work goes on where they are closed, full or broken, and names cannot play tricks on a
terminal.
"""

import logging
import os
import sys
import unicodedata
from contextlib import suppress
from typing import IO

# Unicode's categories: control, format (as that which reverses text), separators, surrogates.
CONTROLS = ("Cc", "Cf", "Zl", "Zp", "Cs")


def escaped(text: str) -> str:
    """The text with what is no letter, sign or space written as an escape.

    Examples
    --------
    >>> escaped("a\\x1b[2J\\n.tif")
    'a\\\\x1b[2J\\\\n.tif'
    """
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in CONTROLS else c for c in text)


class EscapingFormatter(logging.Formatter):
    """Log lines whose message is one line, whatever is in the names that it tells; a traceback follows as it is."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = escaped(record.message)
        return super().formatMessage(record)


class SafeStream:
    """A stream whose failures are nobody's concern: what cannot be said is not said."""

    def __init__(self, stream: IO[str]):
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, ValueError):  # full, broken, or closed
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def secure_streams() -> None:
    """Make the standard streams safe: to be called first of all.

    A closed one is opened on nothing; else the next file that is opened would take its place, and what libraries say
    would go there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name) or open(os.devnull, "w")
        with suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, SafeStream(stream))
