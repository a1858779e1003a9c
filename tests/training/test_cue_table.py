"""training.cue_table: what it writes and prints of a small data set."""

import csv

import cv2
import numpy as np
import pytest

from training.cue_table import SHEET_COLUMNS, SHEET_IMAGES, judge, labelled_records, main
from training.validation import pick_balanced


@pytest.fixture
def manifest(tmp_path):
    """Three fluorescence images and a purple one with labels, a gray one with pseudo labels, and one without labels."""
    lines = ["image,label,split,source"]
    images = [("fluo", np.full((30, 50), 9, np.uint8), "train")] * 3
    images += [("stain", np.full((30, 50, 3), (128, 0, 128), np.uint8), "val")]
    images += [("phase_pseudo", np.full((30, 50, 3), 90, np.uint8), "train")]
    for number, (source, pixels, split) in enumerate(images):
        labels = np.zeros((30, 50), np.uint8)
        labels[5:25, 10:40] = 1
        cv2.imwrite(
            str(tmp_path / f"{number}.png"), np.ascontiguousarray(pixels[..., ::-1]) if pixels.ndim == 3 else pixels
        )
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
        ("phase_pseudo", "train", "3", "0.0000", "0.3529", "600", "1"),
    ]
    counts = {line.split()[0]: [int(n) for n in line.split()[1:]] for line in capsys.readouterr().out.splitlines()[1:]}
    assert counts == {"fluo": [3, 0, 0, 0], "stain": [0, 0, 0, 1], "phase_pseudo": [0, 1, 0, 0], "all": [3, 1, 0, 1]}


def test_contact_sheets(manifest):
    """One for each class that has images; a sheet of an earlier run does not stay."""
    out = manifest.parent / "out"
    out.mkdir()
    (out / "class2_large_colour.png").write_bytes(b"old")
    assert run(manifest, "--outlines") == 0
    assert sorted(p.name for p in out.glob("*.png")) == [
        "class0_binary.png",
        "class1_gray.png",
        "class3_small_colour.png",
    ]
    sheet = cv2.imread(str(out / "class3_small_colour.png"))
    height, width = sheet.shape[:2]
    assert width == SHEET_COLUMNS * 160
    assert height == 174
    assert (sheet[:, 160:] == 0).all()
    # BGR; the outline of the cell, and nothing above and below the fitted image.
    yellow = (sheet == (0, 255, 255)).all(axis=2)
    assert yellow.any()
    assert not yellow[:32].any()
    assert not yellow[128:].any()


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
    assert len(picked) == SHEET_IMAGES
    assert sum(r.source == "rare" for r in picked) == 3


def test_splits(manifest, caplog):
    assert run(manifest, "--split", "val") == 0
    assert len((manifest.parent / "out" / "cues.csv").read_text().splitlines()) == 2
    assert run(manifest, "--split", "unlabelled") == 2
    assert "no line of these splits has labels" in caplog.text
    assert "training.label" in caplog.text


def test_a_missing_label_is_named(manifest, caplog):
    (manifest.parent / "3_label.png").unlink()
    assert run(manifest) == 2
    assert "3_label.png" in caplog.text
    assert "line 5" in caplog.text
