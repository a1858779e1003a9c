"""inference.machine: quotas and limits of memory and processors; the start that goes by them, inference.start, too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference import machine

ROOT = Path(__file__).parents[2]


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Function that makes a machine of files."""

    def make(files, member="0::/"):
        root = tmp_path / "cgroup"
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        (tmp_path / "member").write_text(member + "\n")
        (tmp_path / "meminfo").write_text("MemTotal: 99 kB\nMemAvailable: 8000000 kB\nSwapFree: 0 kB\n")
        for name, place in (("CGROUPS", "cgroup"), ("MEMBERSHIP", "member"), ("MEMORY_INFO", "meminfo")):
            monkeypatch.setattr(machine, name, tmp_path / place)

    return make


@pytest.mark.parametrize(
    ("member", "files", "expected"),
    [
        ("0::/", {}, 8_000_000 * 1024),
        ("0::/", {"memory.max": "max\n", "memory.current": "5\n"}, 8_000_000 * 1024),
        (
            "0::/",
            {"memory.max": "1000\n", "memory.current": "400\n", "memory.stat": "anon 1\ninactive_file 150\n"},
            750,
        ),
        (
            "0::/a/b",
            {"a/memory.max": "1000", "a/memory.current": "100", "a/b/memory.max": "5000", "a/b/memory.current": "0"},
            900,
        ),
        ("4:cpu,memory:/a", {"memory/a/memory.limit_in_bytes": "700", "memory/a/memory.usage_in_bytes": "100"}, 600),
        (
            "4:memory:/",
            {"memory/memory.limit_in_bytes": str(2**63 - 4096), "memory/memory.usage_in_bytes": "1"},
            8_000_000 * 1024,
        ),
        ("0::/", {"memory.max": "100", "memory.current": "200"}, 0),
    ],
)
def test_memory(system, member, files, expected):
    """The least of all groups around the process and of the system; file pages that can be dropped are free."""
    system(files, member)
    assert machine.available_memory() == expected


@pytest.mark.parametrize(
    ("member", "files", "expected"),
    [
        ("0::/", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/", {"cpu.max": "50000 100000\n"}, 1),
        ("0::/", {"cpu.max": "max 100000\n"}, 64),
        ("3:cpu:/x", {"cpu/x/cpu.cfs_quota_us": "300000\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 3),
        ("3:cpu:/x", {"cpu/x/cpu.cfs_quota_us": "-1\n", "cpu/x/cpu.cfs_period_us": "100000\n"}, 64),
    ],
)
def test_processors(system, monkeypatch, member, files, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(64))
    system(files, member)
    assert machine.usable_processors() == expected


@pytest.mark.skipif(sys.platform != "linux", reason="needs ulimit -v")
@pytest.mark.parametrize("kilobytes", [250_000, 700_000])
def test_too_little_memory_for_the_program_is_said_in_one_line(tmp_path, kilobytes):
    """NumPy cannot be loaded, or PyTorch."""
    (tmp_path / "a.pgm").write_bytes(b"P5 4 4 255\n" + bytes(16))
    program = f"{sys.executable} {ROOT / 'predict.py'} -i {tmp_path / 'a.pgm'} -o {tmp_path / 'out'}"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v {kilobytes}; {program}"],
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: not enough memory for the program itself")
    assert len(done.stderr.splitlines()) == 1


def test_threads_are_told_before_libraries_make_theirs():
    """NumPy makes its own when it is imported."""
    code = "import sys, inference.start as start; print(sorted({'numpy', 'cv2', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "[]\n"


def test_threads_follow_the_quota_but_not_against_the_user(monkeypatch):
    monkeypatch.setattr(machine, "usable_processors", lambda: 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    for name in ("NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        monkeypatch.setenv(name, "0")  # so that what is there is brought back after the test
        monkeypatch.delenv(name)
    machine.threads_follow_quota()
    assert os.environ["OMP_NUM_THREADS"] == "5"
    assert os.environ["NUMBA_NUM_THREADS"] == "2"
    assert os.environ["OPENCV_FOR_THREADS_NUM"] == "2"


def test_ulimit(monkeypatch):
    import resource

    monkeypatch.setattr(
        resource, "getrlimit", lambda limit: (2**40, 2**40) if limit == resource.RLIMIT_AS else (-1, -1)
    )
    assert 2**39 < min(machine._ulimits()) < 2**40


START = """
import os, sys
import inference.start as module
module._run = lambda: print(os.environ.get("GOMP_SPINCOUNT"), "torch" in sys.modules) or 0
module.start()
"""


@pytest.mark.parametrize(
    "told, spins", [({}, "10000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"), ({"GOMP_SPINCOUNT": "7"}, "7")]
)
def test_threads_rest_soon_unless_the_user_has_told_how_they_wait(told, spins):
    clean = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", START], cwd=ROOT, env=clean | told, capture_output=True, text=True)
    assert done.stdout == f"{spins} False\n"
