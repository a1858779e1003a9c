"""numba's `njit`, cached on disk so that no run but the first one compiles, also where the program's folder is
read-only.

numba refuses to cache a function whose folder it cannot write to, even if the compiled code lies there already. A
container that runs read-only or as another user than the one who built it is such a place: its caches are made when it
is built (`python -m inference.warm_up`).
"""

import logging
import os

from numba import config, njit
from numba.core.caching import InTreeCacheLocator
from numba.core.dispatcher import Dispatcher

log = logging.getLogger(__name__)


class ShippedCacheLocator(InTreeCacheLocator):
    """The source file's __pycache__, whether it can be written to or not."""

    def __init__(self, py_func, py_file):
        super().__init__(py_func, py_file)
        self._files = source_files(py_func)

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func, py_file) if os.path.exists(py_file) else None

    def get_source_stamp(self):
        """Time and size of the function's file and of those whose functions it calls: their code is part of its own."""
        stats = [os.stat(path) for path in self._files]
        return max(stat.st_mtime for stat in stats), sum(stat.st_size for stat in stats)


def source_files(function) -> set[str]:
    """Files of a Python function and of all compiled functions that it calls."""
    called = (function.__globals__.get(name) for name in function.__code__.co_names)
    return {function.__code__.co_filename}.union(
        *(source_files(f.py_func) for f in called if isinstance(f, Dispatcher))
    )


setattr(config, "CACHE_LOCATOR_CLASSES", f"{__name__}.{ShippedCacheLocator.__name__}")  # noqa: B010 - not in its types


def compiled(function):
    """Compile a function at its first call without Python objects or the interpreter's lock, or load it from the
    cache.
    """
    dispatcher = njit(cache=True, nogil=True)(function)
    save = dispatcher._cache.save_overload

    def save_if_possible(*args):
        try:
            save(*args)
        except OSError as error:
            log.debug("%s was compiled for this run only: %s", function.__name__, error)

    dispatcher._cache.save_overload = save_if_possible
    return dispatcher
