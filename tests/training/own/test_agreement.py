"""training.own.agreement: labels that lie elsewhere than the cells, and labels of some of them."""

import cv2
import numpy as np
import pytest

from training.own.agreement import Compared, check_place, check_strangers, check_swaps


def scene(seed, shape=(200, 200), bright=True):
    """An image with noise, and the labels of its disks, which lie askew."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    for cell in range(1, 15):
        centre = int(rng.integers(shape[1])), int(rng.integers(0.7 * shape[0]))
        cv2.circle(labels, centre, int(rng.integers(7, 13)), cell, -1)
    image = np.where(labels > 0, 150 if bright else 50, 100) + rng.normal(0, 12, shape)
    return image.clip(0, 255).astype(np.uint8), labels


def kinds(image, labels):
    return [f.kind for f in check_place(Compared.of(image, labels))]


@pytest.mark.parametrize("bright", [True, False])
def test_labels_on_their_cells_are_right(bright):
    for seed in range(4):
        assert kinds(*scene(seed, bright=bright)) == []


def test_an_image_without_cells_is_right():
    assert kinds(scene(0)[0], np.zeros((200, 200), np.uint16)) == []


def test_labels_that_fit_nothing_among_others_that_fit():
    images = [Compared.of(*scene(seed)) for seed in range(3)]
    strange = Compared.of(scene(3)[0], scene(8)[1])
    assert check_strangers([*images, strange]) == [3]
    assert check_strangers(images) == check_strangers([strange]) == []
    assert check_strangers([*images, Compared.of(scene(3)[0], np.zeros((200, 200), np.uint16))]) == []


@pytest.mark.parametrize("turn", [np.transpose, np.flipud, np.fliplr, np.rot90])
def test_turned_labels(turn):
    image, labels = scene(1)
    assert kinds(image, np.ascontiguousarray(turn(labels))) == ["turned"]


def test_shifted_labels_are_told_the_way_back():
    image, labels = scene(2)
    (finding,) = check_place(Compared.of(image, np.roll(labels, (18, -24), (0, 1))))
    assert finding.kind == "shifted"
    assert "18 px up and 24 px right" in finding.text


def test_a_large_image_is_compared_in_small():
    image, labels = (cv2.resize(a, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST) for a in scene(2))
    (finding,) = check_place(Compared.of(image, np.roll(labels, (80, 0), (0, 1))))
    assert finding.kind == "shifted"
    assert kinds(image, labels) == []


def test_a_few_labels_of_many_cells():
    image, labels = scene(3)
    assert kinds(image, np.where(labels > 3, 0, labels)) == ["mostly unlabelled"]
    assert kinds(image, np.where(labels > 12, 0, labels)) == []


def test_one_label_of_many_cells():
    """The fewer are labelled, the less the labels go with the image as a whole."""
    for seed in range(4):
        image, labels = scene(seed, (400, 400))
        assert kinds(image, np.where(labels == 14, labels, 0)) == ["mostly unlabelled"]


def test_swapped_labels_name_each_other():
    images = [scene(seed) for seed in range(4)]
    labels = [images[n][1] for n in (0, 2, 1, 3)]
    assert check_swaps([Compared.of(i, own) for (i, _), own in zip(images, labels)]) == {1: 2, 2: 1}
    assert check_swaps([Compared.of(i, own) for i, own in images]) == {}
