"""What stops a training before its end: SIGTERM, and Ctrl-C."""

import logging
import multiprocessing
import os
import signal
import socket
import threading
import time

from inference.exit_codes import INTERRUPTED
from training.learning.trainer import Stopped

log = logging.getLogger(__name__)

ONE_PRESS = 0.1  # seconds; programs around this one may hand on a Ctrl-C that has come to it already
END = 0  # in place of a signal's number


class StopSignal:
    """Whether SIGTERM has come, or Ctrl-C after `take_interrupts`, for the duration of a `with` block.

    interrupted : it was Ctrl-C
    """

    def __enter__(self) -> "StopSignal":
        self.came, self.interrupted, self._listener = False, False, None
        self._before = {signal.SIGTERM: signal.signal(signal.SIGTERM, self._note)}
        return self

    def __exit__(self, *error) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._listener:
            self._listener.close()

    def take_interrupts(self) -> None:
        """From now on Ctrl-C stops as SIGTERM does, and a second one ends the program at once. Where it is ignored, as
        in the background of a shell, it stays so.
        """
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            self._listener = _Listener()
            self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, _) -> None:
        if number == signal.SIGTERM:
            log.info("asked to stop: saving")
        self.came, self.interrupted = True, self.interrupted or number == signal.SIGINT

    def check(self) -> None:
        """Raise Stopped if the signal has come."""
        if self.came:
            raise Stopped


class _Listener:
    """Hears of signals when they come. Their handlers wait until the main thread is back from PyTorch, which can take
    as long as a step.
    """

    def __init__(self):
        self._hear, self._tell = socket.socketpair()
        self._tell.setblocking(False)
        self._before = signal.set_wakeup_fd(self._tell.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        signal.set_wakeup_fd(self._before)
        self._tell.send(bytes([END]))
        self._thread.join()
        self._hear.close()
        self._tell.close()

    def _listen(self) -> None:
        first = None
        while (number := self._hear.recv(1)[0]) != END:
            if first is None and number in (signal.SIGINT, signal.SIGTERM):
                first = time.monotonic()
                if number == signal.SIGINT:
                    log.info("asked to stop: saving; Ctrl-C again ends at once")
            elif number == signal.SIGINT and time.monotonic() - first > ONE_PRESS:
                end_at_once()


def end_at_once() -> None:
    """End this process and those that it has started."""
    log.error("stopped at once; the same command goes on from the last resume file")
    for process in multiprocessing.active_children():
        process.kill()
        process.join(1)
    logging.shutdown()
    os._exit(INTERRUPTED)
