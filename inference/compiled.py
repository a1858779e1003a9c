"""numba's `njit`, cached on disk so that no run but the first one compiles, also where the program's folder is read-only.

numba refuses to cache a function whose folder it cannot write to, even if the compiled code lies there already. A container
that runs read-only or as another user than the one who built it is such a place: its caches are made when it is built
(`python -m inference.compiled`).
"""

import logging
import os

from numba import config, njit
from numba.core.caching import InTreeCacheLocator

log = logging.getLogger(__name__)


class ShippedCacheLocator(InTreeCacheLocator):
    """The source file's __pycache__, whether it can be written to or not."""

    @classmethod
    def from_function(cls, py_func, py_file):
        return cls(py_func, py_file) if os.path.exists(py_file) else None


config.CACHE_LOCATOR_CLASSES = "inference.compiled.ShippedCacheLocator"


def compiled(function):
    """Compile a function at its first call without Python objects or the interpreter's lock, or load it from the cache."""
    dispatcher = njit(cache=True, nogil=True)(function)
    save = dispatcher._cache.save_overload

    def save_if_possible(*args):
        try:
            save(*args)
        except OSError as error:
            log.debug("%s was compiled for this run only: %s", function.__name__, error)

    dispatcher._cache.save_overload = save_if_possible
    return dispatcher


def warm_up() -> None:
    """Compile everything that inference calls, by decoding two small cells with both streams and comparing them with their maps."""
    import numpy as np

    from inference.measuring import COMPARE
    from inference.normalisation import NormalisedImage
    from inference.scaling import WorkingImage
    from inference.stream import DECODERS, collect
    from inference.tiles import Tally, tile_image

    working = WorkingImage(NormalisedImage.of(np.zeros((80, 160), np.uint8)), 0.8)
    working.rows(0, 64)
    (tile,) = tile_image(*working.shape)
    grid = np.hypot(*(np.indices((16, 32)) - np.array([8, 8])[:, None, None]))
    prob = np.exp(-np.minimum(grid, grid[:, ::-1]) / 4).astype(np.float32)[None]
    star = prob, np.full((32, 16, 32), 14, np.float32)
    hover = 8 * prob - 4, np.stack(np.meshgrid(np.linspace(-1, 1, 16), np.linspace(-1, 1, 32), indexing="ij")).astype(np.float32)
    for kind, maps in (("stardist", star), ("hover", hover)):
        rows, settings = DECODERS[kind]
        labels = collect(rows([(tile, maps)], settings(), working.shape, working.image.shape, Tally()), working.image.shape)
        COMPARE[kind](labels, *maps)


if __name__ == "__main__":
    warm_up()
