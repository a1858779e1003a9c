"""What all commands have in common: the manual, the log, some kinds of argument, and the exit code.

    0   done
    1   something of it failed: the log names it, the rest was done
    2   nothing could be done: a wrong option, a missing file, a manifest that cannot be read; one line says what to do
    130 Ctrl-C stopped it; one line says how to go on

A training that SIGTERM stopped ends with 143.
"""

import argparse
import functools
import io
import logging
import math
import os
import sys
from collections.abc import Callable

from inference.exit_codes import INTERRUPTED
from models.classes import find_class

log = logging.getLogger(__name__)

DONE, PARTLY, NOTHING = 0, 1, 2

Main = Callable[[list[str] | None], int]

_running = 0  # commands, one within the other


def command(main: Main | None = None, *, clock: bool = False) -> Main:
    """Decorator of a command's `main(argv=None)`: sets up the log, and makes of an OSError or a ValueError a line and
    code 2, and of Ctrl-C a line and code 130; within another command, and under torchrun, Ctrl-C stays an exception.

    Parameters
    ----------
    clock : begin each line of the log with the time of the day
    """
    if main is None:
        return functools.partial(command, clock=clock)

    @functools.wraps(main)
    def guarded(argv: list[str] | None = None) -> int:
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(message)s" if clock else "%(message)s", datefmt="%H:%M:%S"
        )
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # names of files may be no letters
        global _running
        _running += 1
        try:
            return main(argv)
        except (OSError, ValueError) as error:
            log.error("%s", error)
            return NOTHING
        except KeyboardInterrupt as stopped:
            if _running > 1 or int(os.environ.get("WORLD_SIZE", 1)) > 1:
                raise
            log.error("%s", str(stopped) or "stopped before the end; give the same command again")
            return INTERRUPTED
        finally:
            _running -= 1

    return guarded


def manual(module: str, text: str) -> argparse.ArgumentParser:
    """A parser that prints a module's docstring as it is."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}", description=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """--device, for `inference.network.choose_device`."""
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="[auto: the GPU if there is one]"
    )


def class_number(text: str) -> int:
    """A class of images, by its number or its name."""
    try:
        return find_class(text).number
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def whole(text: str) -> int:
    """A whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def above_zero(text: str) -> float:
    """A positive number."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"must be more than 0, got {text}")
    return value


def fraction(text: str) -> float:
    """A number in [0, 1)."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 0 and below 1, got {text}")
    return value


def minutes(text: str) -> float:
    """A positive number."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be more than 0 minutes, got {text}")
    return value


def share(text: str) -> float:
    """A number above 0 and up to 1."""
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be more than 0 and at most 1, got {text}")
    return value
