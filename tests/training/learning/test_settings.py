"""training.learning.settings and training.learning.train_options: what is recorded, what decides, what is taken from
the start.
"""

import dataclasses
import json
from pathlib import Path

import pytest

from models.config import Config
from training.learning.settings import RouterSettings, SegmenterSettings
from training.learning.train_options import parse_arguments
from training.train_router import parse_arguments as parse_router_arguments

WORDS = ["--manifest", "data/m.csv", "--out", "runs/x"]


def test_they_are_frozen():
    settings = SegmenterSettings.of(parse_arguments(WORDS))
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.diameter = 3.0


def test_a_command_without_options_has_the_papers_protocol():
    """Table 3, in steps."""
    settings = SegmenterSettings.of(parse_arguments(WORDS))
    assert (settings.encoder, settings.crop, settings.batch, settings.lr, settings.schedule) == (
        "convnext_small",
        512,
        16,
        1e-4,
        "halving",
    )
    router = RouterSettings.of(parse_router_arguments(WORDS))
    assert (router.optimiser, router.lr, router.schedule, router.epochs, router.batch) == ("sgd", 1e-3, "steps", 20, 64)


def test_a_checkpoint_names_no_folder():
    recorded = SegmenterSettings.of(parse_arguments([*WORDS, "--init", "runs/y/hover.safetensors"])).recorded()
    assert (recorded["manifest"], recorded["out"], recorded["init"]) == ("m.csv", "x", "hover.safetensors")
    assert json.loads(json.dumps(recorded))["zoom"] == [0.5, 2.0]


def test_what_decides():
    """Whoever repeats a command may change the length of the run, and not what is learned."""
    one = RouterSettings.of(parse_router_arguments([*WORDS, "--init", "a/router.safetensors"]))
    assert one.decisive()["init"] == "a/router.safetensors"
    assert dataclasses.replace(one, time_budget=3.0, workers=7, out=Path("z")).decisive() == one.decisive()
    assert dataclasses.replace(one, seed=1).decisive() != one.decisive()


def test_what_the_start_brings():
    settings = SegmenterSettings.of(parse_arguments(WORDS))
    start = Config({"encoder": "convnext_atto"}, 36.0)
    assert settings.completed(None).diameter == 28.0
    assert settings.completed(None).encoder == "convnext_small"
    assert (settings.completed(start).encoder, settings.completed(start).diameter) == ("convnext_atto", 36.0)
    assert dataclasses.replace(settings, diameter=20.0).completed(start).diameter == 20.0
