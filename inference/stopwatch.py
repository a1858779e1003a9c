"""Where the time goes: seconds of each stage of an image's way."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Seconds spent in each named stage. A stage that another one calls is not counted twice; what several threads do
    at the same time adds up to more than the time that passes. A stage belongs to one thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._own = threading.local()  # .inner: seconds of the stages within the running one

    @contextmanager
    def __call__(self, stage: str):
        start, outer, self._own.inner = time.perf_counter(), getattr(self._own, "inner", 0.0), 0.0
        try:
            yield
        finally:
            passed = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + passed - self._own.inner
            self._own.inner = outer + passed

    def steps(self, stage: str, items: Iterator) -> Iterator:
        """`items`, with the time that it takes to make them counted to a stage."""
        while True:
            with self(stage):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
