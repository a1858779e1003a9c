"""What a checkpoint says of its network, besides the weights."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Config:
    """Kept as JSON in a checkpoint's metadata; what is empty is left out.

    network : arguments of the network's constructor
    diameter : median cell diameter in pixels that a segmenter's images are brought to
    decoder : settings of its kind's decoder, where they are not the defaults; under the kind's name in the JSON text
    likeness : of a network that was fine-tuned on a few images beside its class's: how images like those are told by
        the router's features, as arguments of `models.likeness.Likeness`
    expected_f1 : the router's, of images of each class (rows) by each network (columns)
    training : how it was trained: the command's arguments, "steps_done", "seconds", and "crops", that it and the
        networks which it started from have seen
    validation : the figures that it was selected by
    pretraining : `training` of the network that it was fine-tuned from
    sources : of all that it and the networks which it started from have seen: images and terms of each
    storage : "float16" or "int8", once it is a part of a weights folder
    file : its name there, so that one in another one's place is noticed
    git_commit : of the code that trained it
    """

    network: Mapping[str, Any] = field(default_factory=dict)
    diameter: float = 0.0
    decoder: Mapping[str, Any] = field(default_factory=dict)
    likeness: Mapping[str, Any] = field(default_factory=dict)
    expected_f1: Sequence[Sequence[float]] = ()
    training: Mapping[str, Any] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    pretraining: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, Any] = field(default_factory=dict)
    storage: str = ""
    file: str = ""
    git_commit: str = ""

    @property
    def crops(self) -> int:
        """How many crops (of a router: views) the network was shown, those of the networks that it started from
        included; of an older checkpoint, which does not say it, those of its training and its pre-training.
        """
        if "crops" in self.training:
            return self.training["crops"]
        return sum(run.get("steps_done", 0) * run.get("batch", 0) for run in (self.training, self.pretraining))

    @classmethod
    def from_json(cls, kind: str, text: str) -> "Config":
        """That of a network of this kind; TypeError for keys that this version does not know."""
        values = json.loads(text)
        return cls(**{"decoder" if key == kind else key: value for key, value in values.items()})

    def to_json(self, kind: str) -> str:
        """Text of `from_json`, with sorted keys."""
        values = {
            kind if key == "decoder" else key: value for key, value in asdict(self).items() if value or key == "network"
        }
        return json.dumps(values, sort_keys=True)
