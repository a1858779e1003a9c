"""Independent programs that read what is written here, and labels with everything that outlines can go wrong on."""

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest

IMAGEJ = Path("/usr/share/java/ij.jar")


def missing(what: str) -> None:
    """Skip the test, or let it fail where all programs have to be there (.ci/run sets REQUIRE_PROGRAMS)."""
    if os.environ.get("REQUIRE_PROGRAMS"):
        pytest.fail(f"{what} is not installed, and REQUIRE_PROGRAMS asks for it")
    pytest.skip(f"needs {what}")


@pytest.fixture(scope="session")
def program() -> Callable[..., str]:
    """Function that runs an installed program and returns what it prints, or skips the test."""

    def run(name: str, *arguments: object) -> str:
        path = shutil.which(name)
        if path is None:
            missing(name)
        done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def imagej(program, tmp_path) -> Callable[..., list[str]]:
    """Function that runs a macro in Debian's ImageJ and returns the lines that it prints."""

    def run(macro: str) -> list[str]:
        if not IMAGEJ.exists():
            missing("ImageJ")
        file = tmp_path / "macro.ijm"
        file.write_text(macro)
        printed = program("xvfb-run", "-a", "java", "-cp", IMAGEJ, "ij.ImageJ", "-batch", file)
        assert "Exception" not in printed, printed
        assert "Error" not in printed, printed
        return printed.splitlines()

    return run


@pytest.fixture
def room() -> Callable[[int], AbstractContextManager]:
    """Function that gives a context in which no file gets longer than so many bytes."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


@pytest.fixture(scope="session")
def print_pixels() -> Callable[..., str]:
    """Function that gives the macro that prints the pixels of the open image from a column on, a line for each row."""
    return (
        "run('Select None'); for (y = 0; y < {height}; y++) {{ line = ''; for (x = {left}; x < {width}; x++)"
        "line = line + getPixel(x, y) + ' '; print(line); }}"
    ).format


@pytest.fixture(scope="session")
def hard_labels() -> np.ndarray:
    """Labels (24, 30) int32 of 9 cells.

    1 touches the border, 2 is a single pixel, 3 has a hole with cell 4 in it, 5 is two squares that touch at a corner,
    6 lies in two pieces, one far below the other, 7 has two holes that touch at a corner, 8 has a hole that touches its
    outside at a corner, 9 closes around a hole by two corners alone.
    """
    labels = np.zeros((24, 30), np.int32)
    labels[0:5, 0:4] = 1
    labels[2, 6] = 2
    labels[1:8, 8:15], labels[3:6, 10:13] = 3, 4
    labels[2:5, 17:20], labels[5:8, 20:23] = 5, 5
    labels[1:3, 26:29], labels[20:23, 26:29] = 6, 6
    labels[10:16, 1:7], labels[12, 3], labels[13, 4] = 7, 0, 0
    labels[10:16, 9:15], labels[11, 10], labels[10, 9] = 8, 0, 0
    labels[10:15, 17:24], labels[12:14, 19:22], labels[14, 19:22], labels[15, 19:22] = 9, 0, 0, 9
    return labels
