"""Which images a network serves that was fine-tuned on a few of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Likeness:
    """How images like those that a network was fine-tuned on are told by the router's features: an image is like them
    if it is on their side of a plane, and hardly further from them than they are from one another.

    centre : mean of their features
    spread : standard deviation of each feature over all kinds of images, in which distances are measured
    factors, bias : of the features' offset from the centre; the sum is above 0 on their side
    radius : largest distance from the centre
    """

    centre: Sequence[float]
    spread: Sequence[float]
    factors: Sequence[float]
    bias: float
    radius: float

    def holds(self, features: np.ndarray | None) -> bool:
        """For the image that has these features, (F,); if they are not known, it does not."""
        if features is None:
            return False
        offset = (features - np.array(self.centre)) / np.array(self.spread)
        return bool(offset @ np.array(self.factors) + self.bias > 0 and np.linalg.norm(offset) <= self.radius)
