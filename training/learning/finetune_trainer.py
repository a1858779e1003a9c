"""The training of a network on a few images of one's own: it stays near its start, and ends early.

The penalty is that of Li, Grandvalet and Davoine, *Explicit Inductive Bias for Transfer Learning with Convolutional
Networks* (ICML 2018, L2-SP): weights decay towards their start instead of towards zero. As AdamW does with its decay,
it is applied beside the gradient, so that it pulls all weights alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from training.images.datasets import Sample
from training.learning.segmenter_trainer import SegmenterTrainer
from training.learning.settings import SegmenterSettings


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(SegmenterSettings):
    """Of training.finetune.

    keep_statistics : batch normalisation goes on with those of all that the network has seen; those of a few like
        images would fit no others
    pull : share of the way back to its start that a weight goes in a step, per unit of the learning rate
    patience : validations without a better network after which the training ends
    """

    DECISIVE: ClassVar[tuple[str, ...]] = (*SegmenterSettings.DECISIVE, "pull")

    crop: int = 256
    batch: int = 8
    lr: float = 3e-4
    schedule: str = "cosine"
    ema: float = 0.99
    weight_decay: float = 0.0
    hv_weight: float = 10.0
    keep_statistics: bool = True
    pull: float = 20.0
    patience: int = 5


class FinetuneTrainer(SegmenterTrainer):
    """A network that is pulled back to where it started, and given up where it gets no better."""

    settings: FinetuneSettings

    def make_optimiser(self) -> torch.optim.Optimizer:
        self.start = [p.detach().clone() for p in self.model.parameters()]
        self.stale = 0
        return super().make_optimiser()

    def progress(self) -> float:
        return 1.0 if self.stale >= self.settings.patience else super().progress()

    @torch.no_grad()
    def pull_back(self, rate: float) -> None:
        """Draw all weights towards their start after a step at this learning rate."""
        torch._foreach_lerp_(list(self.model.parameters()), self.start, min(1.0, rate * self.settings.pull))

    def train_step(self, batch: dict[str, Tensor]) -> None:
        rate = self.learning_rate()
        super().train_step(batch)
        self.pull_back(rate)

    def validate(self, samples: Sequence[Sample], on_image: Callable[[], None]) -> list[dict]:
        before = dict(self.best)
        rows = super().validate(samples, on_image)
        self.stale = self.stale + 1 if self.best == before else 0
        return rows
