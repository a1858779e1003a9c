"""training.measure.doubts, training.measure.label_report: how many images with good and bad labels were flagged."""

import csv

import cv2
import numpy as np
import pytest

from inference.outputs.label_tiff import write_labels
from training.images.manifest import Record
from training.measure.doubts import main, table


def test_ranges_and_reasons(tmp_path):
    """0.5 and 0.8 belong to the upper range, 1 to the last; an image may be flagged for two reasons."""
    scores = [0.0, 0.49, 0.5, 0.79, 0.8, 1.0]
    said = ["size", "", "class size", "", "class", ""]
    records = [Record(tmp_path / f"{i}.png", None, "val", "home") for i in range(len(scores))]
    rows = table(records, scores, {("home", tmp_path.name, f"{i}.png"): text for i, text in enumerate(said)})
    assert [tuple(row.values()) for row in rows] == [
        ("0 to 0.5", 2, 0, 1, 1, "50%"),
        ("0.5 to 0.8", 2, 1, 1, 1, "50%"),
        ("0.8 to 1", 2, 1, 0, 1, "50%"),
    ]
    assert [row["share"] for row in table(records[:2], scores[:2], {})] == ["0%", "", ""]


def test_folders_tell_images_of_one_name(tmp_path):
    records = [Record(tmp_path / folder / "1.png", None, "val", "home") for folder in "ab"]
    rows = table(records, [0.1, 0.9], {("home", "a", "1.png"): "", ("home", "b", "1.png"): "size"})
    assert [row["flagged"] for row in rows] == [0, 0, 1]


def test_a_name_that_a_spreadsheet_would_take_for_a_formula(tmp_path):
    """Such a name stands in the report with an apostrophe."""
    record = Record(tmp_path / "=1.png", None, "val", "home")
    assert table([record], [0.1], {("home", tmp_path.name, "'=1.png"): "size"})[0]["flagged"] == 1


@pytest.fixture
def data(tmp_path):
    """Three images of a square: the first two found elsewhere, one of them flagged, the third found."""
    truth, elsewhere = np.zeros((2, 40, 60), np.uint8)
    truth[10:30, 5:25] = elsewhere[10:30, 30:50] = 1
    lines, report = [], []
    for name, labels, doubts in (("a", elsewhere, "size"), ("b", elsewhere, ""), ("c", truth, "")):
        cv2.imwrite(str(tmp_path / f"{name}.png"), truth * 100)
        cv2.imwrite(str(tmp_path / f"{name}_label.png"), truth)
        folder = tmp_path / "predictions" / tmp_path.name
        folder.mkdir(parents=True, exist_ok=True)
        write_labels(folder / f"{name}_label.tiff", labels.astype(np.int32))
        lines.append([f"{name}.png", f"{name}_label.png", "val", "home"])
        report.append(["home", tmp_path.name, f"{name}.png", doubts])
    for path, header, rows in (
        (tmp_path / "manifest.csv", ["image", "label", "split", "source"], lines),
        (tmp_path / "predictions" / "report.csv", ["source", "folder", "image", "doubts"], report),
    ):
        with open(path, "w", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    return tmp_path


def test_bad_labels_without_a_word_are_named(data, capsys):
    assert main([str(data / "manifest.csv"), str(data / "predictions")]) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines()]
    assert rows[1] == ["0", "to", "0.5", "2", "0", "1", "1", "50%"]
    assert rows[3] == ["0.8", "to", "1", "1", "0", "0", "0", "0%"]
    assert printed.endswith("not flagged:\nhome/b.png  F1 0.00\n")


def test_a_missing_prediction_is_no_bad_one(data, capsys, caplog):
    (data / "predictions" / data.name / "b_label.tiff").unlink()
    assert main([str(data / "manifest.csv"), str(data / "predictions")]) == 1
    printed = capsys.readouterr().out
    assert printed.splitlines()[1].split() == ["0", "to", "0.5", "1", "0", "1", "1", "100%"]
    assert "not flagged" not in printed
    assert "b_label.png: no prediction" in caplog.text


def test_a_report_without_doubts(data, caplog):
    report = data / "predictions" / "report.csv"
    report.write_text("source,folder,image\nhome,x,a.png\n")
    assert main([str(data / "manifest.csv"), str(data / "predictions")]) == 2
    assert "no column doubts" in caplog.text
    report.unlink()
    assert main([str(data / "manifest.csv"), str(data / "predictions")]) == 2
    assert "training.label" in caplog.text
