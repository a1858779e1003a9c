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
