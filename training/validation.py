"""Selection of networks by validation F1 through the real inference path (paper, section 3.3: the best model on
validation).

The images are segmented at the size that their true cell diameter asks for, so that the score tells of the network
alone and not of the router's or the first pass's measurement of the cells.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from inference.image.scaling import labelling_scale
from inference.network import Network
from inference.pipeline import segment_at
from training.images.datasets import Sample, load_samples
from training.images.manifest import NoSuchSplit, Record, read_manifest
from training.measure.f1 import f1_score, score_image
from training.tables import grouped


def validation_samples(
    manifest: Path, classes: Sequence[int] | None, count: int, leave_out: Sequence[str] = ()
) -> list[Sample]:
    """At most `count` images of the manifest's split "val", of these cue classes (None: all), balanced over the
    sources.

    Sources that are not trained on are left out, as of `of_trained_sources`.

    Raises ValueError if there is none. The message names the manifest and the remedy.
    """
    records = of_trained_sources(manifest, read_manifest(manifest, "val"), leave_out)
    if not classes:
        return load_samples(pick_balanced(records, count))
    samples = {s.record: s for s in load_samples(records) if s.cue_class in classes}
    if not samples:
        raise ValueError(
            f"{manifest}: no image of split 'val' is of class {', '.join(map(str, classes))}; give other "
            "--classes or --validate-images 0"
        )
    return [samples[r] for r in pick_balanced(list(samples), count)]


def of_trained_sources(manifest: Path, records: list[Record], leave_out: Sequence[str] = ()) -> list[Record]:
    """The records whose source has images in the manifest's split "train", so that the others go on telling what a
    network does on images of strangers; where there are only others, they serve.

    Parameters
    ----------
    leave_out : sources that are not trained on all the same; they never serve

    Raises
    ------
    ValueError
        If none is left.
    """
    kept = [r for r in records if r.source not in leave_out]
    if not kept:
        raise ValueError(f"{manifest}: no image of split 'val' is left without the sources of --leave-out")
    try:
        trained = {r.source for r in read_manifest(manifest, "train", files=False)}
    except NoSuchSplit:
        return kept
    return [r for r in kept if r.source in trained] or kept


def pick_balanced(records: list[Record], count: int) -> list[Record]:
    """`count` records (all, if there are fewer): as nearly as can be equally many of each source, spread evenly over
    its list.
    """
    sources = grouped(records, lambda record: record.source)
    shares = dict.fromkeys(sources, 0)
    for _ in range(min(count, len(records))):
        open_sources = [s for s in sources if shares[s] < len(sources[s])]
        shares[min(open_sources, key=shares.get)] += 1
    return [own[len(own) * i // shares[source]] for source, own in sources.items() for i in range(shares[source])]


def validate(network: Network, samples: Sequence[Sample], on_image: Callable[[], None] = lambda: None) -> float:
    """Mean F1 at IoU 0.5 over the images. `on_image` is called before each one, and may raise to break off."""
    return float(np.mean(scores_of(network, samples, on_image)))


def scores_of(network: Network, samples: Sequence[Sample], on_image: Callable[[], None] = lambda: None) -> list[float]:
    """F1 at IoU 0.5 of each image. Parameters as of `validate`."""
    scores = []
    for sample in samples:
        on_image()
        labels = segment_at(sample.pixels, network, true_scale(sample, network))
        scores.append(f1_to_truth(sample.record, sample.labels, labels))
    return scores


def f1_to_truth(record: Record, truth: np.ndarray, labels: np.ndarray) -> float:
    """F1 at IoU 0.5 of the labels (H, W) of an image; where not all cells are labelled, without those beside them."""
    return f1_score(*score_image(truth, without_unlabelled(labels, truth) if record.partial else labels)[0])


def true_scale(sample: Sample, network: Network) -> float:
    """The scale for the true median diameter, as at inference; 1 for an image without cells."""
    return 1.0 if math.isnan(sample.diameter) else labelling_scale(network.config.diameter, sample.diameter)


def without_unlabelled(labels: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Copy of `labels` without the cells that lie mostly beside the true ones.

    Where only some cells are labelled, a cell found elsewhere may well be there and must not count as spurious.

    Parameters
    ----------
    labels, truth : integer arrays of shape (H, W), 0 is background
    """
    area = np.bincount(labels.ravel())
    known = np.bincount(labels[truth > 0], minlength=area.size)
    return np.where((2 * known > area)[labels], labels, 0)
