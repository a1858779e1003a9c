"""training.evaluate on labels that are given: tables, the page, errors; and the networks of a folder."""

import csv
import io
import re

import cv2
import numpy as np
import pytest

from training import evaluate
from training.evaluate import main


def disks(*cells):
    labels = np.zeros((80, 80), np.uint16)
    for number, (y, x, radius) in enumerate(cells, start=1):
        cv2.circle(labels, (x, y), radius, number, -1)
    return labels


TRUE = disks((20, 20, 8), (20, 55, 8), (55, 25, 8))
MERGED = np.where(TRUE == 2, 1, TRUE)
MERGED[16:25, 20:55] = 1


@pytest.fixture
def data(tmp_path):
    """Two images: of `good` everything is found, of `bad` two cells are merged; beside the folder of true labels."""
    for folder in ("images", "labels", "found"):
        (tmp_path / folder).mkdir()
    for name, found in (("bad", MERGED), ("good", TRUE)):
        cv2.imwrite(str(tmp_path / f"images/{name}.png"), np.where(TRUE > 0, 180, 40).astype(np.uint8))
        cv2.imwrite(str(tmp_path / f"labels/{name}_label.png"), TRUE)
        cv2.imwrite(str(tmp_path / f"found/{name}_label.png"), found)
    return tmp_path


def run(data, *more):
    words = ["--images", data / "images", "--labels", data / "labels", "-o", data / "out", *more]
    return main([str(word) for word in words])


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_labels_of_another_program(data, capsys):
    assert run(data, "--predictions", data / "found") == 0
    bad, good = rows(data / "out/images.csv")
    assert (bad["image"], bad["cells"], bad["found"], bad["merged"]) == ("bad", "3", "2", "2")
    assert (good["image"], good["F1"], good["PQ"], good["AP"], good["merged"]) == ("good", "1.0", "1.0", "1.0", "0")
    first = rows(data / "out/thresholds.csv")[0]
    # 4 of 6 true cells are matched by 4 of 5 found ones: 4 / (4 + 1 + 2); by image 3/3 and 1/4.
    assert float(first["AP (StarDist)"]) == pytest.approx(4 / 7, abs=1e-4)
    assert float(first["AP (Cellpose)"]) == pytest.approx((1 + 1 / 4) / 2, abs=1e-4)
    assert float(first["F1"]) == pytest.approx((1 + 2 / 5) / 2, abs=1e-4)
    assert "AP (Cellpose)" in capsys.readouterr().out


def test_what_is_counted_at_the_border_is_said(data, capsys):
    """A cell whose true outline alone touches the border: found, and yet spurious."""
    touching, apart = disks((40, 8, 8)), disks((40, 8, 8))
    apart[:, :2] = 0  # of the challenge's border
    for folder, labels in (("labels", touching), ("found", apart)):
        cv2.imwrite(str(data / folder / "good_label.png"), labels)
    run(data, "--predictions", data / "found")
    good = next(row for row in rows(data / "out/images.csv") if row["image"] == "good")
    assert [good[name] for name in ("cells", "found", "AP", "spurious")] == ["1", "1", "1.0", "1"]
    for said in (capsys.readouterr().out, (data / "out/report.html").read_text(encoding="utf-8")):
        assert "count cells at the image border too" in said


def test_true_labels_that_cannot_be_right_are_named(data, caplog):
    cv2.imwrite(str(data / "labels/bad_label.png"), (TRUE > 0).astype(np.uint8) * 255)
    assert run(data, "--predictions", data / "found") == 0
    assert "bad_label.png: 0/255 mask: 3 parts share the number 255" in caplog.text


def test_the_page_has_the_worst_image_first(data):
    run(data, "--predictions", data / "found")
    page = (data / "out/report.html").read_text(encoding="utf-8")
    captions = re.findall(r"<figcaption>(\w+): F1 ([\d.]+)", page)
    assert captions == [("bad", "0.400"), ("good", "1.000")]
    assert page.count("data:image/jpeg;base64,/9j/") == 2
    assert "<script" not in page
    assert "http" not in page


def test_names_are_no_html(data):
    for folder, suffix in (("images", ""), ("labels", "_label"), ("found", "_label")):
        (data / f"{folder}/bad{suffix}.png").rename(data / f"{folder}/<b>x{suffix}.png")
    run(data, "--predictions", data / "found")
    assert "<b>x" not in (data / "out/report.html").read_text(encoding="utf-8")


def test_a_name_that_is_no_utf_8_is_on_the_page(data, monkeypatch):
    for folder, suffix in (("images", ""), ("labels", "_label"), ("found", "_label")):
        (data / f"{folder}/bad{suffix}.png").rename(data / f"{folder}/caf\udce9{suffix}.png")
    output = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="strict")
    monkeypatch.setattr("sys.stdout", output)
    assert run(data, "--predictions", data / "found") == 0
    assert "caf" in (data / "out/report.html").read_text(encoding="utf-8")


def test_the_page_has_pictures_of_the_worst_images_alone(data, monkeypatch):
    monkeypatch.setattr(evaluate, "MOST_PICTURES", 1)
    run(data, "--predictions", data / "found")
    page = (data / "out/report.html").read_text(encoding="utf-8")
    assert re.findall(r"<figcaption>(\w+)", page) == ["bad"]
    assert "The 1 best images are left out" in page
    assert "700x700 pixels" in page


def test_an_image_whose_cells_all_touch_the_border_has_no_f1(data, caplog):
    """Nothing of it counts; found by nobody it is still the worst."""
    cut = disks((0, 40, 15), (79, 40, 15))
    cv2.imwrite(str(data / "labels/good_label.png"), cut)
    cv2.imwrite(str(data / "found/good_label.png"), 0 * cut)
    assert run(data, "--predictions", data / "found") == 0
    good, bad = rows(data / "out/images.csv")
    assert (good["image"], good["cells"], good["F1"], good["PQ"]) == ("good", "2", "", "0.0")
    assert rows(data / "out/thresholds.csv")[0]["F1"] == bad["F1"] == "0.4"
    assert "all cells of 1 images touch the border" in caplog.text
    assert "<figcaption>good: 2 cells, 0 found" in (data / "out/report.html").read_text(encoding="utf-8")


def test_an_image_without_prediction_counts_as_empty(data, caplog):
    (data / "found/bad_label.png").unlink()
    assert run(data, "--predictions", data / "found") == 1
    assert rows(data / "out/images.csv")[0]["F1"] == "0.0"
    assert "bad: no labels of its size" in caplog.text


def test_what_is_wrong_with_predictions_is_named(data, caplog):
    (data / "found/bad_label.png").write_bytes(b"\x89PNG")
    cv2.imwrite(str(data / "found/good_label.png"), (TRUE > 0).astype(np.uint8) * 255)
    assert run(data, "--predictions", data / "found") == 1
    assert "bad_label.png: cannot be read" in caplog.text
    assert "good_label.png: 0/255 mask" in caplog.text


@pytest.mark.parametrize("iou", ["50", "0", "x"])
def test_an_iou_is_a_share(data, iou):
    with pytest.raises(SystemExit):
        run(data, "--predictions", data / "found", "--ious", iou)


def test_labels_of_another_size_are_named(data, caplog):
    cv2.imwrite(str(data / "labels/bad_label.png"), TRUE[:70])
    assert run(data, "--predictions", data / "found") == 1
    assert [row["image"] for row in rows(data / "out/images.csv")] == ["good"]
    assert "bad_label.png: labels of another size" in caplog.text


def test_the_networks_of_a_folder(data, untrained_weights):
    assert run(data, "--weights", untrained_weights, "--device", "cpu", "--ious", "0.5") == 0
    assert {row["class"] for row in rows(data / "out/images.csv")} == {"binary"}


@pytest.mark.parametrize("words", [[], ["--images", "x", "--manifest", "y"]])
def test_images_or_a_manifest(words, caplog):
    assert main(words) == 2
    assert "give either --images" in caplog.text
