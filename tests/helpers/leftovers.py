"""What Dask leaves open."""

import gc
import warnings


def let_go() -> None:
    """Collect connections that nobody holds any more; their warnings would otherwise end whatever test runs then."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
