"""Images made by rule: labels are valid, negatives have none, a seed is a data set, storage follows the modality.

What draws them is tested too: training.synthetic.clutter, training.synthetic.fields, training.synthetic.fluorescence,
training.synthetic.labels, training.synthetic.layouts, training.synthetic.negatives, training.synthetic.optics,
training.synthetic.outlines, training.synthetic.scenes, training.synthetic.stained and training.synthetic.transmitted.
"""

import csv
import subprocess
import sys

import cv2
import numpy as np
import pytest
from scipy import ndimage

from inference.reading import read_image
from training import synthesize
from training.images.datasets import load_sample
from training.images.manifest import read_manifest
from training.synthetic import fields, fluorescence, layouts, optics, scenes, stained, transmitted
from training.synthetic import labels as ordering

CELLS = [kind for kind in scenes.SCENES if kind != "negative"]


SIDES = ("--sides", "96", "160")


def scene(kind, seed=0):
    return scenes.make(kind, np.random.default_rng(seed), (96, 160))


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("seed", range(3))
def test_cells_are_numbered_without_gaps_and_in_one_piece(kind, seed):
    labels = scene(kind, seed).labels
    assert labels.min() == 0
    assert labels.max() > 0
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert all(ndimage.label(labels == cell)[1] == 1 for cell in range(1, labels.max() + 1))


@pytest.mark.parametrize("kind", scenes.SCENES)
@pytest.mark.parametrize("seed", range(3))
def test_pixels_fit_labels_and_storage_follows_the_modality(kind, seed):
    made = scene(kind, seed)
    assert made.pixels.shape[:2] == made.labels.shape
    assert 96 <= min(made.labels.shape)
    assert max(made.labels.shape) <= 160
    if made.modality != "fluorescence":
        assert made.pixels.dtype == np.uint8
        assert made.pixels.shape[2:] == (3,)
    elif made.pixels.ndim == 3:
        assert made.pixels.dtype == np.uint8
    else:
        assert made.pixels.dtype in (np.uint8, np.uint16)


@pytest.mark.parametrize("seed", range(12))
def test_negatives_have_no_cell(seed):
    assert not scene("negative", seed).labels.any()


@pytest.mark.parametrize("kind", CELLS)
def test_outlines_lie_where_the_image_changes(kind):
    """The slope of the gray values is steeper on the labels' edges than on the same edges turned by 180 degrees."""
    ratios = []
    for seed in range(12):
        made = scene(kind, seed)
        gray = made.pixels if made.pixels.ndim == 2 else made.pixels.max(2)
        gray = cv2.GaussianBlur(gray.astype(np.float32), (0, 0), 1)
        slope = np.hypot(cv2.Sobel(gray, cv2.CV_32F, 1, 0), cv2.Sobel(gray, cv2.CV_32F, 0, 1))
        edges = (made.labels > 0) & (ordering.inner_distance(made.labels) <= 1)
        ratios.append(slope[edges].mean() / max(slope[edges[::-1, ::-1]].mean(), 1e-3))
    assert np.median(ratios) > 1.25


def test_red_cells_and_platelets_are_seen_but_not_labelled(monkeypatch):
    made = scene("smear")
    for name in ("red_cells", "platelets"):
        drawn = getattr(stained, name)
        monkeypatch.setattr(stained, name, lambda *args, drawn=drawn: 0 * drawn(*args))
    without = scene("smear")
    assert np.array_equal(without.labels, made.labels)
    green = [image.pixels[made.labels == 0, 1].mean() for image in (made, without)]
    assert green[0] < green[1] - 3


def test_two_channels_leave_the_third_empty():
    rng = np.random.default_rng(3)
    empty = [(scenes.make("two_channels", rng).pixels.reshape(-1, 3).max(0) < 25).sum() for _ in range(12)]
    assert max(empty) == 1
    assert np.mean(np.array(empty) == 1) > 0.5  # the others have free hues


def test_tidy_keeps_the_largest_piece_and_counts_anew():
    labels = np.array([[5, 5, 0, 5], [5, 5, 9, 9], [0, 0, 9, 9], [3, 0, 0, 9]])
    expected = np.array([[1, 1, 0, 0], [1, 1, 2, 2], [0, 0, 2, 2], [0, 0, 0, 2]])
    assert np.array_equal(ordering.tidy(labels, smallest=2), expected)
    assert not ordering.tidy(np.zeros((3, 3), np.int32)).any()


def test_inner_distance_is_measured_within_a_cell():
    labels = np.repeat(np.array([[0, 0, 1, 1, 1, 1, 1, 2, 2, 2]]), 9, 0)
    assert ordering.inner_distance(labels)[4].tolist() == [0, 0, 0, 1, 2, 1, 0, 0, 1, 2]


def test_scattered_disks_keep_their_distance():
    centres, radii = layouts.scatter(np.random.default_rng(0), (200, 200), np.full(60, 9.0), 1.0, 0.5)
    gaps = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(centres))
    assert len(centres) > 20
    assert gaps.min() >= 18


def test_a_colony_packs_rods_of_one_width():
    labels = ordering.tidy(layouts.colony(np.random.default_rng(1), (160, 160), 10.0, 30.0))
    depth = ordering.deepest(labels, ordering.inner_distance(labels))[1:]
    assert len(depth) > 15
    assert 3 <= np.median(depth) <= 5.5
    assert np.bincount(labels.ravel())[1:].max() < 10 * 30 * 1.7


def test_the_cell_in_front_has_the_label():
    labels, signal = np.zeros((40, 40), np.int32), np.zeros((40, 40), np.float32)
    square = np.array([[0, 0], [20, 0], [20, 20], [0, 20]], float)
    for number, offset in ((1, 5), (2, 15)):
        fluorescence.paint(
            np.random.default_rng(0),
            labels,
            signal,
            [square + offset],
            number,
            np.zeros((40, 40)),
            strands=0,
            nucleus=0,
            rim=0,
            spread=0,
        )
    assert labels[20, 20] == 2
    assert labels[10, 10] == 1
    assert labels[30, 30] == 2
    assert labels[2, 2] == 0
    assert (signal > 0)[labels > 0].all()
    assert not signal[labels == 0].any()
    assert signal[20, 20] > signal[16, 34]  # light of the cell behind shines through


def test_noise_of_the_camera_has_its_variance():
    rng = np.random.default_rng(0)
    for level in (0.0, 0.5, 2.0):
        image = optics.camera(rng, np.full((300, 300), level, np.float32), photons=50, read=0.1)
        assert image.mean() == pytest.approx(level, abs=0.01)
        assert image.var() == pytest.approx(level / 50 + 0.1**2, rel=0.05)


@pytest.mark.parametrize("scale, deviation", [(1, 1.0), (4, 1.3), (12, 1.3)])
def test_noise_is_as_wide_and_strong_as_asked(scale, deviation):
    field = fields.noise(np.random.default_rng(0), (400, 400), scale)
    assert field.dtype == np.float32
    assert field.shape == (400, 400)
    assert field.std() == pytest.approx(deviation, rel=0.08)
    apart = np.corrcoef(field[:, : -3 * scale].ravel(), field[:, 3 * scale :].ravel())[0, 1]
    near = np.corrcoef(field[:, :-1].ravel(), field[:, 1:].ravel())[0, 1]
    assert abs(apart) < 0.1
    assert near > 0.8 if scale > 1 else abs(near) < 0.05


def test_wide_blur_is_a_gaussian():
    image = np.zeros((200, 240), np.float32)
    image[80:120, 100:150] = 1
    assert np.abs(fields.blur(image, 15) - cv2.GaussianBlur(image, (0, 0), 15)).max() < 0.03
    assert np.array_equal(fields.blur(image, 0), image)


@pytest.mark.parametrize("view", transmitted.OPTICS.values())
def test_a_plate_without_an_edge_is_even_and_its_edge_is_seen(view):
    even = view(np.random.default_rng(0), np.ones((60, 60), np.float32), 20)
    step = np.repeat([[0.0] * 30 + [1.0] * 30], 60, 0).astype(np.float32)
    edge = view(np.random.default_rng(0), step, 20)
    assert np.ptp(even) < 1e-4
    assert np.ptp(edge[:, 24:36]) > 0.05


def test_the_shares_hold_at_every_length_and_fewer_kinds_share_anew():
    chosen = synthesize.choose_kinds(200, list(scenes.SCENES))
    assert all(abs(chosen.count(kind) - 200 * share) <= 1.5 for kind, (_, share) in scenes.SCENES.items())
    assert synthesize.choose_kinds(50, list(scenes.SCENES)) == chosen[:50]
    assert sorted(synthesize.choose_kinds(20, ["dic", "brightfield"])) == ["brightfield"] * 10 + ["dic"] * 10


def test_command_writes_a_manifest_that_training_reads(tmp_path):
    assert synthesize.main([str(tmp_path), "--images", "22", "--seed", "5", "--val-share", "0.5", *SIDES]) == 0
    with open(tmp_path / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["image", "label", "split", "source", "modality", "partial"]
    assert len(rows) == 22
    assert {row["partial"] for row in rows} == {"0"}
    assert {row["source"] for row in rows} == {f"synthetic_{kind}" for kind in scenes.SCENES}
    assert 6 <= sum(row["split"] == "val" for row in rows) <= 11
    for split in ("train", "val"):
        for record in read_manifest(tmp_path / "manifest.csv", split):
            sample = load_sample(record)
            assert sample.labels.dtype == np.uint16
            assert sample.labels.any() == (record.source != "synthetic_negative")


def test_a_seed_is_a_data_set_and_a_longer_one_begins_alike(tmp_path):
    for name, seed, images in (("a", 1, 6), ("b", 1, 9), ("c", 2, 6)):
        assert synthesize.main([str(tmp_path / name), "--images", str(images), "--seed", str(seed), *SIDES]) == 0
    files = {name: sorted(p.relative_to(tmp_path / name) for p in (tmp_path / name).rglob("*.png")) for name in "abc"}
    assert len(files["a"]) == 12
    assert set(files["a"]) < set(files["b"])
    same = [(tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files["a"]]
    other = [(tmp_path / "a" / f).read_bytes() == (tmp_path / "c" / f).read_bytes() for f in files["a"]]
    assert all(same)
    assert not any(other)


def test_colours_are_written_in_order(tmp_path):
    pixels = np.zeros((4, 5, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = 200, 100  # red and green
    image, label = scenes.save(tmp_path, "x", fields.Scene(pixels, np.full((4, 5), 7, np.int32), "stained"))
    assert np.array_equal(read_image(image).pixels, pixels)
    assert (read_image(label).pixels == 7).all()
    assert read_image(label).pixels.dtype == np.uint16


@pytest.mark.parametrize(
    "flags", [["--images", "0"], ["--val-share", "2"], ["--kinds", "neurites"], ["--seed", "-1"], ["--sides", "9", "8"]]
)
def test_wrong_flags_end_with_a_message(tmp_path, flags):
    with pytest.raises(SystemExit) as end:
        synthesize.main([str(tmp_path), *flags])
    assert end.value.code == 2


def test_a_folder_that_cannot_be_written_is_named(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    assert synthesize.main([str(tmp_path / "file"), "--images", "1"]) == 2
    assert "file" in caplog.text


def test_help_runs_as_a_module():
    command = [sys.executable, "-m", "training.synthesize", "-h"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--val-share" in done.stdout
