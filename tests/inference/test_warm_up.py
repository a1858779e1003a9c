"""Nothing is compiled at run time: `warm_up` has compiled everything, for the types that a run has."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

RUN_AFTER_WARM_UP = """
import importlib, pkgutil
from pathlib import Path
import numpy as np
from numba.core.dispatcher import Dispatcher
from inference.image import forms, scaling
from inference import tiles
from inference.kinds import KINDS
from inference.limits import Limits
from inference.warm_up import warm_up

package, _, _ = tiles.__name__.rpartition(".")
modules = [importlib.import_module(m.name) for m in pkgutil.walk_packages([Path(tiles.__file__).parent], f"{package}.")]


def compiled_for():
    functions = {(m.__name__, name): f for m in modules for name, f in vars(m).items()}
    return {name: f.signatures for name, f in functions.items() if isinstance(f, Dispatcher)}


warm_up()
known = compiled_for()
limits = Limits(decoded_pixels=32, fewest_decoded_rows=32)
rng = np.random.default_rng(0)
for shape in ((40, 30), (1300, 50)):
    working = scaling.WorkingImage(forms.NormalisedImage(rng.integers(0, 255, shape, np.uint8)), 0.8)
    working.rows(0, working.shape[0])
    for kind in KINDS.values():
        made = []
        for tile in tiles.tile_image(*working.shape):
            sides = [s.stop - s.start for s in tile.owned_grid()]
            maps = (rng.random((c, *sides), np.float32) * (20 if c == 32 else 1) for c in kind.CHANNELS)
            made.append((tile, tuple(maps)))
        tally = tiles.Tally()
        labels = np.concatenate(list(kind.rows(iter(made), kind.Settings(), working.sizes, tally, limits)))
        assert labels.shape == shape and tally.cells
        kind.disagreement(np.ones((64, 64), np.int32), *(rng.random((c, 16, 16), np.float32) for c in kind.CHANNELS))
new = {name: signatures for name, signatures in compiled_for().items() if signatures != known[name]}
assert not new, new
assert len(known) > 10
"""


def test_warm_up_compiles_all_that_a_run_needs():
    done = subprocess.run([sys.executable, "-c", RUN_AFTER_WARM_UP], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
