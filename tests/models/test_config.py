"""The configuration as text."""

import json

from models.config import Config

CONFIG = Config({"encoder": "convnext_atto"}, 28.0, {"prob_threshold": 0.4}, training={"seed": 3}, storage="int8")


def test_the_text_is_short_and_names_the_decoder_by_its_kind():
    assert json.loads(CONFIG.to_json("stardist")) == {
        "network": {"encoder": "convnext_atto"},
        "diameter": 28.0,
        "storage": "int8",
        "stardist": {"prob_threshold": 0.4},
        "training": {"seed": 3},
    }
    assert json.loads(Config().to_json("router")) == {"network": {}}


def test_round_trip():
    assert Config.from_json("hover", CONFIG.to_json("hover")) == CONFIG
    assert Config.from_json("router", Config().to_json("router")) == Config()


def test_crops_that_a_network_has_seen():
    """As training has counted them; an older checkpoint's own steps and those of its pre-training."""
    own, pretraining = {"steps_done": 7, "batch": 4}, {"steps_done": 10, "batch": 16}
    assert Config(training=own | {"crops": 1000}, pretraining=pretraining).crops == 1000
    assert Config(training=own, pretraining=pretraining).crops == 188
    assert Config(training=own).crops == 28
    assert Config().crops == 0
