"""The training of segmenters: crops, the losses of both kinds of network, selection by F1."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from inference.hover import ZOOM
from inference.network import Network
from models.checkpoint import load_checkpoint
from models.config import Config
from models.efficientnet import EFFICIENTNETS
from models.hover import HoverMaps
from models.unet import upsample
from training.images.datasets import CropDataset, Sample, load_samples
from training.images.sources import united
from training.learning.encoder_weights import load_encoder, packaged_weights
from training.learning.losses import hover_loss, stardist_loss
from training.learning.networks import TrainingNetwork
from training.learning.settings import SegmenterSettings, check_head, training_records
from training.learning.trainer import Stopped, Trainer
from training.validation import scores_of, validate, validation_samples

WARM_UP = 0.02  # of the run, for the cosine schedule
RANDOM_LAYER_SCALE = 0.5  # an encoder with random weights starts slowly from timm's 1e-6 (docs/architecture.md)


def learning_rate(progress: float, first: float, schedule: str) -> float:
    """Learning rate at `progress` in [0, 1] of the run.

    halving : halved after each quarter (paper, Table 3: every 200 of 800 epochs)
    cosine : linear warm-up over the first 2 %, then half a cosine down to 1 % of `first`
    """
    if schedule == "halving":
        return first * 0.5 ** int(progress * 4)
    if progress < WARM_UP:
        return first * max(progress / WARM_UP, 0.01)
    return first * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP))))


def losses(
    maps: dict, batch: dict[str, Tensor], reference_radius: float | None, hv_weight: float = 1.0
) -> dict[str, Tensor]:
    """All loss terms of the heads that `maps` has; those of the HV maps are multiplied by `hv_weight`."""
    terms = {}
    if "stardist" in maps:
        terms |= stardist_loss(maps["stardist"], batch["prob"], batch["dist"], batch["weight"], reference_radius)
    if "hover" in maps:
        enlarged = HoverMaps(*(upsample(m, ZOOM) for m in maps["hover"]))
        hover = hover_loss(enlarged, batch["cell"], batch["hv"], batch["hover_weight"])
        terms |= {name: hv_weight * value if name.startswith("hv") else value for name, value in hover.items()}
    return terms


def parameter_groups(model: TrainingNetwork, rate: float, encoder_factor: float, weight_decay: float) -> list[dict]:
    """Groups for AdamW: no decay for what has one dimension (biases, normalisation), the encoder at its own share of
    the rate.

    Each group's `factor` is that share; the learning rate of a step is multiplied by it.
    """
    encoder = {id(p) for p in model.unet.encoder.parameters()}
    groups = {}
    for parameter in model.parameters():
        factor = encoder_factor if id(parameter) in encoder else 1.0
        groups.setdefault((factor, weight_decay if parameter.ndim >= 2 else 0.0), []).append(parameter)
    return [
        {"params": parameters, "lr": rate * factor, "factor": factor, "weight_decay": decay}
        for (factor, decay), parameters in groups.items()
    ]


def training_crops(settings: SegmenterSettings) -> CropDataset:
    """The manifest's training images of the wanted classes and sources, in memory; the settings are completed."""
    samples = load_samples(training_records(settings))
    if settings.classes:
        samples = [s for s in samples if s.cue_class in settings.classes]
    factors = dict(settings.source_factors)
    if unknown := factors.keys() - {s.record.source for s in samples}:
        raise ValueError(f"--source-factors: no training image is of source {', '.join(sorted(unknown))}")
    return CropDataset(
        samples, settings.crop, settings.diameter, tuple(settings.zoom), settings.seed, settings.balance, factors
    )


class SegmenterTrainer(Trainer):
    """A ConvNeXt-UNet with one head or both; each head's network is selected on its own."""

    FIGURE = "f1"
    GRADIENT_NORM = 5.0
    SHARED_VALIDATION = True
    settings: SegmenterSettings

    def build(self) -> TrainingNetwork:
        """From --init's checkpoint, from ImageNet weights for the encoder, or from random ones."""
        start, config = load_checkpoint(self.settings.init) if self.settings.init else (None, None)
        sized = self.settings.diameter is not None
        self.settings = settings = self.settings.completed(config)
        self.carried = {start.kind: config.decoder} if start else {}  # settings of the start's decoder
        self.crops_before, self.sources_before = (config.crops, config.sources) if config else (0, {})
        fetched = not (settings.random_init or start or settings.encoder_weights)
        model = TrainingNetwork(
            settings.stream,
            encoder=settings.encoder,
            pretrained=fetched,
            layer_scale=RANDOM_LAYER_SCALE if settings.random_init else None,
        )
        if start:
            model.adopt(start)
            if settings.init_head:
                check_head(settings.init, settings.init_head, sized)
                other, head = load_checkpoint(settings.init_head)
                model.adopt_head(other)
                self.carried[other.kind] = head.decoder
                self.sources_before = united(self.sources_before, head.sources)
        elif settings.encoder_weights:
            load_encoder(model.unet.encoder, settings.encoder_weights)
        elif fetched and settings.encoder in EFFICIENTNETS:
            load_encoder(model.unet.encoder, packaged_weights(settings.encoder))
        return model

    def make_optimiser(self) -> torch.optim.Optimizer:
        settings = self.settings
        groups = parameter_groups(self.model, settings.lr, settings.encoder_lr, settings.weight_decay)
        return torch.optim.AdamW(groups, lr=settings.lr, fused=True)

    def load(self) -> tuple[CropDataset, list[Sample]]:
        settings, val = self.settings, []
        data = training_crops(settings)
        if settings.validate_images:  # every process scores its share
            val = validation_samples(settings.manifest, settings.classes, settings.validate_images, settings.leave_out)
        return data, val

    def steps(self) -> int:
        return self.settings.steps

    def learning_rate(self) -> float:
        return learning_rate(self.progress(), self.settings.lr, self.settings.schedule)

    def enter_training_mode(self) -> None:
        super().enter_training_mode()
        if self.settings.keep_statistics:
            self.shared.eval()  # nothing but batch normalisation tells the modes apart

    def loss_terms(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        maps = {k: type(m)(*(t.float() for t in m)) for k, m in self.forward(batch["image"]).items()}
        settings = self.settings
        return losses(maps, batch, None if settings.plain_mae else settings.diameter / 2, settings.hv_weight)

    def validation_is_due(self) -> bool:
        """By steps, or by the time since the last validation."""
        if self.settings.validate_steps:
            return self.step % self.settings.validate_steps == 0
        return self.seconds - self.validated[1] >= 60 * self.settings.validate_every

    def networks(self, model: TrainingNetwork) -> dict[str, torch.nn.Module]:
        return model.split()

    def measure(self, samples: Sequence[Sample], on_image: Callable[[], None]) -> Iterator[tuple[str, dict]]:
        for name, part in copy.deepcopy(self.average).split().items():
            network = Network(part, self.config(name), self.team.device)
            yield name, {"f1": self.score(network, samples, on_image)}

    def score(self, network: Network, samples: Sequence[Sample], on_image: Callable[[], None]) -> float:
        """Mean F1 over the images, of which each process has every n-th; the same number in all of them.

        Raises Stopped in all of them if `on_image` does in one.
        """
        if self.team.size == 1:
            return validate(network, samples, on_image)
        own: list[float] | None
        try:
            own = scores_of(network, samples[self.team.rank :: self.team.size], on_image)
        except Stopped:
            own = None
        scores = self.team.gather(own)
        if scores is None:
            raise Stopped
        return float(np.mean(scores))

    def config(self, name: str) -> Config:
        return Config(self.model.network, self.settings.diameter, self.carried.get(name, {}))
