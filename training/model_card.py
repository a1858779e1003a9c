"""MODEL_CARD.md of a weights folder, written from the checkpoints' configurations; the part on failures is kept as it
is.
"""

import re
from pathlib import Path

from models.config import Config
from training.images.cues import CLASS_NAMES
from training.images.terms import restrictions
from training.tables import markdown, read_table

CARD = "MODEL_CARD.md"
BEGIN, END = "<!-- known failures: written by hand, kept by training.assemble -->", "<!-- end of known failures -->"

INTRODUCTION = """# Model card

Weights of multistream-cellseg: a router that tells four classes of microscopy images apart, and a segmenter for each
class. `python -m training.assemble` writes this page from what the checkpoints say of themselves. They are safetensors
files, nothing in them is executed; `sha256sum -c SHA256SUMS` checks them.
"""
TERMS = "## What they may be used for"
RESTRICTIONS = {  # of training.images.terms
    "non-commercial": (
        "These weights are for non-commercial use only, as are some of the images that they were trained on"
    ),
    "conditions": (
        "Some sources are bound to conditions (share-alike, the GPL, a publisher's own); read them before you pass the "
        "weights on"
    ),
    "unclear": "Some sources have unclear terms; ask their publishers before you pass the weights on",
}
FREE = "Every source of the training data is under permissive terms, which ask for attribution at most"
EVERY_SOURCE = "The table of the training data has the terms of each source."
VALIDATION = "## Validation"
NOT_SINCE = (
    "Not measured since a network was replaced: run training.label and training.measure.sources, then "
    "training.assemble --scores."
)
NOTHING_YET = "Nothing is written here yet."
UNKNOWN = "not recorded"


def write_card(
    path: Path,
    configs: dict[str, tuple[str, Config]],
    sizes: dict[str, int],
    scores: Path | None,
    changed: bool,
    note: str = "",
) -> None:
    """Write the card.

    Parameters
    ----------
    configs : kind and configuration of each part, "router", "class0" to "class3" or "class0-own" to "class3-own", as
        `models.checkpoint.read_config` gives them
    sizes : of their files, in bytes
    scores : CSV file of training.measure.sources; without one the card's table of scores stays if the networks do
    changed : whether a network was replaced
    note : more about the validation
    """
    failures = known_failures(path) if path.exists() else NOTHING_YET
    sections = [
        INTRODUCTION,
        terms_text(configs),
        "## Networks\n",
        networks_table(configs, sizes),
        crops_text(configs),
        pretraining_text(configs),
        router_text(configs),
        f"{VALIDATION}\n",
        scores_text(scores) if scores else NOT_SINCE + "\n" if changed else kept_scores(path),
        note,
        "## Data\n",
        sources_text(configs),
        f"## Known failures\n\n{BEGIN}\n{failures}\n{END}\n",
    ]
    path.write_text("\n".join(s for s in sections if s), encoding="utf-8")
    path.chmod(0o644)


def known_failures(card: Path) -> str:
    """The text between the markers of a card.

    Raises ValueError if the markers are not both there, once.
    """
    found = re.findall(f"{re.escape(BEGIN)}(.*?){re.escape(END)}", card.read_text(encoding="utf-8"), re.DOTALL)
    if len(found) != 1:
        raise ValueError(
            f"{card}: the lines {BEGIN!r} and {END!r} must both be there, once, so that what is between them is "
            "kept; put them back, or move the file away"
        )
    return found[0].strip("\n")


def kept_scores(card: Path) -> str:
    """The section on validation of a card that may not be there."""
    found = (
        re.search(f"{VALIDATION}\n\n(.*?)\n## ", card.read_text(encoding="utf-8"), re.DOTALL) if card.exists() else None
    )
    return found[1] if found else NOT_SINCE + "\n"


def scores_text(path: Path) -> str:
    """Table of the means over seen and over unseen sources, and of each source, from training.measure.sources.

    Raises ValueError if the file has no such means.
    """
    rows = [
        {"source": row["source"], "images": row["images"]}
        | {name: float(f1) for name, f1 in row.items() if name not in ("source", "seen", "images")}
        for _, row in read_table(path, ("source", "seen", "images"))
    ]
    if not any(row["source"].startswith("mean ") for row in rows):
        raise ValueError(f"{path}: no mean over sources; make the file with training.measure.sources ... --csv FILE")
    return (
        "Mean F1 at IoU 0.5 on the validation images, by `training.measure.sources`. Of unseen sources training had\n"
        "no image. In those marked * only some cells are labelled, and cells beside these are left out:\n\n"
        f"{markdown(rows, lambda row: row['source'].startswith('mean '))}\n"
    )


def networks_table(configs: dict[str, tuple[str, Config]], sizes: dict[str, int]) -> str:
    """A line a file: what it is and how it was trained."""
    rows = []
    for part, (kind, config) in configs.items():
        training = config.training
        network = {"router": "ResNet18", "stardist": "StarDist", "hover": "Hover"}[kind]
        network += f" ({config.network['encoder']})" if "encoder" in config.network else ""
        rows.append(
            {
                "file": f"{part}.safetensors",
                "images": images_of(part),
                "network": network,
                "MB": f"{sizes[part] / 1e6:.1f}, {config.storage or UNKNOWN}",
                "steps": training.get("steps_done", UNKNOWN),
                "minutes": minutes_of(training),
                "crops": f"{config.crops:,}" if config.crops else UNKNOWN,
                "seed": training.get("seed", UNKNOWN),
                "from": "pre-training" if config.pretraining else start(training),
                "validation": validation(config),
            }
        )
    return f"{markdown(rows)}\n"


def images_of(part: str) -> str:
    """The images that a part serves."""
    if part == "router":
        return "all"
    name, _, own = part.removeprefix("class").partition("-")
    return CLASS_NAMES[int(name)] + (", like one's own" if own else "")


def minutes_of(training: dict) -> str:
    """How long a training took."""
    return f"{training['seconds'] / 60:.0f}" if "seconds" in training else UNKNOWN


def crops_text(configs: dict[str, tuple[str, Config]]) -> str:
    """The least and the most crops that a segmenter has seen, in a sentence."""
    seen = sorted({config.crops for part, (_, config) in configs.items() if part != "router" and config.crops})
    if not seen:
        return ""
    amount = f"{seen[0]:,}" if len(seen) == 1 else f"{seen[0]:,} to {seen[-1]:,}"
    return f"Each segmenter has seen {amount} crops, those of the networks that it started from included.\n"


def start(training: dict) -> str:
    """What a training started from."""
    if "averaged" in training:
        return f"average of {' and '.join(training['averaged'])}"
    return training.get("init") or ("random weights" if training.get("random_init") else "ImageNet")


def validation(config: Config) -> str:
    """A checkpoint's validation figures."""
    figures = config.validation
    if not figures:
        return "not measured"
    name, value = ("accuracy", figures["accuracy"]) if "accuracy" in figures else ("F1", figures["f1"])
    return f"{name} {value:.4f}" + (f" on {figures['images']} images" if "images" in figures else "")


def pretraining_text(configs: dict[str, tuple[str, Config]]) -> str:
    """A line for each pre-training that a network started from."""
    runs = [(kind, config.pretraining) for kind, config in configs.values() if config.pretraining]
    lines = [
        f"- {kind}: {run['steps_done']} steps of {run['batch']} crops of {run['crop']}x{run['crop']} pixels in "
        f"{minutes_of(run)} minutes, on all classes, seed {run['seed']}, from {start(run)}"
        for kind, run in runs
    ]
    return "Pre-training:\n\n" + "\n".join(dict.fromkeys(lines)) + "\n" if lines else ""


def router_text(configs: dict[str, tuple[str, Config]]) -> str:
    """The router's figures by class."""
    figures = configs["router"][1].validation if "router" in configs else {}
    if not figures:
        return ""
    accuracies = ", ".join(f"{CLASS_NAMES[int(k)]} {accuracy:.4f}" for k, accuracy in figures["per_class"].items())
    average = f", {figures['mean_diameter_factor']:.2f} (mean)" if "mean_diameter_factor" in figures else ""
    return (
        f"Router, accuracy by class: {accuracies}. Its diameter of the cells is off by a factor of "
        f"{figures['diameter_factor']:.2f} (median){average}.\n"
    )


def terms_text(configs: dict[str, tuple[str, Config]]) -> str:
    """What the sources' terms allow: a sentence for each restriction, with the sources that it comes from."""
    terms = terms_of_sources(configs)
    named = {
        text: sorted(source for source, own in terms.items() if name in restrictions(own))
        for name, text in RESTRICTIONS.items()
    }
    sentences = [f"{text}: {', '.join(sources)}." for text, sources in named.items() if sources]
    if terms and not sentences:
        sentences = [f"{FREE}: {', '.join(sorted(terms))}."]
    return "\n\n".join([TERMS, *sentences, EVERY_SOURCE]) + "\n"


def terms_of_sources(configs: dict[str, tuple[str, Config]]) -> dict[str, str]:
    """Terms of each source that any of the networks was trained on; empty where they were not given."""
    terms: dict[str, str] = {}
    for _, config in configs.values():
        for source, entry in sources_of(config).items():
            terms[source] = entry["terms"] or terms.get(source, "")
    return terms


def sources_of(config: Config) -> dict[str, dict]:
    """Source -> number of images and terms."""
    return config.sources or {UNKNOWN: {"images": UNKNOWN, "terms": ""}}


def sources_text(configs: dict[str, tuple[str, Config]]) -> str:
    """Table of the training data with their terms."""
    used, terms = {}, terms_of_sources(configs)
    for part, (_, config) in configs.items():
        for source, entry in sources_of(config).items():
            used.setdefault(source, {})[part] = entry["images"]
    rows = [
        {
            "source": source,
            "images": ", ".join(dict.fromkeys(map(str, images.values()))),
            "used for": "all" if len(images) == len(configs) else ", ".join(images),
            "terms": terms[source] or "not given",
        }
        for source, images in sorted(used.items())
    ]
    said = "Training images of each source"
    if any(config.pretraining for _, config in configs.values()):
        said += "; that of a fine-tuned segmenter was, at the end, on those of its own class"
    return f"{said}.\n\n{markdown(rows)}\n"
