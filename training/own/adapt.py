"""Fine-tune the network of one class on one's own images, and fit its decoding: a candidate for a weights folder."""

import copy
import io
import logging
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import tifffile

from inference.kinds import KINDS
from inference.network import Network, choose_device
from models.checkpoint import load_checkpoint, read_config, save_checkpoint
from models.likeness import Likeness
from training.averaging import average
from training.fitting import choose, decoded, score_settings
from training.images.datasets import Sample, keep_samples, load_samples
from training.images.manifest import Record, write_manifest
from training.learning.finetune_trainer import FinetuneSettings, FinetuneTrainer
from training.learning.loop import train
from training.learning.resume import RESUME_FILE
from training.learning.settings import DEFAULT_DIAMETER
from training.own.collection import OwnImage
from training.validation import validate

log = logging.getLogger(__name__)

SOURCE = "own"  # of one's own images, in manifests and in the model card
OWN_SHARE = 0.5  # of the crops, where others are mixed in
SHARE_OF_FIT = 0.12  # of the time budget, for the thresholds
MOST_FITTED = 16  # images
GAIN = 0.01  # smallest gain in F1 for which a threshold or the working size is changed
VALIDATIONS = 8  # in a training
FORGOTTEN = 0.01  # loss in F1 on other images up to which a network has forgotten nothing
SHARES = 1.0, 0.75, 0.5, 0.25  # of the way from a network to what training has made of it
# A network that serves images like one's own alone may go far from its start: what it forgets, no other image misses.
FAR = {"lr": 1e-3, "pull": 4.0}


@dataclass(frozen=True)
class Task:
    """What the network of a class is to be trained on.

    class_ : 0 to 3
    start : its checkpoint
    images : one's own
    routed : names of those that predict.py sends to this network; the router found its class likely for the others
    splits : train, val or test by the image's name
    original : others to train on beside them
    folder : for the files of the training
    likeness : how images like these are told; the network is to serve those alone. None if it is to serve all of its
        class
    """

    class_: int
    start: Path
    images: Sequence[OwnImage]
    routed: Collection[str]
    splits: Mapping[str, str]
    original: Sequence[Record]
    folder: Path
    likeness: Likeness | None = None

    def write_labels(self) -> list[Record]:
        """Write the labels of one's own images to files that trainings read, if they are not there; the images with
        them. A training that was stopped goes on with the labels that it had, or not at all.
        """
        records = []
        for image in self.images:
            label = self.folder / "labels" / f"{image.name}_label.tiff"
            label.parent.mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            tifffile.imwrite(buffer, image.labels, compression="zlib", metadata=None)
            before = label.read_bytes() if label.exists() else None
            if before != buffer.getvalue():
                if before is not None and (self.folder / RESUME_FILE).exists():
                    log.info("%s: its labels have changed; the training begins again", image.name)
                    (self.folder / RESUME_FILE).unlink()
                label.write_bytes(buffer.getvalue())
            records.append(Record(image.image, label, self.splits[image.name], SOURCE, "", image.partial))
        return records


@dataclass(frozen=True)
class Others:
    """Images that a network was made for, which it is not to forget where it is to serve all of its class.

    f1 : of the network before it is trained on
    """

    samples: Sequence[Sample]
    f1: float


def adapt(
    task: Task,
    others: Others,
    minutes: float,
    fit_seconds: float,
    device: str,
    seed: int,
    shares: Sequence[float] = SHARES,
) -> Path | None:
    """The checkpoint of a network that is better on the images of split val than its start; None if none is.

    Parameters
    ----------
    shares : as of `step_back`
    minutes : for the training
    fit_seconds : for the thresholds and the working size

    Raises
    ------
    ValueError
        As `training.learning.loop.train`.
    SystemExit
        If the training is stopped by SIGTERM.
    KeyboardInterrupt
        If it is stopped by Ctrl-C.
    """
    records = task.write_labels()
    manifest = task.folder / "manifest.csv"
    write_manifest(manifest, [*records, *task.original])
    kind, before = read_config(task.start)
    settings = FinetuneSettings(
        manifest=manifest,
        out=task.folder,
        leave_out=[],
        init=task.start,
        stream=kind,
        source_factors=own_factor(records, task.original),
        validate_images=len(records),
        validate_every=minutes / VALIDATIONS,
        time_budget=minutes,
        seed=seed,
        device=device,
        **(FAR if task.likeness else {}),
    )
    with keep_samples():
        if code := train(FinetuneTrainer, settings):
            raise SystemExit(code)
        (task.folder / RESUME_FILE).unlink(missing_ok=True)
        candidate = task.folder / f"{kind}.safetensors"
        if task.likeness is None and read_config(candidate)[1].validation.get("step", 0) > 0:
            step_back(task.start, candidate, others, shares, device)
        network = Network.load(candidate, choose_device(device))
        val, rest = (load_samples([r for r in records if r.split == split]) for split in ("val", "train"))
        fit(candidate, network, val, rest, None if task.likeness else others, fit_seconds)
    after = read_config(candidate)[1]
    trained = after.validation.get("step", 0) > 0
    fitted = (after.diameter, after.decoder) != (before.diameter, before.decoder)
    if not (trained or fitted):
        return None
    if task.likeness:
        model, _ = load_checkpoint(candidate)
        save_checkpoint(candidate, model, replace(after, likeness=asdict(task.likeness)))
    return candidate


def step_back(start: Path, candidate: Path, others: Others, shares: Sequence[float], device: str) -> None:
    """Replace a network by one on the straight way between its start and itself, as far from the start as it forgets
    nothing. Such networks do nearly as well on what was trained, and far better on everything else (Wortsman et al.,
    *Robust Fine-Tuning of Zero-Shot Models*, CVPR 2022).

    Parameters
    ----------
    shares : of the way, the longest one first; the last one is taken in any case
    """
    trained = read_config(candidate)[1]
    for share in shares:
        model, _ = average([start, candidate], [1 - share, share])
        network = Network(copy.deepcopy(model), trained, choose_device(device))
        f1 = validate(network, others.samples)
        if others.f1 - f1 <= FORGOTTEN:
            break
    log.info(
        "%.0f %% of the way to the trained network: F1 on other images %.3f, before %.3f", 100 * share, f1, others.f1
    )
    save_checkpoint(candidate, model, replace(trained, training={**trained.training, "share": share}))


def own_factor(own: Sequence[Record], others: Sequence[Record]) -> list[tuple[str, float]]:
    """The factor by which one's own images are drawn OWN_SHARE of the time, as
    `training.images.datasets.balanced_weights` takes it."""
    sizes, balance = Counter(record.source for record in others), FinetuneSettings.balance
    train = sum(record.split == "train" for record in own)
    if not sizes or not train:
        return []
    return [(SOURCE, OWN_SHARE / (1 - OWN_SHARE) * sum(n**balance for n in sizes.values()) / train**balance)]


def fit(
    candidate: Path,
    network: Network,
    val: Sequence[Sample],
    rest: Sequence[Sample],
    others: Others | None,
    seconds: float,
) -> None:
    """Fit thresholds and working size on held-out and training images, and keep them if the held-out ones gain too, and
    if nothing is forgotten by them of the others, where there are any.
    """
    model, config = load_checkpoint(candidate)
    default = float(config.diameter or DEFAULT_DIAMETER), KINDS[network.kind].Settings(**config.decoder)
    first = validate(network, val)
    scores = score_settings(network, in_time([*val, *rest][:MOST_FITTED], seconds), default[0], (default[1],))
    chosen = choose(scores, default, GAIN)
    if chosen == default:
        return
    known = min(others.f1, validate(network, others.samples)) if others else 0.0
    network.config = decoded(config, chosen)
    fitted = validate(network, val)
    if fitted <= first or (others and validate(network, others.samples) < known - FORGOTTEN):
        return
    log.info("thresholds: held-out F1 %.4f with cells of %g pixels and %s, %.4f before", fitted, *chosen, first)
    validation = {**config.validation, "f1": fitted}
    save_checkpoint(candidate, model, replace(network.config, validation=validation))


def in_time(samples: Sequence[Sample], seconds: float) -> Iterator[Sample]:
    """The samples one after the other until the time is up, at least one."""
    began = time.monotonic()
    for number, sample in enumerate(samples):
        if number and time.monotonic() - began > seconds * number / (number + 1):
            return
        yield sample
