"""training.measure.sources: means over sources, seen and unseen ones apart, by predictions and by networks."""

import csv
import re

import cv2
import numpy as np
import pytest

from training.images.manifest import Record
from training.measure import sources
from training.measure.sources import by_source, main, rows_of


def records(**counts):
    return [
        Record(None, None, "val", source, partial=source == "c")
        for source, count in counts.items()
        for _ in range(count)
    ]


def test_sources_count_alike():
    """Source a with three images, b and c with one; the mean over seen sources is not the mean over images."""
    listed = records(a=3, b=1, c=1)
    columns = {"x": [1.0, 0.5, 0.0, 0.1, 0.8]}
    assert by_source(listed, columns) == {"a": {"x": 0.5}, "b": {"x": 0.1}, "c": {"x": 0.8}}
    rows = rows_of(listed, {"a", "b"}, columns)
    assert [(r["source"], r["images"], r["x"]) for r in rows] == [
        ("mean over 1 unseen sources", 1, 0.8),
        ("c*", 1, 0.8),
        ("mean over 2 seen sources", 4, 0.3),
        ("a", 3, 0.5),
        ("b", 1, 0.1),
    ]


@pytest.fixture
def data(tmp_path):
    """Two sources, one of them with a training image; the unseen one is partly labelled: one of its two squares."""
    lines = []
    for source, split, squares in (("home", "train", 1), ("home", "val", 2), ("away", "val", 1)):
        labels = np.zeros((40, 60), np.uint8)
        for k in range(squares):
            labels[10:30, 5 + 30 * k : 25 + 30 * k] = k + 1
        stem = f"{source}-{split}"
        for name, pixels in ((f"{stem}.png", labels * 100), (f"{stem}_label.png", labels)):
            assert cv2.imwrite(str(tmp_path / name), pixels)
        lines.append([f"{stem}.png", f"{stem}_label.png", split, source, "1" if source == "away" else "0"])
    with open(tmp_path / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([["image", "label", "split", "source", "partial"], *lines])
    return tmp_path


def test_predictions(data, capsys):
    """One of home's two squares is predicted, 2/3; of away's image both squares, of which the unlabelled one does not
    count.
    """
    found = np.zeros((40, 60), np.uint8)
    found[10:30, 5:25] = 1
    (data / "found").mkdir()
    assert cv2.imwrite(str(data / "found" / "home-val_label.tiff"), found)
    found[10:30, 35:55] = 2
    assert cv2.imwrite(str(data / "found" / "away-val_label.tiff"), found)
    assert (
        main([str(data / "manifest.csv"), "--predictions", f"now={data / 'found'}", "--csv", str(data / "table.csv")])
        == 0
    )
    with open(data / "table.csv", newline="") as file:
        rows = {r["source"]: (r["seen"], float(r["now"])) for r in csv.DictReader(file)}
    assert rows["away*"] == ("unseen", 1.0)
    assert rows["home"] == ("seen", pytest.approx(2 / 3, abs=1e-4))
    assert re.search(r"\| \*\*mean over 1 seen sources\*\* \| \*\*1\*\* \| \*\*0.667\*\* \|", capsys.readouterr().out)


def test_a_missing_prediction_scores_nothing(data, capsys, caplog):
    """Neither where it would have been right to find no cell; without any, nothing is measured."""
    empty = np.zeros((40, 60), np.uint8)
    assert cv2.imwrite(str(data / "away-val_label.png"), empty)
    (data / "found").mkdir()
    command = [str(data / "manifest.csv"), "--predictions", f"now={data / 'found'}"]
    assert main(command) == 2
    assert "found: has no usable prediction of any of the 2 images" in caplog.text
    assert not capsys.readouterr().out
    assert cv2.imwrite(str(data / "found" / "home-val_label.tiff"), empty)
    assert main(command) == 1
    assert "away-val_label.png: no prediction" in caplog.text
    assert "| away* | 1 | 0.000 |" in capsys.readouterr().out


def test_true_size_takes_the_network_of_the_class(data, monkeypatch):
    """Both images are gray, of class 0; the network of that class is asked."""
    monkeypatch.setattr(sources.Network, "load", lambda path, device: path.name)
    asked = []
    monkeypatch.setattr(
        sources, "validate", lambda network, samples: asked.append((network, samples[0].record.source)) or 1.0
    )
    assert main([str(data / "manifest.csv"), "--true-size", f"ours={data}"]) == 0
    assert sorted(asked) == [("class0.safetensors", "away"), ("class0.safetensors", "home")]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["missing.csv", "--predictions", "a=b"], "missing.csv"),
        (["manifest.csv", "--predictions", "a=nowhere"], "no such folder"),
        (
            ["manifest.csv", "--predictions", "a=nowhere", "--sources", "hom"],
            "no line is of source hom, which --sources",
        ),
        (["manifest.csv", "--true-size", "a=nowhere"], "class0.safetensors: no such weights file"),
    ],
)
def test_what_cannot_be_read(data, monkeypatch, caplog, arguments, message):
    monkeypatch.chdir(data)
    assert main(arguments) == 2
    assert message in caplog.text
