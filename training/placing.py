"""Networks as parts of a weights folder, and the model card beside them."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import nn

from models import weights_folder
from models.checkpoint import load_checkpoint, read_config, save_checkpoint
from models.config import Config
from training.model_card import CARD, write_card

log = logging.getLogger(__name__)

FILES = {Path(name).stem: name for name in weights_folder.FILES}
PARTS = tuple(FILES)
OWN_FILES = {Path(name).stem: name for name in weights_folder.OWN_FILES}
LARGEST_FILE = 60_000_000  # bytes; see docs/architecture.md


def default_storage(model: nn.Module) -> str:
    """float16 unless that makes a file too large."""
    return "int8" if 2 * sum(p.numel() for p in model.parameters()) > LARGEST_FILE else "float16"


def place(
    source: Path, target: Path, sources: Mapping, pretraining: Mapping | None, storage: str | None = None
) -> None:
    """Write a checkpoint again, as a part of the weights folder.

    Parameters
    ----------
    sources : of its training data, as of `models.config.Config`
    pretraining : what it was fine-tuned from, if that is to be replaced
    storage : number format [that of `default_storage`]
    """
    model, config = load_checkpoint(source)
    storage = storage or default_storage(model)
    pretraining = config.pretraining if pretraining is None else pretraining
    config = replace(config, storage=storage, file=target.name, pretraining=pretraining, sources=sources)
    save_checkpoint(target, model, config, storage)
    target.chmod(0o644)
    size = target.stat().st_size
    log.info("%s: from %s, %s, %.1f MB", target, source, storage, size / 1e6)
    if size > LARGEST_FILE:
        log.warning(
            "%s: %.0f MB are more than the %.0f that a repository bears well; try --storage int8",
            target,
            size / 1e6,
            LARGEST_FILE / 1e6,
        )


def tell_router(source: Path, target: Path, scores: list[list[float]]) -> None:
    """Write a router's checkpoint again, with what the networks beside it score, as of `models.config.Config`."""
    model, config = load_checkpoint(source)
    save_checkpoint(target, model, replace(config, expected_f1=scores), config.storage or "float16")


def describe(weights: Path, scores: Path | None, changed: bool, note: str = "") -> dict[str, tuple[str, Config]]:
    """Write the model card of a weights folder; kind and configuration of each part that it holds, and of networks that
    were fine-tuned beside them, as "class0-own".

    Parameters
    ----------
    scores, changed, note : as of `training.model_card.write_card`
    """
    files = {part: weights / name for part, name in (FILES | OWN_FILES).items() if (weights / name).exists()}
    configs = {part: read_config(path) for part, path in files.items()}
    sizes = {part: path.stat().st_size for part, path in files.items()}
    write_card(weights / CARD, configs, sizes, scores, changed, note)
    return configs
