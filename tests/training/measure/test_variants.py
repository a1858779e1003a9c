"""training.measure.variants: what images are turned into, how labels come back, and how they are counted."""

import csv
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from training.images.manifest import Record
from training.measure import variants as module
from training.measure.variants import eight_bit, main, some_of_each, table, variants
from training.validation import f1_to_truth


def squares():
    labels = np.zeros((60, 80), np.int32)
    labels[10:30, 10:30], labels[30:50, 45:65] = 1, 2
    return labels


@pytest.mark.parametrize("modality", ["fluorescence", "stained", "phase"])
@pytest.mark.parametrize("colour", [False, True])
def test_labels_come_back_to_their_places(modality, colour):
    """What is bright in a variant is where the image's own squares are."""
    pixels = (squares() > 0).astype(np.uint8) * 200
    pixels = cv2.merge([pixels] * 3) if colour else pixels
    made = list(variants(pixels, modality))
    assert len(made) == 7 + (not colour) + 5 * (not colour and modality == "fluorescence")
    for variant in (v for v in made if v.name != "spots"):
        bright = np.atleast_3d(variant.pixels).max(axis=2) > 100
        if variant.name.startswith("surroundings") and modality == "stained":
            assert variant.pixels.mean() > 100, "glass is bright"
            continue
        wrong = (variant.back(bright.astype(np.int32)) > 0) != (squares() > 0)
        assert wrong.mean() <= (0.01 if "JPEG" in variant.name else 0), variant.name


def test_stretched_to_all_gray_levels():
    pixels = np.repeat(np.arange(40, 61, dtype=np.uint8), 100).reshape(30, 70)
    assert module.stretched(pixels).min() == 0 and module.stretched(pixels).max() == 255
    assert module.stretched(np.full((5, 5), 9, np.uint8)).max() == 0


def test_surroundings_have_the_area():
    for times in (3, 6):
        made = module.surrounded(np.zeros((100, 200), np.uint8), "phase", times)
        assert made.pixels.size / 20000 == pytest.approx(1 + times, rel=0.02)


def test_the_light_falls_off_to_a_quarter():
    shaded = module.shaded(np.full((101, 201, 3), 200, np.uint8)).pixels
    assert shaded[50, 100].tolist() == [200] * 3 and shaded[0, 0].tolist() == [50] * 3
    assert shaded[0, 100].tolist() == [125] * 3


def test_panels_stand_on_white():
    made = module.in_panels(np.zeros((50, 70), np.uint8)).pixels
    assert made.shape == (66, 168)
    assert (made == 0).sum() == 2 * 50 * 70
    assert (made[:, 78:90] == 255).all()


def test_cells_that_a_round_field_cuts_do_not_count():
    labels = squares()
    labels[0:5, 0:5], labels[0:12, 36:44] = 3, 4
    made = module.in_round_field(np.full((60, 80), 200, np.uint8))
    assert made.pixels[0, 0] == module.BLACK and made.pixels[30, 40] == 200
    assert np.unique(made.whole(labels)).tolist() == [0, 1, 2]
    assert np.unique(module.shaded(np.full((60, 80), 200, np.uint8)).whole(labels)).tolist() == [0, 1, 2, 3, 4]


def test_spots_are_ten_times_as_bright():
    pixels = np.full((200, 300), 20, np.uint8)
    pixels[50:100, 50:100] = 100
    spots = module.spotted(pixels).pixels
    assert spots.max() == 65535 and np.unique(spots).tolist() == [1311, 6554, 65535]
    assert 0.02 < np.mean(spots == 65535) <= 0.042  # they may overlap, or lie partly outside


def test_no_image_is_enlarged_beyond_a_limit():
    names = [variant.name for variant in variants(np.zeros((20, 1500), np.uint8), "phase")]
    assert "enlarged x2" in names
    assert "enlarged x4" not in names


def test_numbers_become_8_bit():
    assert eight_bit(np.array([[0, 500, 1000]], np.uint16)).tolist() == [[0, 127, 255]]
    same = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert eight_bit(same) is same
    assert eight_bit(np.zeros((2, 2, 5), np.uint16)).shape == (2, 2, 3)


def test_images_are_taken_evenly():
    records = [Record(None, None, "val", "a", modality=str(i)) for i in range(9)]
    records += [Record(None, None, "val", "b")]
    assert [r.modality for r in some_of_each(records, 3)] == ["0", "4", "8", ""]
    assert [r.source for r in some_of_each(records, 1)] == ["a", "b"]


def test_table():
    true = {"true F1": 0.7, "true F1 as it is": 0.8}
    rows = [{"variant": "blue", "F1": f1, **true} for f1 in (1.0, 0.9, 0.5)] + [{"variant": "cyan", "F1": 1.0, **true}]
    assert [tuple(line.values()) for line in table(rows)] == [
        ("blue", 3, "0.800", "0.900", 1, "0.100"),
        ("cyan", 1, "1.000", "1.000", 0, "0.100"),
    ]


def test_cells_beside_the_labelled_ones_do_not_count_where_labels_are_partial():
    truth, found = squares(), squares()
    truth[truth == 2] = 0
    complete, partial = (Record(None, None, "val", "a", partial=partial) for partial in (False, True))
    assert f1_to_truth(complete, truth, found) == pytest.approx(2 / 3)
    assert f1_to_truth(partial, truth, found) == 1


class Threshold:
    """A stand-in that finds what is brighter than 100 in gray images, and nothing in those of three channels."""

    def segment(self, picture):
        bright = (picture.pixels if picture.pixels.ndim == 2 else np.zeros(picture.shape[:2])) > 100
        return SimpleNamespace(labels=cv2.connectedComponents(bright.astype(np.uint8))[1].astype(np.int32))


def test_command(tmp_path, monkeypatch, capsys):
    """Images that hold nothing are left out; what a variant loses is named."""
    for name, pixels in (("a", squares() > 0), ("b", np.zeros((60, 80)))):
        cv2.imwrite(str(tmp_path / f"{name}.png"), pixels.astype(np.uint8) * 200)
        cv2.imwrite(str(tmp_path / f"{name}_label.png"), squares().astype(np.uint8))
    with open(tmp_path / "list.csv", "w", newline="") as file:
        rows = [[f"{name}.png", f"{name}_label.png", "val", name, "phase"] for name in "ab"]
        csv.writer(file).writerows([["image", "label", "split", "source", "modality"], *rows])
    monkeypatch.setattr(module.Segmenter, "from_folder", lambda folder, device: Threshold())
    assert main([str(tmp_path / "list.csv"), "--weights", "any", "--csv", str(tmp_path / "out.csv")]) == 0
    printed = capsys.readouterr().out
    assert "three channels: a/a.png  F1 0.00" in printed
    with open(tmp_path / "out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["F1"] == row["true F1"] and row["true F1 as it is"] == "1.0" for row in rows)
    scores = {row["variant"]: float(row["F1"]) for row in rows}
    assert scores.pop("three channels") == 0
    assert set(scores) == {f"surroundings x{n}" for n in (3, 6)} | {f"enlarged x{n}" for n in (2, 4)} | {
        "shaded",
        "panels",
        "round field",
    }
    assert set(scores.values()) == {1.0}
