"""Hear what is logged, to keep it or to hand it on."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Listener(logging.Handler):
    """Calls a function with each record of a log."""

    def __init__(self, take: Callable[[logging.LogRecord], None], level: int = logging.NOTSET):
        super().__init__(level)
        self.take = take

    def emit(self, record: logging.LogRecord) -> None:
        self.take(record)


@contextmanager
def heard(logger: logging.Logger, take: Callable[[logging.LogRecord], None]) -> Iterator[None]:
    """A function is called with each record of a log meanwhile."""
    listener = Listener(take)
    logger.addHandler(listener)
    try:
        yield
    finally:
        logger.removeHandler(listener)
