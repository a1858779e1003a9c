"""training.datasets: what is kept in memory, and for how long. Crops and their targets: test_augmentation and test_targets."""

import cv2
import numpy as np

from training.datasets import keep_samples, load_samples
from training.manifest import Record


def test_images_are_kept_while_their_files_stay(tmp_path):
    """The same object within the block, a new one after a file was changed and after the block."""
    image, labels = tmp_path / "a.png", tmp_path / "b.png"
    for path in (image, labels):
        cv2.imwrite(str(path), np.eye(8, dtype=np.uint8))
    record = Record(image, labels, "train", "s")
    with keep_samples():
        (first,), (again,) = load_samples([record]), load_samples([record])
        assert first is again
        cv2.imwrite(str(labels), np.zeros((8, 8), np.uint8))
        (changed,) = load_samples([record])
        assert changed is not first and not changed.labels.any()
    assert load_samples([record])[0] is not changed
