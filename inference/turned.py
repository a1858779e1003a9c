"""Test-time augmentation: a network sees each window upright and turned by half a circle, and its maps are averaged.

It errs differently on the two, so their mean is nearer to the truth.
"""

import numpy as np

from inference.kinds import KINDS
from inference.network import Segmenting


class SeenTwice:
    """A network that sees each window twice; parameters, attributes and calls as of `inference.network.Segmenting`."""

    def __init__(self, network: Segmenting):
        self._network = network
        self.kind, self.config = network.kind, network.config

    @property
    def batch(self) -> int:
        return self._network.batch

    @property
    def overlaps(self) -> bool:
        return self._network.overlaps

    def __call__(self, windows: np.ndarray) -> tuple[np.ndarray, ...]:
        turned = np.ascontiguousarray(windows[:, ::-1, ::-1])
        back = (maps[:, :, ::-1, ::-1] for maps in self._network(turned))
        return KINDS[self.kind].mean_with_turned(self._network(windows), tuple(back))
