"""Decoding settings and working size of a network: scores of the combinations, and the choice among them."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from inference.kinds import KINDS
from inference.network import Network
from inference.pipeline import segment_at
from models.config import Config
from training.images.datasets import Sample
from training.validation import f1_to_truth, true_scale

SIZES = (1.0, 0.8, 1.25)  # of the cell diameter that the network was trained at
Settings = Any  # a kind's, see `inference.kinds`
Tried = tuple[float, Settings]  # working size, as a cell diameter in pixels, and settings of the decoder


class Replay:
    """In the place of a network, for one image: runs it at the first pass and repeats its maps at later ones, whose
    decoders may have other settings."""

    def __init__(self, network: Network):
        self._network, self._maps = network, []
        self.kind, self.batch, self.overlaps = network.kind, network.batch, False

    def with_settings(self, settings: Settings) -> "Replay":
        """This network at the beginning of a pass."""
        self.config = replace(self._network.config, decoder=asdict(settings))
        self._next = 0
        return self

    def __call__(self, windows: np.ndarray) -> tuple[np.ndarray, ...]:
        """The maps of a batch of windows; every pass must bring the same ones."""
        if self._next == len(self._maps):
            self._maps.append(self._network(windows))
        self._next += 1
        return self._maps[self._next - 1]


def score_settings(
    network: Network, samples: Iterable[Sample], diameter: float, more: Sequence[Settings] = ()
) -> dict[Tried, float]:
    """Mean F1 at IoU 0.5 for each working size, as a cell diameter in pixels, and each of the grid's settings.

    diameter : that the network was trained at
    more : settings to try besides the grid's
    """
    sizes = [diameter if size == 1 else round(size * diameter, 2) for size in SIZES]
    grid = list(dict.fromkeys([*KINDS[network.kind].Settings.grid(), *more]))
    scores: dict[Tried, list[float]] = {(size, settings): [] for size in sizes for settings in grid}
    for sample, size in tqdm(((s, size) for s in samples for size in sizes), unit="pass", disable=None):
        network.config = replace(network.config, diameter=size)
        replay = Replay(network)
        for settings in grid:
            labels = segment_at(sample.pixels, replay.with_settings(settings), true_scale(sample, network))
            scores[size, settings].append(f1_to_truth(sample.record, sample.labels, labels))
    return {tried: float(np.mean(found)) for tried, found in scores.items()}


def choose(scores: dict[Tried, float], default: Tried, gain: float) -> Tried:
    """Of the combinations that score less than `gain` below the best one, that with the fewest values that are not the
    default's; of several the best, and of equal ones the first."""

    def changes(tried: Tried) -> int:
        values, defaults = ([size, *asdict(settings).values()] for size, settings in (tried, default))
        return sum(value != usual for value, usual in zip(values, defaults))

    highest = max(scores.values())
    return min(
        (tried for tried in scores if highest - scores[tried] < gain),
        key=lambda tried: (changes(tried), -scores[tried]),
    )


def decoded(config: Config, chosen: Tried) -> Config:
    """A network's configuration with this working size and these settings of its decoder."""
    return replace(config, diameter=chosen[0], decoder=asdict(chosen[1]))
