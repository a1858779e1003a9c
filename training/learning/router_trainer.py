"""The training of the router: views of images, the losses of class and cell diameter, selection by both."""

import copy
import csv
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from inference.image.forms import NormalisedImage
from inference.routing import RouterNetwork
from models.checkpoint import load_checkpoint
from models.classes import CLASSES
from models.config import Config
from models.router import Router
from training.images.datasets import Sample, load_samples
from training.images.manifest import read_manifest
from training.images.router_views import CLOSE_UPS, ViewDataset
from training.learning.losses import router_loss
from training.learning.settings import RouterSettings, training_records
from training.learning.trainer import Trainer
from training.validation import of_trained_sources

MOMENTUM, WEIGHT_DECAY = 0.9, 1e-4  # of SGD
ADAMW_WEIGHT_DECAY = 0.02
EPOCHS_A_DECADE = 7  # of the learning rate (paper, Table 3)
WARM_UP = 1.0  # epochs, of the cosine schedule
SCORE_SIZE_WEIGHT = 0.5  # of the size error against accuracy: 2 % in size are worth 1 % of the images
LARGEST_ERROR = math.log(4)  # of a log diameter in the score; farther off, nothing is found anyway
CONFUSION = "confusion.csv"


def learning_rate(epoch: float, epochs: int, first: float, schedule: str) -> float:
    """Learning rate at a fraction of an epoch."""
    if schedule == "steps":
        return first * 0.1 ** (int(epoch) // EPOCHS_A_DECADE)
    return first * min(1.0, (epoch + 0.05) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


@dataclass(frozen=True)
class RouterScore:
    """A router on validation images, through the path of inference.

    confusion : images of each true class (lines) that went to each class (columns)
    errors : |ln(measured / true diameter)| of each image that has cells
    """

    confusion: np.ndarray
    errors: np.ndarray

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def score(self) -> float:
        """By which checkpoints are selected."""
        size_error = float(np.minimum(self.errors, LARGEST_ERROR).mean()) if self.errors.size else 0.0
        return self.accuracy - SCORE_SIZE_WEIGHT * size_error

    def figures(self) -> dict[str, float]:
        """For the log and the checkpoint; the factors are 1 where the diameter is right."""
        typical, mean = (math.exp(f(self.errors)) if self.errors.size else 1.0 for f in (np.median, np.mean))
        return {
            "score": round(self.score, 5),
            "accuracy": round(self.accuracy, 5),
            "diameter_factor": round(typical, 4),
            "mean_diameter_factor": round(mean, 4),
        }


def measure(model: Router, samples: Sequence[Sample], on_image: Callable[[], None] = lambda: None) -> RouterScore:
    """Route and measure every image. `on_image` is called before each one, and may raise to break off."""
    router, confusion, errors = RouterNetwork(copy.deepcopy(model).cpu().eval()), np.zeros((len(CLASSES),) * 2, int), []
    for sample in samples:
        on_image()
        route = router(NormalisedImage(sample.pixels), sample.excluded)
        confusion[sample.cue_class, route.best] += 1
        errors.append(abs(math.log(route.diameter / sample.diameter)))
    return RouterScore(confusion, np.array([e for e in errors if not math.isnan(e)]))


def accuracies(confusion: np.ndarray) -> np.ndarray:
    """Share of each true class that was predicted right; 0 for a class without images."""
    return np.diag(confusion) / np.maximum(1, confusion.sum(axis=1))


def confusion_rows(confusion: np.ndarray) -> list[list]:
    """A table with a header: true classes in lines, predicted ones in columns, then the accuracy."""
    names = [c.name for c in CLASSES]
    header = ["true \\ predicted", *names, "accuracy"]
    return [
        header,
        *(
            [name, *line, f"{accuracy:.4f}"]
            for name, line, accuracy in zip(names, confusion.tolist(), accuracies(confusion))
        ),
    ]


class RouterTrainer(Trainer):
    """A ResNet18 that tells class and cell diameter.

    steps_an_epoch : of as many views as there are images; known once these are loaded
    expected_f1 : as of `models.config.Config`, of a start whose weights but those of the classes stay
    """

    FIGURE = "score"
    GRADIENT_NORM = math.inf  # as in the paper, nothing is clipped
    settings: RouterSettings
    expected_f1: Sequence[Sequence[float]] = ()

    def build(self) -> Router:
        """From --init's checkpoint, from ImageNet weights, or from random ones."""
        settings = self.settings
        model = Router(pretrained=not settings.random_init and settings.init is None)
        if settings.init:
            start, config = load_checkpoint(settings.init)
            if start.kind != "router":
                raise ValueError(f"{settings.init}: holds a segmenter; give --init the checkpoint of a router")
            model.load_state_dict(start.state_dict())
            self.crops_before, self.sources_before = config.crops, config.sources
            if settings.class_layer:
                model.requires_grad_(False)
                model.network.fc.requires_grad_()
                self.expected_f1 = config.expected_f1
        return model

    def enter_training_mode(self) -> None:
        """The statistics of layers that stay as they are stay, too."""
        self.shared.train(not self.settings.class_layer)

    def make_optimiser(self) -> torch.optim.Optimizer:
        parameters, rate = self.model.parameters(), self.settings.lr
        if self.settings.class_layer:  # whose last row, that of the size, has no gradient, and must not decay
            return torch.optim.Adam(self.model.network.fc.parameters(), rate)
        if self.settings.optimiser == "sgd":
            return torch.optim.SGD(parameters, rate, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True)
        return torch.optim.AdamW(parameters, rate, weight_decay=ADAMW_WEIGHT_DECAY, fused=True)

    def load(self) -> tuple[ViewDataset, list[Sample]]:
        settings = self.settings
        samples = load_samples(training_records(settings))
        self.steps_an_epoch = max(1, len(samples) // settings.batch)
        val = of_trained_sources(settings.manifest, read_manifest(settings.manifest, "val"), settings.leave_out)
        close_ups = 0.0 if settings.class_layer else CLOSE_UPS  # they do not show what the class is
        return ViewDataset(samples, settings.seed, settings.balance, close_ups), load_samples(val)

    def steps(self) -> int:
        return self.settings.epochs * self.steps_an_epoch

    def learning_rate(self) -> float:
        settings = self.settings
        return learning_rate(self.progress() * settings.epochs, settings.epochs, settings.lr, settings.schedule)

    def loss_terms(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        out = self.forward(batch["image"])
        terms = router_loss(type(out)(*(t.float() for t in out)), batch["class"].long(), batch["log_diameter"])
        return {"class": terms["class"]} if self.settings.class_layer else terms

    def validation_is_due(self) -> bool:
        """At the end of every so many epochs."""
        return self.step % (self.settings.validate_every * self.steps_an_epoch) == 0

    def networks(self, model: Router) -> dict[str, nn.Module]:
        return {"router": model}

    def measure(self, samples: Sequence[Sample], on_image: Callable[[], None]) -> Iterator[tuple[str, dict]]:
        measurement = measure(self.average, samples, on_image)
        self.confusion = measurement.confusion
        per_class = dict(enumerate(np.round(accuracies(self.confusion), 4).tolist()))
        yield "router", measurement.figures() | {"per_class": per_class}

    def config(self, name: str) -> Config:
        return Config(expected_f1=self.expected_f1)

    def write(self, name: str, validation: dict | None = None) -> None:
        """The checkpoint, and the confusion matrix of its validation."""
        super().write(name, validation)
        with open(self.settings.out / CONFUSION, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(confusion_rows(self.confusion))
