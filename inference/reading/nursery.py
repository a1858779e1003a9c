"""A small process that makes others, one for each file: what a file does to the code that decodes it happens there, and
ends there.

It is forked before PyTorch and its threads are there, or started anew where they are. Each child is a copy of it, with
the libraries that decode loaded already, made in milliseconds.
"""

import faulthandler
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection

MOST_MESSAGE = 2**16  # bytes
CLOSING_SECONDS = 10  # that a nursery may take to end its children
THREADED = ("torch", "numba")  # a process that has imported these may have threads that a copy of it would lack


@dataclass
class Child:
    """One of the processes.

    connection : to it
    """

    connection: Connection
    _nursery: "Nursery"
    _number: bytes

    def end(self) -> str:
        """Kill the process, if it still runs. Name of the signal that ended it, "SIGKILL" if it was this one; else
        "".
        """
        self.connection.close()
        with suppress(OSError):  # the nursery may have ended before, and its children with it
            return self._nursery.ask(b"end " + self._number).decode().strip()
        return ""


class Nursery:
    """The process, for the one that started it.

    Parameters
    ----------
    work : name of a function, "module:function". A child calls it with its connection, and ends when it returns
    """

    def __init__(self, work: str):
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        process = None
        with theirs:
            if sys.platform == "linux" and threading.active_count() == 1 and not set(THREADED) & set(sys.modules):
                if not os.fork():
                    self._ours.close()
                    _serve_and_exit(theirs, work)
            else:
                command = (
                    f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; "
                    f"main({theirs.fileno()}, {work!r})"
                )
                process = subprocess.Popen(
                    [sys.executable, "-c", command], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
                )
        self._close = weakref.finalize(self, _close, self._ours, process)

    def child(self, loaded: Collection[str] = ()) -> Child:
        """A new process, whose nursery has the modules `loaded`. Raises OSError if there is no nursery any more."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            number = self.ask(b"fork " + " ".join(loaded).encode(), theirs.fileno())
            return Child(Connection(ours.detach()), self, number)

    def ask(self, request: bytes, *files: int) -> bytes:
        """The nursery's answer. Raises OSError if there is none."""
        with self._lock:
            socket.send_fds(self._ours, [request], files)
            answer = self._ours.recv(MOST_MESSAGE)
        if not answer:
            raise OSError("the process that starts the readers of files has ended")
        return answer

    def peak_memory(self) -> int:
        """Bytes that the largest child that has ended had in memory."""
        return int(self.ask(b"memory")) * 1024

    def close(self) -> None:
        """End the nursery and all of its children; so it ends when nobody refers to it any more, too."""
        self._close()


def _close(ours: socket.socket, process: subprocess.Popen | None) -> None:
    ours.close()  # which tells the nursery to end
    if process is None:
        return
    try:
        process.wait(CLOSING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(control: int, work: str) -> None:
    """The nursery in an interpreter of its own."""
    _serve_and_exit(socket.socket(fileno=control), work)


def _serve_and_exit(control: socket.socket, work: str) -> None:
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the program, which then ends this process
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        faulthandler.disable()  # that a decoder crashes is told in one line
        _serve(control, work)
        code = 0
    finally:
        os._exit(code)  # what is left of the program's own state is none of this process's business


def _serve(control: socket.socket, work: str) -> None:
    """Make children until the program is gone; also the way of a child, which returns when its work is done."""
    module, function = work.split(":")
    call = getattr(import_module(module), function)
    children: set[int] = set()
    while True:
        request, files, *_ = socket.recv_fds(control, MOST_MESSAGE, 1)
        if not request:
            break
        kind, *words = request.decode().split()
        if kind == "memory":
            import resource

            control.send(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss).encode())
            continue
        if kind == "end":
            control.send(_end(int(words[0])).encode() or b" ")
            children.discard(int(words[0]))
            continue
        for name in words:
            import_module(name)
        number = os.fork()
        if not number:
            control.close()
            with suppress(EOFError, OSError):  # the program wants no answer any more
                call(Connection(files[0]))
            return
        os.close(files[0])
        children.add(number)
        control.send(str(number).encode())
    for number in children:
        _end(number)


def _end(number: int) -> str:
    """Kill a child; name of the signal that ended it, or ""."""
    os.kill(number, signal.SIGKILL)  # it may have ended, but its number is taken until it is waited for
    _, status = os.waitpid(number, 0)
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else ""
