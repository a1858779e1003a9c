"""training.parcel.images: files that are small, of the same class, and near to what they were."""

import cv2
import numpy as np
import pytest

from inference.reading import read_image
from training.images.cues import cue_class
from training.images.datasets import median_diameter, read_labels
from training.images.manifest import Record
from training.parcel.images import pack_image

SIDE = 256


def record(folder, pixels, labels):
    image, label = folder / "a.png", folder / "a_label.png"
    assert cv2.imwrite(str(image), pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    assert cv2.imwrite(str(label), labels)
    return Record(image, label, "train", "s")


def unpack(packed, folder):
    """Pixels and labels, as the training on the other machine reads them."""
    paths = [folder / f"b{packed.suffix}", folder / f"b_label{packed.label_suffix}"]
    for path, data in zip(paths, (packed.image, packed.label)):
        path.write_bytes(data)
    return read_image(paths[0]).pixels, read_labels(paths[1])


def scene(radius, colours):
    """A disk every 3 radii, on a soft background; labels and pixels of the colours' type and channels."""
    labels = np.zeros((SIDE, SIDE), np.uint16)
    for number, centre in enumerate(np.ndindex((SIDE // (3 * radius),) * 2), start=1):
        cv2.circle(labels, [int((c + 0.5) * 3 * radius) for c in centre], radius, number, -1)
    dark, bright = (np.asarray(colour) for colour in colours)
    soft = cv2.GaussianBlur((labels > 0).astype(np.float32), (0, 0), 2)
    pixels = dark + soft.reshape(SIDE, SIDE, *(1,) * dark.ndim) * (bright - dark)
    return np.rint(pixels), labels


SCENES = {  # class: dark, bright, dtype, radius, suffix
    "fluorescence": (0, 20, 200, np.uint8, 12, ".jpg"),
    "16 bit": (0, 500, 9000, np.uint16, 12, ".jpg"),
    "gray": (1, (90,) * 3, (140,) * 3, np.uint8, 12, ".jpg"),
    "large colour": (2, (230, 200, 220), (120, 40, 130), np.uint8, 60, ".webp"),
    "small colour": (3, (230, 200, 220), (120, 40, 130), np.uint8, 12, ".webp"),
}


@pytest.mark.parametrize("name", SCENES)
def test_class_and_channels_stay(name, tmp_path):
    kind, dark, bright, dtype, radius, suffix = SCENES[name]
    pixels, labels = scene(radius, (dark, bright))
    packed = pack_image(record(tmp_path, pixels.astype(dtype), labels), 56, 75)
    found, found_labels = unpack(packed, tmp_path)
    assert packed.suffix == suffix
    assert len(packed.image) < pixels.astype(dtype).nbytes / 5
    assert (found.dtype, found.ndim) == (np.uint8, pixels.ndim)
    assert cue_class(pixels.astype(dtype), labels) == cue_class(found, found_labels) == kind


def test_pixels_and_labels_are_near(tmp_path):
    """Small cells: no other size, labels are equal, and an image of good contrast is off by little."""
    pixels, labels = scene(12, ((230, 200, 220), (120, 40, 130)))
    found, found_labels = unpack(pack_image(record(tmp_path, pixels.astype(np.uint8), labels), 56, 90), tmp_path)
    assert np.array_equal(found_labels, labels)
    assert np.abs(found - pixels).mean() < 2
    assert found[0, 0, 0] > found[0, 0, 1] + 15, "red stays red"


def test_large_cells_are_reduced(tmp_path):
    """To the largest size that is shown; an image of class 2 only as far as it stays of that class."""
    pixels, labels = scene(40, (20, 200))
    _, found = unpack(pack_image(record(tmp_path, pixels.astype(np.uint8), labels), 56, 75), tmp_path)
    assert median_diameter(found) == pytest.approx(56, rel=0.03)
    assert found.max() == labels.max()
    pixels, labels = scene(80, ((230, 200, 220), (120, 40, 130)))
    _, found = unpack(pack_image(record(tmp_path, pixels.astype(np.uint8), labels), 56, 75), tmp_path)
    assert 8000 < np.bincount(found.ravel())[1:].max() < 8800


def test_a_faint_image_is_stretched_before_it_is_compressed(tmp_path):
    """Of four gray levels 75 % would leave nothing."""
    pixels, labels = scene(12, (3, 7))
    found, _ = unpack(pack_image(record(tmp_path, pixels.astype(np.uint8), labels), 56, 75), tmp_path)
    assert found[labels > 0].mean() > found[labels == 0].mean() + 100


def test_an_image_that_would_change_its_class_travels_as_it_is(tmp_path):
    """Two channels are class 0, and no such file is written here."""
    pixels, labels = scene(12, (20, 200))
    own = record(tmp_path, pixels.astype(np.uint8), labels)
    np.save(tmp_path / "a.npy", np.dstack([pixels.astype(np.uint8)] * 2))
    packed = pack_image(Record(tmp_path / "a.npy", own.label, "train", "s"), 8, 75)
    assert (packed.suffix, packed.image) == (".npy", (tmp_path / "a.npy").read_bytes())
    assert packed.label == own.label.read_bytes()
