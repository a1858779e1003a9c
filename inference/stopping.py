"""Ctrl-C and SIGTERM: both end a run as KeyboardInterrupt does.

Python throws an exception away that is raised while it takes an object down. So what was asked for is kept, too, and
looked at between images and tiles.
"""

import signal

_asked = False


def listen() -> None:
    """From now on both signals end the program."""
    signal.signal(signal.SIGTERM, _stop)  # which the first process of a container would ignore
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in the background of a shell
        signal.signal(signal.SIGINT, _stop)


def _stop(number: int, frame: object) -> None:
    global _asked
    _asked = True
    raise KeyboardInterrupt


def check() -> None:
    """Raise KeyboardInterrupt if a signal has come that was not heard."""
    if _asked:
        raise KeyboardInterrupt
