"""training.images.datasets: what is kept in memory, which crops are drawn, and the targets that come with them."""

import cv2
import numpy as np
import pytest
import tifffile
import torch

from training.images import augmentation
from training.images.datasets import (
    ON_CELL,
    CropDataset,
    Sample,
    balanced_weights,
    certainty,
    keep_samples,
    load_sample,
    load_samples,
    median_diameter,
    read_labels,
)
from training.images.manifest import Record, read_manifest


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def square(shape, top, left, side):
    labels = np.zeros(shape, np.int32)
    labels[top : top + side, left : left + side] = 1
    return labels


def sample(pixels, labels, source="a"):
    return Sample(Record(None, None, "train", source), pixels, labels, median_diameter(labels), 0)


def test_most_crops_are_centred_on_a_cell():
    """One small cell in a large image: four of five crops, and hardly one of the others by chance."""
    labels = np.zeros((400, 400), np.uint16)
    labels[190:200, 190:200] = 1
    crops = CropDataset([sample(labels.astype(np.uint8), labels)], 64, median_diameter(labels), (1.0, 1.0), seed=0)
    with_cell = np.mean([bool(crops[i]["cell"].any()) for i in range(200)])
    assert with_cell == pytest.approx(0.8, abs=0.07)


def test_negatives_are_shown_without_cells(rng):
    """An image without cells gives crops whose targets are empty, at the random sizes that the others have; alone it is
    refused.
    """
    empty = sample(rng.integers(0, 256, (80, 80), np.uint8), np.zeros((80, 80), np.uint16))
    labels = square((80, 80), 20, 30, 25).astype(np.uint16)
    data = CropDataset([empty, sample((200 * labels).astype(np.uint8), labels)], 64, 28.0)
    crops = [data[i] for i in range(30)]
    negatives = [c for c in crops if c["sample"] == 0]
    assert 5 < len(negatives) < 25
    assert not any(c["prob"].any() or c["cell"].any() or c["dist"].any() for c in negatives)
    assert all(c["weight"].max() == 1 for c in negatives)
    with pytest.raises(ValueError, match="no image with labelled cells"):
        CropDataset([empty], 64, 28.0)


def test_a_photograph_without_a_cell_is_trained_on(rng, tmp_path):
    """From the files: a line of the manifest like any other, with a label image that is 0 everywhere."""
    labels = square((80, 80), 20, 30, 25).astype(np.uint16)
    for name, cells in (("cells", labels), ("glass", 0 * labels)):
        pixels = np.where(cells > 0, 200, 90) + rng.integers(0, 30, cells.shape)
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), pixels.astype(np.uint8))
        assert cv2.imwrite(str(tmp_path / f"{name}_label.png"), cells)
    lines = ["image,label,split,source", *(f"{n}.png,{n}_label.png,train,{n}" for n in ("cells", "glass"))]
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    samples = load_samples(read_manifest(tmp_path / "manifest.csv", "train"))
    assert [np.isnan(s.diameter) for s in samples] == [False, True]
    data = CropDataset(samples, 64, 28.0)
    crops = [data[i] for i in range(40)]
    empty = [crop for crop in crops if crop["sample"] == 1]
    assert 10 < len(empty) < 30
    assert not any(crop["cell"].any() or crop["prob"].any() for crop in empty)
    assert all(crop["weight"].any() and crop["hover_weight"].any() for crop in empty)


def test_unlabelled_surroundings_count_less():
    """Where only some cells are labelled: full weight in and near a labelled cell, a fifth elsewhere."""
    labels = square((80, 80), 30, 30, 20).astype(np.int32)
    weight = certainty(labels, 20.0)
    assert np.all(weight[labels > 0] == 1)
    assert weight[26, 40] == 1
    assert weight[40, 55] == 1
    assert weight[10, 10] == weight[40, 70] == np.float32(0.2)


def test_source_factors():
    """Two sources of four images each, one of them drawn a third as often; a source without a factor is not touched."""
    sources = [Sample(Record(None, None, "train", source), None, None, 10.0, 0) for source in "aaaabbbb"]
    weights = balanced_weights(sources, 0.5, {"a": 1 / 3})
    assert weights[:4].sum() == pytest.approx(0.25)
    assert weights[4:].sum() == pytest.approx(0.75)


def test_crops_travel_in_few_bytes():
    """8 bits a channel of the image and 16 a target: a crop of 256 has less than 0.7 MB (1.9 MB as float32)."""
    labels = square((300, 300), 20, 30, 25).astype(np.uint16)
    crop = CropDataset([sample((200 * labels).astype(np.uint8), labels)], 256, 28.0)[0]
    assert crop["image"].dtype == torch.uint8
    assert all(crop[name].dtype == torch.float16 for name in ("prob", "dist", "weight", "cell", "hv", "hover_weight"))
    assert sum(value.nbytes for value in crop.values()) < 0.7e6


def test_sources_are_balanced():
    """Nine images of one source and one of another: drawn 9 to 1, 3 to 1, or alike."""
    sources = [Sample(Record(None, None, "train", source), None, None, 10.0, 0) for source in "a" * 9 + "b"]
    for exponent, share in ((1.0, 0.9), (0.5, 0.75), (0.0, 0.5)):
        weights = balanced_weights(sources, exponent)
        assert weights[:9].sum() == pytest.approx(share)
        assert weights.sum() == pytest.approx(1)
        sources_of = CropDataset(sources, 32, 10.0, balance=exponent)
        assert np.array_equal(sources_of.weights, weights)


def test_gray_stays_gray(rng):
    """A one-channel image gives crops with three equal channels, whatever was drawn; a colour image does not."""
    labels = square((80, 80), 20, 30, 25).astype(np.uint16)
    gray = rng.integers(0, 256, labels.shape, np.uint8)
    colour = rng.integers(0, 256, (*labels.shape, 3), np.uint8)
    for pixels, equal in ((gray, True), (colour, False)):
        data = CropDataset([sample(pixels, labels)], 64, 28.0)
        crops = [data[i]["image"].numpy() for i in range(40)]
        assert {bool((c == c[0]).all()) for c in crops} == {equal}
        assert {(c.shape, c.dtype) for c in crops} == {((3, 64, 64), np.dtype(np.uint8))}


def test_gray_stored_as_colour_stays_gray(rng, tmp_path):
    """Phase contrast and brightfield are published as RGB with equal channels; read from a file they are gray, colour
    is not.
    """
    labels = square((80, 80), 20, 30, 25).astype(np.uint8)
    # Noise alone would be nothing to see.
    clouds = cv2.GaussianBlur(rng.integers(0, 256, (*labels.shape, 3), np.uint8), (0, 0), 3)
    gray = np.repeat(clouds[:, :, :1], 3, axis=2)
    assert cv2.imwrite(str(tmp_path / "labels.png"), labels)
    for name, pixels, shape in (("gray", gray, (80, 80)), ("colour", clouds, (80, 80, 3))):
        assert cv2.imwrite(str(tmp_path / f"{name}.png"), pixels)
        found = load_sample(Record(tmp_path / f"{name}.png", tmp_path / "labels.png", "train", "a"))
        assert found.pixels.shape == shape
        crops = [CropDataset([found], 64, 28.0)[i]["image"].numpy() for i in range(20)]
        assert {bool((c == c[0]).all()) for c in crops} == {name == "gray"}


def test_targets_follow_the_crop():
    """Without intensity changes the bright cell of a crop is where its targets say, after every flip, turn and zoom."""
    labels = square((80, 80), 20, 30, 25).astype(np.uint16)
    data = CropDataset([sample((200 * labels).astype(np.uint8), labels)], 64, 28.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmentation, "change_intensity", lambda image, _: image)
        crops = [data[i] for i in range(40)]
    for crop in crops:
        bright, cell = crop["image"][0, 1::2, 1::2].numpy() > 0.4 * 255, crop["cell"][0].numpy() > 0.5
        known = crop["hover_weight"][0].numpy() > 0
        assert np.count_nonzero((bright != cell) & known) <= 2 * np.sqrt(cell.sum()) + 2  # half of its outline
    assert sum(crop["cell"].any() for crop in crops) > 30


def test_zoom_covers_its_range():
    """The cell's diameter in the crops runs from half to twice the wanted one, its logarithm evenly."""
    labels = square((300, 300), 140, 140, 10).astype(np.uint16)
    data = CropDataset([sample(np.zeros(labels.shape, np.uint8), labels)], 96, 20.0)
    areas = np.array(
        [data._crop(data.samples[0], 96, np.random.default_rng(i))[1].astype(bool).sum() for i in range(400)]
    )
    assert np.mean(areas > 0) > ON_CELL - 0.08  # rare as the cell is
    factors = np.sqrt(4 * areas[areas > 0] / np.pi) / 20
    whole = factors[factors > 0.45]
    assert whole.min() < 0.56
    assert 1.85 < whole.max() <= 2.1
    assert np.median(whole) == pytest.approx(1, abs=0.15)


def test_small_images_share_a_crop():
    """Four images fill a crop that one would leave almost empty; their cells keep different labels."""
    labels = square((16, 16), 3, 3, 10).astype(np.uint16)
    small = sample(np.full(labels.shape, 90, np.uint8), labels)
    data = CropDataset([small], 128, small.diameter, zoom=(1.0, 1.0))
    _, cells, known = data._crop(data.samples[0], 128, np.random.default_rng(0))
    assert len(np.unique(cells)) - 1 == 4
    assert known.sum() == 4 * 16 * 16


def test_numbers_that_are_only_names(tmp_path):
    """They take no memory of their size."""
    tifffile.imwrite(tmp_path / "l.tif", np.array([[0, 3_000_000_000], [7, 7]], np.uint32))
    assert read_labels(tmp_path / "l.tif").tolist() == [[0, 2], [1, 1]]


def test_a_damaged_image_is_named_with_its_folder(tmp_path):
    (tmp_path / "i.png").write_bytes(b"\x89PNG")
    tifffile.imwrite(tmp_path / "l.tif", np.ones((4, 4), np.uint8))
    with pytest.raises(ValueError, match=f"^{tmp_path}/i.png: "):
        load_sample(Record(tmp_path / "i.png", tmp_path / "l.tif", "train", "a"))


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
        assert changed is not first
        assert not changed.labels.any()
    assert load_samples([record])[0] is not changed
