"""Compile everything that inference calls, or load it from the caches, before it is needed.

python -m inference.warm_up      # makes the caches, when a container is built
"""

import numpy as np

from inference.image.forms import NormalisedImage
from inference.image.scaling import WorkingImage
from inference.kinds import KINDS
from inference.pipeline import collect
from inference.tiles import Tally, tile_image


def warm_up() -> None:
    """Decode two small cells with each kind's decoder, and compare them with their maps."""
    nothing = NormalisedImage(np.zeros((80, 160), np.uint8))
    WorkingImage(nothing, 1.5).rows(0, 64)
    working = WorkingImage(nothing, 0.8)
    working.rows(0, 64)
    (tile,) = tile_image(*working.shape)
    grid = np.hypot(*(np.indices((16, 32)) - np.array([8, 8])[:, None, None]))
    # As a logit or a probability, above the threshold in the cells.
    bumps = 8 * np.exp(-np.minimum(grid, grid[:, ::-1]) / 4) - 4
    for kind in KINDS.values():
        maps = tuple(
            np.broadcast_to(values, (channels, 16, 32)).astype(np.float32)
            for values, channels in zip((bumps, 14), kind.CHANNELS)
        )
        labels = collect(kind.rows([(tile, maps)], kind.Settings(), working.sizes, Tally()), working.image.shape)
        kind.disagreement(labels, *maps)


def warm_up_outputs() -> None:
    """Measure and trace one small cell. Most runs need none of this, so that it is for the caches alone."""
    from inference.outputs.cell_table import measure_cells
    from inference.outputs.extents import Extents
    from inference.outputs.label_rows import LabelRows
    from inference.outputs.polygons import trace

    labels = LabelRows.of(np.pad(np.ones((3, 4), np.int32), 2))
    extents = Extents.measure(labels)
    measure_cells(labels, extents, np.zeros(labels.shape, np.uint8))
    list(trace(labels, extents))


if __name__ == "__main__":
    warm_up()
    warm_up_outputs()
