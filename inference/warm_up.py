"""Compile everything that inference calls, or load it from the caches, before it is needed.

    python -m inference.warm_up      # makes the caches, when a container is built
"""

import numpy as np

from inference.kinds import KINDS
from inference.normalisation import NormalisedImage
from inference.pipeline import collect
from inference.scaling import WorkingImage
from inference.tiles import Tally, tile_image


def warm_up() -> None:
    """Decode two small cells with each kind's decoder, and compare them with their maps."""
    working = WorkingImage(NormalisedImage(np.zeros((80, 160), np.uint8)), 0.8)
    working.rows(0, 64)
    (tile,) = tile_image(*working.shape)
    grid = np.hypot(*(np.indices((16, 32)) - np.array([8, 8])[:, None, None]))
    bumps = 8 * np.exp(-np.minimum(grid, grid[:, ::-1]) / 4) - 4  # as a logit or a probability, above the threshold in the cells
    for kind in KINDS.values():
        maps = tuple(np.broadcast_to(values, (channels, 16, 32)).astype(np.float32) for values, channels in zip((bumps, 14), kind.CHANNELS))
        labels = collect(kind.rows([(tile, maps)], kind.Settings(), working.sizes, Tally()), working.image.shape)
        kind.disagreement(labels, *maps)


if __name__ == "__main__":
    warm_up()
