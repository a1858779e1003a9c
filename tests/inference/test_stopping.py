"""inference.stopping: a signal ends the run, also where Python throws its exception away."""

import os
import signal
import weakref

import pytest

from inference import stopping


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(stopping, "_asked", False)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has none
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_an_exception(number):
    stopping.listen()
    stopping.check()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_an_object_is_taken_down_is_heard_later(number):
    class Thing:
        pass

    stopping.listen()
    thing = Thing()
    weakref.finalize(thing, os.kill, os.getpid(), number)
    del thing
    with pytest.raises(KeyboardInterrupt):
        stopping.check()


def test_what_a_shell_has_switched_off_stays_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stopping.listen()
    os.kill(os.getpid(), signal.SIGINT)
    stopping.check()
