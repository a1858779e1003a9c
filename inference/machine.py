"""What this process may use of the machine: memory and processors, as a container, `ulimit` and the system allow."""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path

try:
    import resource  # early, as nothing can be imported any more where memory has run out
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
MEMORY_INFO = Path("/proc/meminfo")
STATUS = Path("/proc/self/status")
# As the system's loader, PyTorch, OpenCV and safetensors say it.
NO_MEMORY = re.compile("failed to map segment|annot allocate memory|can't allocate memory|Insufficient memory")
# Variables by which libraries choose their number of threads.
THREADS = "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"
SPINS = "GOMP_SPINCOUNT", "10000"  # rounds of waiting; some tens of microseconds
UNLIMITED = 2**60  # bytes; version 1 of cgroups says "no limit" by a number near 2^63


def available_memory() -> int | None:
    """Bytes that this process may still take before the system or a limit stops it; None where that is not told.

    The least of what the system has, what each cgroup around the process leaves (versions 1 and 2; cached file pages
    count as free), and what `ulimit -v` and `ulimit -d` leave.
    """
    found = [_system_memory(), *_cgroup_memory(), *_ulimits()]
    known = [max(0, size) for size in found if size is not None]
    return min(known, default=None)


def lacks_memory(error: BaseException) -> bool:
    """Whether it was memory that an error is for want of."""
    return isinstance(error, MemoryError) or NO_MEMORY.search(str(error)) is not None


def too_little_memory() -> str:
    """What is said where the program itself, without any image, finds no room."""
    left = available_memory()
    return (
        "not enough memory for the program itself"
        + (f" ({left / 2**20:.0f} MB are left)" if left is not None else "")
        + "; raise the container's memory limit, or ulimit -v and -d"
    )


def usable_processors() -> int:
    """Processors that this process may run on, no more than the CPU quota of its cgroups, rounded up; at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for folder in _folders("cpu") if (quota := _quota(folder)) is not None]
    return max(1, min([allowed, *map(math.ceil, quotas)]))


def threads_give_way() -> None:
    """Tell PyTorch's threads, before it is imported, to rest soon when they wait for each other.

    GNU's OpenMP lets them spin for milliseconds, in which no other program gets their processor: where one is busy,
    each step of a network waits for a thread that is not let run. What the user has told of how they wait stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(*SPINS)


def threads_follow_quota() -> None:
    """Tell the libraries that are imported later how many threads to use, where a quota leaves fewer processors than
    there are.

    What is set already, as by the user, stays.
    """
    processors = usable_processors()
    if processors < (os.cpu_count() or 1):
        for name in THREADS:
            os.environ.setdefault(name, str(processors))


def _system_memory() -> int | None:
    try:
        fields = dict(line.split(":", 1) for line in MEMORY_INFO.read_text().splitlines())
        return int(fields["MemAvailable"].split()[0]) * 1024 + int(fields["SwapFree"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None


def _cgroup_memory() -> Iterator[int]:
    for folder in _folders("memory"):
        for limit, used, cached in (
            ("memory.max", "memory.current", "inactive_file "),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
        ):
            try:
                bound = int((folder / limit).read_text())  # "max" is no number
                taken = int((folder / used).read_text())
            except (OSError, ValueError):
                continue
            if bound < UNLIMITED:
                yield bound - taken + _entry(folder / "memory.stat", cached)


def _entry(file: Path, name: str) -> int:
    try:
        return next((int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(name)), 0)
    except (OSError, ValueError):
        return 0


def _ulimits() -> Iterator[int]:
    if resource is None:
        return
    for limit, used in ((resource.RLIMIT_AS, "VmSize:"), (resource.RLIMIT_DATA, "VmData:")):
        soft = resource.getrlimit(limit)[0]
        if soft != resource.RLIM_INFINITY:
            yield soft - _entry(STATUS, used) * 1024


def data_bytes() -> int:
    """Bytes that count against RLIMIT_DATA now."""
    return _entry(STATUS, "VmData:") * 1024


def _folders(controller: str) -> Iterator[Path]:
    """The folders of the process's cgroup and of all around it that hold the files of a controller."""
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = CGROUPS / controllers if controllers else CGROUPS
        if controllers and not root.is_dir():
            root = CGROUPS / controller
        inside = path.strip("/").split("/") if path.strip("/") else []
        for depth in range(len(inside), -1, -1):  # a container often sees its own group as the root
            yield root.joinpath(*inside[:depth])


def _quota(folder: Path) -> float | None:
    """Processors' worth of time that a cgroup may take, or None."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota, period = ((folder / name).read_text() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us"))
        except OSError:
            return None
    try:
        return int(quota) / int(period) if int(quota) > 0 else None  # "max", or -1
    except (ValueError, ZeroDivisionError):
        return None
