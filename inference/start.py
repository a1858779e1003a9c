"""The program, from start to exit, and what must happen before its libraries are imported."""

import logging
import os
import sys

from inference import stopping
from inference.exit_codes import INTERRUPTED, NOTHING_DONE
from inference.machine import lacks_memory, threads_follow_quota, threads_give_way, too_little_memory
from inference.streams import secure_streams


def start() -> None:
    """The program, from start to exit."""
    secure_streams()
    stopping.listen()
    threads_follow_quota()  # NumPy makes its threads when it is imported
    threads_give_way()
    code = _run()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # all files are closed by now; taking PyTorch down in order would cost another half second


def _run() -> int:
    try:
        from inference.command_line import main

        return main()
    except KeyboardInterrupt:
        print("error: interrupted before anything was done", file=sys.stderr)
        return INTERRUPTED
    except (ImportError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        print(f"error: {too_little_memory()}", file=sys.stderr)
        return NOTHING_DONE
