"""What fine-tuning has gained and lost, and the weights folder that follows from it."""

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.outputs.overlay import write_png
from models.checkpoint import read_config
from models.checksums import write_checksums
from models.classes import CLASSES, REFERENCE_FILE, ROUTER_FILE
from models.weights_folder import ALL_FILES, FILES, own_files
from training.images.sources import united
from training.measure.pictures import picture, worst_window
from training.model_card import CARD
from training.own.adapt import FORGOTTEN, SOURCE
from training.own.scoring import Found, mean_f1
from training.placing import describe, place, tell_router
from training.tables import markdown

log = logging.getLogger(__name__)

WORTH = 0.005  # gain in F1 from which on a network replaces the one that it was made of
SHOWN = 4  # images in the picture
OWN_TERMS = "of the owner of the images"


@dataclass(frozen=True)
class Outcome:
    """Of one class.

    candidate : checkpoint of the fine-tuned network; None if the training has found none that is better
    images : number of images that were trained on
    before, after : what the whole program finds in the held-out images with either network
    others : what the two networks score on images that the first one was made for; nan where there are none
    honest : the held-out images did not choose the network
    own : the network is for images like one's own alone, beside that of the class
    """

    class_: int
    candidate: Path | None
    images: int
    before: Sequence[Found]
    after: Sequence[Found]
    others: tuple[float, float]
    honest: bool
    own: bool = False

    @property
    def gain(self) -> float:
        """In mean F1 on the held-out images."""
        return mean_f1(self.after) - mean_f1(self.before)

    @property
    def better(self) -> bool:
        """Whether the fine-tuned network is to be used."""
        return self.candidate is not None and self.gain >= WORTH

    @property
    def lost(self) -> float:
        """On images that the network was made for; nan where that was not measured."""
        return self.others[0] - self.others[1]

    @property
    def name(self) -> str:
        return CLASSES[self.class_].name


def write_weights(start: Path, out: Path, outcomes: Sequence[Outcome]) -> None:
    """A complete weights folder: the fine-tuned networks that are better, in the place of those of `start` or beside
    them, and of the others those of `start`.

    If it is broken off, the folder has no router, without which it is none for predict.py and for another run.
    """
    out.mkdir(parents=True, exist_ok=True)
    try:
        _write_all(start, out, outcomes)
    except BaseException:
        (out / ROUTER_FILE).unlink(missing_ok=True)
        raise


def _write_all(start: Path, out: Path, outcomes: Sequence[Outcome]) -> None:
    better = [o for o in outcomes if o.better]
    replaced = {CLASSES[o.class_].own_file for o in better}  # of an earlier round
    for name in ALL_FILES:
        (out / name).unlink(missing_ok=True)  # of a run that was broken off
    for name in (*FILES, *own_files(start), REFERENCE_FILE, CARD):
        if name not in replaced and (start / name).exists():
            shutil.copyfile(start / name, out / name)
    for outcome in better:
        image_class = CLASSES[outcome.class_]
        before, after = (read_config(path)[1] for path in (start / image_class.file, outcome.candidate))
        sources = united(before.sources, after.sources) | {SOURCE: {"images": outcome.images, "terms": OWN_TERMS}}
        file = image_class.own_file if outcome.own else image_class.file
        place(outcome.candidate, out / file, sources, before.pretraining or before.training)
    expected, gains = read_config(start / ROUTER_FILE)[1].expected_f1, {o.class_: o.gain for o in better if not o.own}
    if gains and expected:
        tell_router(start / ROUTER_FILE, out / ROUTER_FILE, follow(expected, gains))
    write_checksums(out, ALL_FILES)
    describe(out, None, bool(better), card_note(outcomes))


def follow(table: Sequence[Sequence[float]], gains: Mapping[int, float]) -> list[list[float]]:
    """The router's table of expected F1, in which each network's on its own class has changed by its gain.

    Examples
    --------
    >>> follow([[0.5, 0.4], [0.2, 0.9]], {1: 0.2})
    [[0.5, 0.4], [0.2, 1.0]]
    """
    changed = [list(row) for row in table]
    for class_, gain in gains.items():
        changed[class_][class_] = round(min(1.0, max(0.0, changed[class_][class_] + gain)), 4)
    return changed


def card_note(outcomes: Sequence[Outcome]) -> str:
    """The part of the model card on fine-tuning."""
    rows = [
        {
            "network": o.name,
            "trained on": o.images,
            "held out": len(o.before),
            "before": mean_f1(o.before),
            "after": mean_f1(o.after),
            "others before": o.others[0],
            "others after": o.others[1],
            "used": ("beside the class's" if o.own else "yes") if o.better else "no",
        }
        for o in outcomes
    ]
    return (
        "Fine-tuned by `training.finetune`; F1 on held-out images of one's own, and at the true size on others:\n\n"
        f"{markdown(rows)}\n"
    )


def draw_worst(path: Path, outcomes: Sequence[Outcome]) -> None:
    """The held-out images with the lowest F1 after fine-tuning: before above after, each with the truth on the left."""
    pairs = [pair for o in outcomes for pair in zip(o.before, o.after)]
    panels = []
    for before, after in sorted(pairs, key=lambda pair: pair[1].f1)[:SHOWN]:
        window = worst_window(after.judged())
        panels += [picture(before.judged("before"), window), picture(after.judged("after"), window)]
    width = max(panel.shape[1] for panel in panels)
    write_png(path, np.concatenate([np.pad(p, ((0, 6), (0, width - p.shape[1]), (0, 0))) for p in panels]))


def advice(out: Path, start: Path, outcomes: Sequence[Outcome], class_: int | None) -> list[str]:
    """Lines that say whether to use the folder, and for what."""
    lines = []
    for o in outcomes:
        held = f"{len(o.before)} held-out image{'s' if len(o.before) > 1 else ''}"
        told = sum(f.own for f in o.after)
        like = f"{o.name}: of {held} {told} go to the new network, as images like yours do"
        if not o.better:
            lines.append(
                f"{o.name}: no better, F1 {mean_f1(o.before):.3f} before and {mean_f1(o.after):.3f} after on {held}; "
                f"{out} keeps the network of {start}. More images, other ones, or a longer --time-budget may help"
            )
            if o.own and o.candidate:
                lines.append(f"{like}; --share 1 sends all")
            continue
        bias = "" if o.honest else ", which also chose the network: expect a little less on others"
        lines.append(f"{o.name}: F1 {mean_f1(o.before):.3f} -> {mean_f1(o.after):.3f} on {held}{bias}")
        if o.own:
            lines.append(f"{like}; all others go on to the one of {start}")
        if o.lost > FORGOTTEN:
            lines.append(
                f"{o.name}: on other images F1 went from {o.others[0]:.3f} to {o.others[1]:.3f}; for images unlike "
                f"yours keep {start}"
            )
    better = [o for o in outcomes if o.better]
    route = "" if class_ is None else f" --route {CLASSES[class_].name.replace(' ', '-')}"
    if better:
        lines.append(f"use it: python predict.py -i my_images -o better --weights {out}{route}")
    else:
        lines.append(f"do not use it: {out} holds the networks of {start}, unchanged")
    return lines
