"""Nothing is compiled at run time: `warm_up` has compiled everything, for the types that a run has."""

import subprocess
import sys
from pathlib import Path

import inference

RUN_AFTER_WARM_UP = """
import numpy as np
from numba.core.dispatcher import Dispatcher
from inference import hover_stream, nms, normalisation, scaling, stardist_stream, tiles, watershed
from inference.compiled import warm_up


def compiled_for():
    modules = (hover_stream, nms, scaling, stardist_stream, watershed)
    return {(m.__name__, name): f.signatures for m in modules for name, f in vars(m).items() if isinstance(f, Dispatcher)}


warm_up()
known = compiled_for()
hover_stream.BAND_PIXELS = hover_stream.FEWEST_ROWS = 32
rng = np.random.default_rng(0)
for shape in ((40, 30), (1300, 50)):
    working = scaling.WorkingImage(normalisation.NormalisedImage.of(rng.integers(0, 255, shape, np.uint8)), 0.8)
    working.rows(0, working.shape[0])
    for decode, settings, channels in ((stardist_stream.stardist_rows, nms.StarDistSettings(), (1, 32)),
                                       (hover_stream.hover_rows, watershed.HoverSettings(), (1, 2))):
        made = [(tile, tuple(rng.random((c, *(s.stop - s.start for s in tile.owned_grid())), np.float32) * (20 if c == 32 else 1)
                             for c in channels)) for tile in tiles.tile_image(*working.shape)]
        tally = tiles.Tally()
        assert sum(map(len, decode(iter(made), settings, working.shape, shape, tally))) == shape[0] and tally.cells
new = {name: signatures for name, signatures in compiled_for().items() if signatures != known[name]}
assert not new, new
"""


def test_warm_up_compiles_all_that_a_run_needs():
    root = Path(inference.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", RUN_AFTER_WARM_UP], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
