"""training.measure.score, training.measure.scores and training.measure.cases on folders of small label images: which
files are found, what is printed, written and returned.
"""

import csv
import re

import cv2
import numpy as np
import pytest
import tifffile

from training.measure.cases import cases_from_folder
from training.measure.score import main

CELLS = np.zeros((16, 24), np.uint16)
for _label, (_y, _x) in enumerate([(3, 3), (3, 10), (9, 3), (9, 10)], start=1):
    CELLS[_y : _y + 4, _x : _x + 4] = _label
ONE_MISSED = np.where(CELLS == 4, 0, CELLS)  # F1 6/7
NO_CELLS = np.zeros_like(CELLS)


def write(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), labels)


@pytest.fixture
def data(tmp_path):
    """A manifest with two sources: gray fluorescence (binary), and dark colour images with small cells, partly
    labelled.
    """
    lines = ["image,label,split,source,partial"]
    for name in ("fluo/a.png", "fluo/b.png", "blood/a.png"):
        source, image = name.split("/")
        pixels = (
            np.full(CELLS.shape, 9, np.uint8) if source == "fluo" else np.full((*CELLS.shape, 3), (9, 9, 99), np.uint8)
        )
        write(tmp_path / "val" / name, pixels)
        label = f"val/{source}/{image[0]}_label.png"
        write(tmp_path / label, CELLS)
        lines.append(f"val/{name},{label},val,{source},{int(source == 'blood')}")
    lines.append("val/c.png,,unlabelled,fluo,")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def predictions(data):
    """Mirrors the sub-folders; F1 is 1 for fluo/a, 6/7 for fluo/b, 0 for blood/a."""
    for name, labels in {"fluo/a": CELLS, "fluo/b": ONE_MISSED, "blood/a": NO_CELLS}.items():
        write(data / "out" / f"{name}_label.tiff", labels)
    return data / "out"


def rows_of(output):
    """{group: [numbers]} of the first table."""
    lines = [re.split(" {2,}", line) for line in output.split("\n\n")[0].splitlines()[2:]]
    return {name: [float(number) for number in numbers] for name, *numbers in lines}


def test_tables(data, predictions, capsys):
    assert main([str(data / "manifest.csv"), str(predictions), "--thresholds", "0.5", "0.9"]) == 0
    output = capsys.readouterr().out
    assert output.index("corrected (the default") < output.index("official")
    third = pytest.approx([3, 1, 0, (1 + 6 / 7) / 3, 6 / 7, 2 / 3, 1.75 / 3, (1 + 6 / 7) / 3], abs=1e-4)
    both = pytest.approx([2, 0, 0, (1 + 6 / 7) / 2, (1 + 6 / 7) / 2, 1, 1.75 / 2, (1 + 6 / 7) / 2], abs=1e-4)
    none = [1, 1, 0, 0, 0, 0, 0, 0]
    assert rows_of(output) == {
        "all": third,
        "complete labels": both,
        "class binary": both,
        "class small colour": none,
        "source blood": none,
        "source fluo": both,
    }


def test_csv(data, predictions):
    assert main([str(data / "manifest.csv"), str(predictions), "--csv", str(data / "scores.csv")]) == 0
    with open(data / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(r["mode"], r["source"]) for r in rows] == [
        (m, s) for s in ("fluo", "fluo", "blood") for m in ("corrected", "official")
    ]
    b = rows[2]
    assert (b["label"], b["prediction"]) == (str(data / "val/fluo/b_label.png"), str(predictions / "fluo/b_label.tiff"))
    assert [b[k] for k in ("cue_class", "partial", "threshold", "tp", "fp", "fn", "precision", "recall")] == [
        "binary",
        "0",
        "0.5",
        "3",
        "0",
        "1",
        "1.0",
        "0.75",
    ]
    assert float(b["f1"]) == pytest.approx(6 / 7)
    # Official: nothing predicted, nothing missed.
    assert rows[4]["partial"] == "1"
    assert rows[4]["fn"] == "4"
    assert rows[5]["fn"] == "0"


def test_missing_prediction(data, predictions, capsys, caplog):
    (predictions / "fluo/a_label.tiff").unlink()
    (predictions / "blood/a_label.tiff").unlink()
    assert main([str(data / "manifest.csv"), str(predictions)]) == 1
    assert f"no prediction; expected {predictions / 'fluo/a_label.tiff'}" in caplog.text
    assert "2 of 3 images have no usable prediction" in caplog.text
    corrected, official = capsys.readouterr().out.split("\n\n")
    assert rows_of(corrected)["all"] == pytest.approx([3, 1, 2, 2 / 7, 0, 1 / 3, 0.25], abs=1e-4)
    assert rows_of(official)["all"] == pytest.approx([1, 0, 0, 6 / 7, 6 / 7, 1, 0.75], abs=1e-4)
    assert main([str(data / "manifest.csv"), str(predictions), "--mode", "official"]) == 1


def test_a_missing_prediction_of_an_image_without_cells_scores_0(tmp_path, capsys):
    write(tmp_path / "truth/a_label.png", NO_CELLS)
    write(tmp_path / "truth/b_label.png", NO_CELLS)
    write(tmp_path / "out/b_label.tiff", NO_CELLS)
    assert main([str(tmp_path / "truth"), str(tmp_path / "out"), "--mode", "corrected"]) == 1
    assert rows_of(capsys.readouterr().out)["all"] == [2, 0, 1, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    "damage,message",
    [
        (lambda path: path.write_bytes(b"II*\0"), "unusable prediction"),
        (lambda path: write(path, CELLS[:, :20]), r"shape (16, 20) does not fit the truth's (16, 24)"),
        (
            lambda path: tifffile.imwrite(path, CELLS.astype(np.float32)),
            "labels must be one channel of non-negative integers",
        ),
    ],
)
def test_unusable_prediction(data, predictions, caplog, damage, message):
    damage(predictions / "fluo/a_label.tiff")
    assert main([str(data / "manifest.csv"), str(predictions)]) == 1
    assert message in caplog.text
    assert "fluo/a_label.tiff" in caplog.text


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["manifest.csv", "nowhere"], "nowhere: no such folder"),
        (["nothing.csv", "out"], "nothing.csv"),
        (["manifest.csv", "out", "--split", "train"], "no line has split 'train'"),
        (["manifest.csv", "out", "--thresholds", "1.5"], "at most 1, got 1.5"),
        (["manifest.csv", "val"], "none of the 3 labelled images"),
        (["empty", "out"], "none of the 0 labelled images"),
    ],
)
def test_nothing_to_score(data, predictions, caplog, monkeypatch, arguments, message):
    monkeypatch.chdir(data)
    (data / "empty").mkdir()
    assert main(arguments) == 2
    assert message in caplog.text


def test_a_folder_as_the_truth_and_predictions_in_one_folder(data, predictions, capsys):
    """fluo/b is found at the top; the two images named a are not told apart there, and fluo/a is found in its
    sub-folder.
    """
    (predictions / "fluo/b_label.tiff").rename(predictions / "b_label.tiff")
    (predictions / "blood/a_label.tiff").rename(predictions / "a_label.tiff")
    assert main([str(data / "val"), str(predictions), "--mode", "corrected"]) == 1
    rows = rows_of(capsys.readouterr().out)
    assert list(rows) == ["all", "source blood", "source fluo"]
    assert rows["source blood"][:4] == [1, 0, 1, 0]
    assert rows["source fluo"][2] == 0


def test_names_follow_the_product(tmp_path):
    """Without the ending, whatever dots are in them."""
    for name in ("a.1_label.png", "a.2_label.png", "b_label_label.png"):
        write(tmp_path / "truth" / name, CELLS)
    cases = cases_from_folder(tmp_path / "truth", tmp_path / "out")
    assert [c.candidates[1].name for c in cases] == ["a.1_label.tiff", "a.2_label.tiff", "b_label_label.tiff"]
    assert [c.candidates[0].parent.name for c in cases] == ["truth"] * 3
