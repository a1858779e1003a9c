"""Where `training.protocol` keeps the networks of a run, and `training.assemble` and `training.measure.ablation` find
them.

RUNS/pretrain/               both networks of joint pre-training: stardist.safetensors, hover.safetensors
RUNS/pretrain-stardist/      the paper's separate pre-training, a folder for each network
RUNS/pretrain-hover/
RUNS/class0-stardist/ ...    a network fine-tuned on one class, as class1-hover/hover.safetensors
RUNS/router/                 router.safetensors

RUNS may also be the folder of a joint training itself, as training.train --stream both writes it.
"""

from pathlib import Path

from models.classes import CLASSES, ROUTER_FILE

NETWORK_KINDS = ("stardist", "hover")
CLASS_KINDS = tuple(c.kind for c in CLASSES)  # of classes 0 to 3 in the product (paper, section 2.3)


def pretrained(runs: Path, kind: str) -> Path:
    """Checkpoint of a kind pre-trained on all classes; the separate one if there is one, else the joint one, else one
    in RUNS itself.
    """
    folders = runs / f"pretrain-{kind}", runs / "pretrain", runs
    paths = [folder / f"{kind}.safetensors" for folder in folders]
    return next((path for path in paths if path.exists()), paths[1])


def finetuned(runs: Path, cue_class: int, kind: str) -> Path:
    """Checkpoint of a kind fine-tuned on a class."""
    return runs / f"class{cue_class}-{kind}" / f"{kind}.safetensors"


def router(runs: Path) -> Path:
    """Checkpoint of the router."""
    return runs / "router" / ROUTER_FILE
