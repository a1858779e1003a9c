"""What a measurement was made on, in a line."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path


def machine() -> str:
    """Processor, cores that this process may use, memory, GPU, and how many processes want a core; one line."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]  # before torch is started for its answer
    model = cpu[1] if cpu else platform.processor()
    return f"{model}, {cores} cores available, {memory:.1f} GiB memory, GPU: {gpu()}, load {load:.1f}"


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def gpu() -> str:
    """The GPU that torch reports. Asked in a process of its own: one that goes on holding the GPU makes later starts
    faster.
    """
    question = "import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else 'none')"
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True)
    return answer.stdout.strip() or "unknown (no PyTorch here)"
