"""training.cues on literal images, and what training.cue_table writes and prints of a small data set."""

import csv

import cv2
import numpy as np
import pytest

from training.cue_table import SHEET_COLUMNS, SHEET_IMAGES, judge, labelled_records, main
from training.cues import THRESHOLDS, Cues, cue_class, decide, measure_cues
from training.validation import pick_balanced

NO_CELLS = np.zeros((4, 4), np.uint16)


def colour(*rgb, shape=(4, 4), dtype=np.uint8):
    return np.full((*shape, 3), rgb, dtype)


def cell_of(area, side=100):
    """One cell of `area` pixels."""
    labels = np.zeros(side * side, np.uint16)
    labels[:area] = 7
    return labels.reshape(side, side)


@pytest.mark.parametrize(("pixels", "saturation", "value"), [
    (colour(51, 51, 51), 0, 0.2),
    (colour(255, 51, 51), 0.8, 1),  # S = (max - min) / max, V = max
    (colour(65535, 13107, 13107, dtype=np.uint16), 0.8, 1),
    (colour(0.5, 0.25, 0.25, dtype=np.float32), 0.5, 0.5),
    (np.concatenate([colour(255, 0, 0), colour(0, 0, 0)]), 0.5, 0.5),
])
def test_saturation_and_value(pixels, saturation, value):
    cues = measure_cues(pixels, np.zeros(pixels.shape[:2], np.uint8))
    assert cues.channels == 3
    assert (cues.saturation, cues.value) == pytest.approx((saturation, value), abs=1e-6)


def test_the_largest_cell_is_measured_in_pixels():
    labels = np.array([[0, 5, 5, 5], [2, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
    assert measure_cues(colour(9, 9, 9), labels).largest_cell == 3
    assert measure_cues(colour(9, 9, 9), NO_CELLS).largest_cell == 0


@pytest.mark.parametrize(("pixels", "labels", "expected"), [
    (np.zeros((4, 4), np.uint8), NO_CELLS, 0),
    (np.zeros((100, 100, 2), np.uint16), cell_of(9000), 0),
    (colour(90, 90, 90), NO_CELLS, 1),
    (colour(90, 90, 90, shape=(100, 100)), cell_of(9000), 1),  # gray comes before the size of the cells
    (colour(200, 200, 200), NO_CELLS, 3),  # bright
    (colour(10, 10, 10), NO_CELLS, 3),  # dark
    (colour(120, 90, 90), NO_CELLS, 3),
    (colour(120, 90, 90, shape=(100, 100)), cell_of(9000), 2),
])
def test_classes(pixels, labels, expected):
    assert cue_class(pixels, labels) == expected


def test_thresholds_belong_to_gray_and_to_small():
    t = THRESHOLDS
    for value in (t.value_low, t.value_high):
        assert decide(Cues(3, t.saturation, value, t.cell_area))[0] == 1
    assert decide(Cues(3, t.saturation + 1e-6, t.value_high, t.cell_area))[0] == 3
    assert decide(Cues(3, t.saturation, t.value_high + 1e-6, t.cell_area))[0] == 3
    assert decide(Cues(3, t.saturation, t.value_low - 1e-6, t.cell_area + 1))[0] == 2


def test_the_deciding_rule_in_words():
    assert decide(Cues(1, None, None, 9000))[1] == "fewer than 3 channels"
    assert decide(Cues(3, 0.05, 0.3, 9000))[1] == "gray: mean S at most 0.1, mean V from 0.1 to 0.6"
    assert decide(Cues(3, 0.4, 0.3, 9000))[1] == "colour: mean S above 0.1; largest cell above 8000 px"
    assert decide(Cues(3, 0.05, 0.9, 80))[1] == "colour: mean V outside 0.1 to 0.6; largest cell at most 8000 px"


@pytest.fixture
def manifest(tmp_path):
    """Three fluorescence images and a purple one with labels, a gray one with pseudo labels, and one without labels."""
    lines = ["image,label,split,source"]
    images = [("fluo", np.full((30, 50), 9, np.uint8), "train")] * 3
    images += [("stain", colour(128, 0, 128, shape=(30, 50)), "val")]
    images += [("phase_pseudo", colour(90, 90, 90, shape=(30, 50)), "train")]
    for number, (source, pixels, split) in enumerate(images):
        labels = np.zeros((30, 50), np.uint8)
        labels[5:25, 10:40] = 1
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 3 else pixels)
        cv2.imwrite(str(tmp_path / f"{number}_label.png"), labels)
        lines.append(f"{number}.png,{number}_label.png,{split},{source}")
    lines.append("0.png,,unlabelled,fluo")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path / "manifest.csv"


def run(manifest, *more):
    return main(["--manifest", str(manifest), "--out", str(manifest.parent / "out"), *more])


def test_table_and_counts(manifest, capsys):
    assert run(manifest) == 0
    with open(manifest.parent / "out" / "cues.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ("source", "split", "channels", "mean_s", "mean_v", "largest_cell", "class")
    assert [tuple(row[c] for c in columns) for row in rows[2:]] == [
        ("fluo", "train", "1", "", "", "600", "0"),
        ("stain", "val", "3", "1.0000", "0.5020", "600", "3"),
        ("phase_pseudo", "train", "3", "0.0000", "0.3529", "600", "1")]
    counts = {line.split()[0]: [int(n) for n in line.split()[1:]] for line in capsys.readouterr().out.splitlines()[1:]}
    assert counts == {"fluo": [3, 0, 0, 0], "stain": [0, 0, 0, 1], "phase_pseudo": [0, 1, 0, 0], "all": [3, 1, 0, 1]}


def test_contact_sheets(manifest):
    """One for each class that has images; a sheet of an earlier run does not stay."""
    out = manifest.parent / "out"
    out.mkdir()
    (out / "class2_large_colour.png").write_bytes(b"old")
    assert run(manifest, "--outlines") == 0
    assert sorted(p.name for p in out.glob("*.png")) == ["class0_binary.png", "class1_gray.png", "class3_small_colour.png"]
    sheet = cv2.imread(str(out / "class3_small_colour.png"))
    height, width = sheet.shape[:2]
    assert width == SHEET_COLUMNS * 160 and height == 174
    assert (sheet[:, 160:] == 0).all()
    yellow = (sheet == (0, 255, 255)).all(axis=2)  # BGR; the outline of the cell, and nothing above and below the fitted image
    assert yellow.any() and not yellow[:32].any() and not yellow[128:].any()


def test_a_sheet_spreads_over_the_sources(manifest):
    """Of many images of one source and few of another, all of the few are there."""
    label = "0_label.png"
    lines = ["image,label,split,source"]
    for number in range(100):
        (manifest.parent / f"x{number}.png").write_bytes((manifest.parent / "0.png").read_bytes())
        lines.append(f"x{number}.png,{label},train,{'rare' if number >= 97 else 'common'}")
    manifest.write_text("\n".join(lines))
    rows = [judge(record) for record in labelled_records(manifest, None)]
    picked = pick_balanced(rows, SHEET_IMAGES)
    assert len(picked) == SHEET_IMAGES and sum(r.source == "rare" for r in picked) == 3


def test_splits(manifest, caplog):
    assert run(manifest, "--split", "val") == 0
    assert len((manifest.parent / "out" / "cues.csv").read_text().splitlines()) == 2
    assert run(manifest, "--split", "unlabelled") == 2
    assert "no line of these splits has labels" in caplog.text and "training.label" in caplog.text


def test_a_missing_label_is_named(manifest, caplog):
    (manifest.parent / "3_label.png").unlink()
    assert run(manifest) == 2
    assert "3_label.png" in caplog.text and "line 5" in caplog.text
