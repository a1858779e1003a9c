"""training.measure.routes: how often class and size are right."""

import csv

import cv2
import numpy as np
import pytest

from training.measure.routes import Way, main, table


def way(class_=0, true_class=0, diameter=20.0, true_diameter=20.0, seen=True):
    return Way("home/a.png", class_, true_class, diameter, true_diameter, seen)


@pytest.mark.parametrize(
    "diameter, true, wrong",
    [(20, 20, False), (10, 20, False), (40, 20, False), (9, 20, True), (41, 20, True), (30, np.nan, False)],
)
def test_a_size_is_wrong_beyond_a_factor_of_two(diameter, true, wrong):
    assert way(diameter=diameter, true_diameter=true).wrong_size is wrong


def test_groups():
    rows = table([way(), way(1, 0), way(3, 3, 90.0), way(1, 3, seen=False)])
    assert [tuple(row.values()) for row in rows] == [
        ("all", 4, "50.0%", "75.0%"),
        ("seen sources", 3, "66.7%", "66.7%"),
        ("seen, binary", 2, "50.0%", "100.0%"),
        ("seen, small colour", 1, "100.0%", "0.0%"),
        ("unseen sources", 1, "0.0%", "100.0%"),
        ("unseen, small colour", 1, "0.0%", "100.0%"),
    ]


@pytest.fixture
def data(tmp_path):
    """A gray image of one disk of 20 pixels, and what is said of it."""
    truth = cv2.circle(np.zeros((60, 80), np.uint8), (40, 30), 10, 1, -1)
    cv2.imwrite(str(tmp_path / "a.png"), truth * 100)
    cv2.imwrite(str(tmp_path / "a_label.png"), truth)
    rows = [["image", "label", "split", "source"], ["a.png", "a_label.png", "val", "home"]]
    with open(tmp_path / "manifest.csv", "w", newline="") as file:
        csv.writer(file).writerows([*rows, ["a.png", "a_label.png", "val", "abroad"]])
    return tmp_path


def say(folder, *rows):
    with open(folder / "report.csv", "w", newline="") as file:
        csv.writer(file).writerows([["source", "folder", "image", "class", "cell_diameter_px"], *rows])


def test_wrong_sizes_are_named(data, capsys, caplog):
    say(data, ["home", data.name, "a.png", "binary", 21], ["abroad", data.name, "a.png", "gray", 50])
    assert main([str(data / "manifest.csv"), str(data)]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[1].split() == ["all", "2", "50.0%", "50.0%"]
    assert printed.endswith("abroad/a.png: 50 px instead of 20\n")
    assert main([str(data / "manifest.csv"), str(data), "--sources", "home"]) == 0
    assert "px instead" not in capsys.readouterr().out
    assert main([str(data / "manifest.csv"), str(data), "--sources", "home", "abrod"]) == 2
    assert "no line is of source abrod, which --sources names" in caplog.text


def test_an_image_that_the_report_lacks(data, caplog):
    say(data, ["home", data.name, "a.png", "binary", 21])
    assert main([str(data / "manifest.csv"), str(data)]) == 2
    assert "report.csv: has no line for abroad/a.png; make it with training.label" in caplog.text
