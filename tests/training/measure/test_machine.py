"""training.measure.machine: one line, with all that a figure depends on."""

import re
from types import SimpleNamespace

import pytest

from training.measure import machine


def test_the_line(monkeypatch):
    monkeypatch.setattr(machine, "gpu", lambda: "a card")
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: range(3), raising=False)
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (1.25, 0, 0))
    line = machine.machine()
    assert re.fullmatch(r".+, 3 cores available, \d+\.\d GiB memory, GPU: a card, load 1\.[23]", line)


def test_the_processor_is_named_as_linux_names_it(monkeypatch):
    monkeypatch.setattr(machine, "gpu", lambda: "none")
    monkeypatch.setattr(machine, "_read", lambda path: "processor\t: 0\nmodel name\t: Fast 9000\nmodel name\t: Other\n")
    assert machine.machine().startswith("Fast 9000, ")


@pytest.mark.parametrize("said, expected", [("NVIDIA H\n", "NVIDIA H"), ("", "unknown (no PyTorch here)")])
def test_the_gpu_is_asked_for_in_a_process_of_its_own(monkeypatch, said, expected):
    monkeypatch.setattr(machine.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said))
    assert machine.gpu() == expected
