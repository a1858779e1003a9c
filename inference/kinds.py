"""The kinds of network, each with all that belongs to it in a module of its own."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from inference import hover, stardist
from inference.image.scaling import Sizes
from inference.limits import LIMITS, Limits
from inference.tiles import Tally, TileMaps

if TYPE_CHECKING:
    from torch import Tensor


class Kind(Protocol):
    """What a kind's module has: six names, and the number of channels of its two maps."""

    CHANNELS: tuple[int, int]

    @property
    def Settings(self) -> type:
        """Of the decoder, a frozen dataclass; a checkpoint may hold other values than the defaults."""

    def activate(self, first: "Tensor", second: "Tensor", /) -> tuple["Tensor", "Tensor"]:
        """What the network's heads give -> maps (N, C, h, w) float32, on the device."""

    def mean_with_turned(
        self, maps: tuple[np.ndarray, ...], turned: tuple[np.ndarray, ...], /
    ) -> tuple[np.ndarray, np.ndarray]:
        """The mean of maps (N, C, h, w), and of those of the same windows turned by half a circle, whose places are
        turned back already, but not the directions that they tell."""

    def targets(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels to the maps that a network learns to predict."""

    def rows(
        self, tiles: TileMaps, settings: Any, sizes: Sizes, tally: Tally, limits: Limits = LIMITS
    ) -> Iterator[np.ndarray]:
        """Maps to labels, in bands of rows."""

    def disagreement(self, labels: np.ndarray, first: np.ndarray, second: np.ndarray, /) -> tuple[np.ndarray, float]:
        """Cell probability on the maps' grid, and how badly the cells found explain the maps, 0 or more."""


KINDS: dict[str, Kind] = {"stardist": stardist, "hover": hover}
