"""training.measure.failures, training.measure.judging and training.measure.pictures on drawn cells: each kind of
failure, the tables, and what the pictures show.
"""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.measure.f1 import match_counts
from training.measure.failures import main
from training.measure.judging import COLOURS, FATES, FOUND, MERGED, MISSED, OUTLINE, SPLIT, SPURIOUS, judge_cells
from training.measure.pictures import PANEL


def cells(*boxes, shape=(40, 60)):
    """Labels 1, 2, ... of boxes (top, left, height, width)."""
    labels = np.zeros(shape, np.uint16)
    for label, (y, x, h, w) in enumerate(boxes, start=1):
        labels[y : y + h, x : x + w] = label
    return labels


def kinds(truth, prediction):
    """The kinds of the true and of the predicted cells."""
    return tuple(k[1:].tolist() for k in judge_cells(truth, prediction)[2:])


@pytest.mark.parametrize(
    ("truth", "prediction", "true", "predicted"),
    [
        ([(5, 5, 10, 10)], [(5, 5, 10, 8)], [FOUND], [FOUND]),
        ([(5, 5, 10, 10)], [], [MISSED], []),
        ([], [(5, 5, 10, 10)], [], [SPURIOUS]),
        ([(5, 5, 10, 10)], [(25, 5, 10, 10)], [MISSED], [SPURIOUS]),
        ([(5, 5, 10, 10)], [(5, 5, 10, 4), (5, 9, 10, 4), (5, 13, 10, 2)], [SPLIT], [SPLIT] * 3),
        (
            [(5, 5, 10, 10), (5, 15, 10, 10)],
            [(5, 5, 10, 20)],
            [FOUND, MERGED],
            [FOUND],
        ),  # half of the union each: an IoU of 0.5
        ([(5, 5, 10, 10), (5, 15, 10, 10)], [(4, 4, 12, 22)], [MERGED, MERGED], [MERGED]),
        ([(5, 5, 10, 12), (5, 17, 10, 4)], [(5, 5, 10, 16)], [FOUND, MERGED], [FOUND]),
        ([(5, 5, 10, 10)], [(5, 5, 10, 3)], [OUTLINE], [OUTLINE]),
        ([(5, 5, 10, 10)], [(1, 1, 20, 20)], [OUTLINE], [OUTLINE]),
        ([(5, 5, 10, 10)], [(5, 5, 3, 3)], [MISSED], [SPURIOUS]),  # an IoU of 0.09 is not a meeting
        ([(5, 5, 10, 10)], [(5, 5, 10, 7), (5, 12, 10, 3)], [FOUND], [FOUND, SPURIOUS]),
    ],
)
def test_kinds_of_failure(truth, prediction, true, predicted):
    assert kinds(cells(*truth), cells(*prediction)) == (true, predicted)


def test_every_cell_is_counted_once():
    """On random boxes: found cells are the scorer's matches on both sides, and the values of the labels do not
    matter.
    """
    rng = np.random.default_rng(0)
    for _ in range(30):
        truth, prediction = (
            cells(*(rng.integers((0, 0, 3, 3), (30, 50, 14, 14)) for _ in range(12))) for _ in range(2)
        )
        true, predicted = kinds(truth, prediction)
        counts = match_counts(truth, prediction)[0]
        assert true.count(FOUND) == predicted.count(FOUND) == counts.tp
        assert len(true) == counts.tp + counts.fn
        assert len(predicted) == counts.tp + counts.fp
        assert SPURIOUS not in true
        assert MISSED not in predicted
        gaps = truth.astype(np.int64) * 100_000
        assert kinds(gaps, prediction) == (true, predicted)


@pytest.fixture
def data(tmp_path):
    """Three images of two sources: one cell missed of two, everything found, and a wide one with nothing found."""
    pairs = {
        "s/a": (cells((5, 5, 10, 10), (5, 30, 10, 10)), cells((5, 5, 10, 10))),
        "s/b": (cells((5, 5, 10, 10)), cells((5, 5, 10, 10))),
        "t/c": (cells((5, 1700, 30, 30), shape=(40, 2000)), cells(shape=(40, 2000))),
    }
    lines = ["image,label,split,source,partial"]
    for name, (truth, prediction) in pairs.items():
        source = name[0]
        for path, array in (
            (f"val/{name}.png", np.full(truth.shape, 90, np.uint8)),
            (f"val/{name}_label.png", truth),
            (f"out/{name}_label.tiff", prediction),
        ):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(tmp_path / path), array)
        lines.append(f"val/{name}.png,val/{name}_label.png,val,{source},0")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path


def run(data, *more):
    return main([str(data / "manifest.csv"), str(data / "out"), "--out", str(data / "failures"), *map(str, more)])


def test_tables_and_list(data, capsys):
    assert run(data, "--worst", 0) == 0
    by_source, by_size = capsys.readouterr().out.strip().split("\n\n")
    rows = {line.split()[0]: line.split()[1:] for line in by_source.splitlines()[1:]}
    assert rows["s"][:3] == ["3", "2", "(66.7%)"]
    assert rows["t"][:3] == ["1", "0", "("]
    assert rows["all"][0] == "4"
    sizes = [line.split("px")[1].replace("and more", "").split()[0] for line in by_size.splitlines()[1:]]
    assert sizes == ["0", "3", "1", "0", "0"]  # 10x10 pixels are a disk of 11.3, 30x30 one of 33.9
    with open(data / "failures" / "failures.csv", newline="") as file:
        listed = [(Path(row["image"]).stem, row["f1"], row["found"], row["missed"]) for row in csv.DictReader(file)]
    assert listed == [("c", "0.0", "0", "1"), ("a", "0.6667", "1", "1"), ("b", "1.0", "1", "0")]


def test_pictures(data):
    """The worst two; outlines in the colours of their kinds, true ones on the left; of the wide image the part with the
    cell.
    """
    assert run(data, "--worst", 2) == 0
    names = sorted(path.name for path in (data / "failures").glob("*.png"))
    assert names == ["01_t_c.png", "02_s_a.png"]
    for name, left, right in (("01_t_c.png", {MISSED}, set()), ("02_s_a.png", {FOUND, MISSED}, {FOUND})):
        picture = cv2.imread(str(data / "failures" / name))[22:, :, ::-1]
        middle = picture.shape[1] // 2
        for side, expected in ((picture[:, :middle], left), (picture[:, middle:], right)):
            seen = {k for k in range(len(FATES) - 1) if (side == COLOURS[k]).all(axis=2).any()}
            assert seen == expected
    assert picture.shape[1] <= 2 * PANEL + 4


def test_a_missing_prediction(data, caplog, capsys):
    """The others are looked at, the exit code tells; without any there is nothing to do."""
    (data / "out" / "s" / "b_label.tiff").unlink()
    assert run(data) == 1
    assert "b_label.png: no prediction" in caplog.text
    assert "all" in capsys.readouterr().out
    for path in (data / "out").rglob("*.tiff"):
        path.unlink()
    assert run(data) == 2
    assert "make them with training.label" in caplog.text
