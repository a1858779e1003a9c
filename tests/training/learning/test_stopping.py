"""training.learning.stopping: SIGTERM and Ctrl-C in a training; what is ignored stays ignored."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.learning import stopping
from training.learning.stopping import StopSignal
from training.learning.trainer import Stopped

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def interruptible():
    """Ctrl-C as in the foreground of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number, interrupted", [(signal.SIGTERM, False), (signal.SIGINT, True)])
def test_a_signal_is_noted_and_all_is_as_before_afterwards(number, interrupted):
    handlers = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    with StopSignal() as stop:
        stop.take_interrupts()
        stop.check()
        os.kill(os.getpid(), number)
        assert (stop.came, stop.interrupted) == (True, interrupted)
        with pytest.raises(Stopped):
            stop.check()
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert signal.set_wakeup_fd(-1) == -1


def test_before_there_is_anything_to_save_an_interrupt_ends():
    with pytest.raises(KeyboardInterrupt), StopSignal():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def test_what_a_shell_has_made_ignored_stays_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with StopSignal() as stop:
        stop.take_interrupts()
        os.kill(os.getpid(), signal.SIGINT)
        assert not stop.came


def test_an_interrupt_that_is_handed_on_counts_once(monkeypatch):
    """The second one would end these tests."""
    monkeypatch.setattr(stopping, "ONE_PRESS", 3600)
    with StopSignal() as stop:
        stop.take_interrupts()
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.interrupted


TWICE = """
import ctypes, logging, multiprocessing, os, signal, time
from training.learning.stopping import StopSignal
logging.basicConfig(level="INFO", format="%(message)s")
signal.signal(signal.SIGINT, signal.default_int_handler)
def work():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
worker = multiprocessing.get_context("fork").Process(target=work, daemon=True)
worker.start()
with StopSignal() as stop:
    stop.take_interrupts()
    print(worker.pid, flush=True)
    end = time.time() + 60
    while time.time() < end:
        ctypes.CDLL(None).sleep(60)  # as a long step: no handler runs before it is over
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs fork and the C library")
def test_a_second_interrupt_ends_at_once_with_all_processes():
    with subprocess.Popen(
        [sys.executable, "-c", TWICE], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            worker = int(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            assert any("ends at once" in line for line in iter(process.stderr.readline, ""))
            time.sleep(2 * stopping.ONE_PRESS)
            process.send_signal(signal.SIGINT)
            process.wait(timeout=30)
            said = process.stderr.read()
        finally:
            process.kill()
    assert process.returncode == 130
    assert "goes on from the last resume file" in said
    assert "Traceback" not in said
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
