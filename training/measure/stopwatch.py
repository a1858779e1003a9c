"""Run a command and print, as JSON: its seconds, its peak memory in MB, its exit code (negative: the signal that ended
it).

    python -I -S training/measure/stopwatch.py LOG COMMAND [ARGUMENT ...]

What the command prints goes to the file LOG. The memory is that of the largest process among the command and those it
waited for. training.measure.launching starts commands through this small program because Linux counts the memory of
whoever starts a process to that process's peak.
"""

import json
import os
import subprocess
import sys
import time


def main(log: str, *command: str) -> None:
    with open(log, "wb") as file:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    megabyte = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts in bytes, Linux in KiB
    print(json.dumps({"seconds": seconds, "peak_mb": round(usage.ru_maxrss / megabyte), "code": child.returncode}))


if __name__ == "__main__":
    main(*sys.argv[1:])
