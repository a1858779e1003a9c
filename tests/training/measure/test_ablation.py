"""training.measure.ablation: its lines and figures, with networks whose results are known beforehand."""

import csv
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from inference.routing import Route
from models.config import Config
from training.measure import ablation
from training.measure.ablation import main

CELLS = np.zeros((40, 60), np.uint16)
for _label, (_y, _x) in enumerate([(8, 10), (8, 30), (25, 10), (25, 30)], start=1):
    CELLS[_y : _y + 8, _x : _x + 8] = _label
IMAGES = {  # class: the image; its labels are CELLS
    0: np.full(CELLS.shape, 90, np.uint8),
    1: np.full((*CELLS.shape, 3), 90, np.uint8),
    3: np.full((*CELLS.shape, 3), (20, 20, 200), np.uint8),
}
PERFECT, ONE_MISSED, HALF = 1, 6 / 7, 2 / 3  # F1 of 4, 3 and 2 cells of 4
FOUND = {"perfect": 4, "one missed": 3, "half": 2}


class KnownBench:
    """In the place of the bench: checkpoints are text files, which say how many cells are found, or the router's
    class.
    """

    runs: list = []
    told: list = []

    def __init__(self, device):
        pass

    def config(self, path):
        seen = FOUND.get(path.read_text(), 1)
        return Config(training={"steps_done": seen, "batch": 1000, "seconds": 60 * seen})

    def router(self, path):
        answer = int(path.read_text())

        def route(image, excluded):
            self.told.append(excluded)
            return Route(tuple(float(k == answer) for k in range(4)), 8.0)

        return route

    def segmenter(self, router, checkpoint):
        def segment(picture, *, class_, diameter):
            self.runs.append((str(checkpoint.resolve()), picture.pixels.tobytes(), diameter))
            return SimpleNamespace(labels=np.where(FOUND[checkpoint.read_text()] >= CELLS, CELLS, 0))

        return SimpleNamespace(segment=segment)


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(ablation, "Bench", KnownBench)
    monkeypatch.setattr(KnownBench, "runs", [])
    monkeypatch.setattr(KnownBench, "told", [])
    return KnownBench


@pytest.fixture
def manifest(tmp_path):
    """Two images of class 0, one each of classes 1 and 3, the latter with partial labels."""
    lines = ["image,label,split,source,partial"]
    for name, k in {"a": 0, "b": 0, "c": 1, "d": 3}.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), IMAGES[k] + np.uint8(name == "b"))  # no two are equal
        cv2.imwrite(str(tmp_path / f"{name}_label.png"), CELLS)
        lines.append(f"{name}.png,{name}_label.png,val,s{k},{int(k == 3)}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path / "manifest.csv"


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return write


@pytest.fixture
def runs(write, tmp_path):
    """The router takes every image for class 3."""
    write("runs/router/router.safetensors", "3")
    write("runs/pretrain/stardist.safetensors", "half")
    for k, text in enumerate(("perfect", "half", "perfect", "one missed")):
        write(f"runs/class{k}-stardist/stardist.safetensors", text)
    write("runs/class1-hover/hover.safetensors", "perfect")
    return tmp_path / "runs"


def table(capsys, remarks=None):
    """{line: cells} and the header; what stands below the table goes into `remarks`."""
    printed, _, below = capsys.readouterr().out.partition("\n\n")
    if remarks is not None:
        remarks += below.splitlines()
    header, *lines = printed.splitlines()
    width = len(header) - len(header.lstrip())
    return {line[:width].strip(): line[width:].split() for line in lines}, header.split("  ")


def text(*figures):
    return ["-" if f is None else f"{f:.4f}" for f in figures]


def run(manifest, *more):
    return main(["--manifest", str(manifest), *map(str, more)])


def test_table(known, manifest, runs, capsys):
    assert run(manifest, "--runs", runs) == 0
    lines, header = table(capsys, remarks := [])
    assert remarks == ["ConvNeXt-Hover fine-tuned: no network for class 0, 2, 3"]
    assert [h.strip() for h in header if h] == [
        "class 0 (2)",
        "class 1 (1)",
        "class 2 (0)",
        "class 3 (1)",
        "all (4)",
        "complete labels (3)",
    ]
    mean = (2 * PERFECT + HALF + ONE_MISSED) / 4
    assert lines == {
        "ConvNeXt-StarDist pre-trained": text(HALF, HALF, None, HALF, HALF, HALF),
        "ConvNeXt-StarDist fine-tuned": text(PERFECT, HALF, None, ONE_MISSED, mean, (2 * PERFECT + HALF) / 3),
        "ConvNeXt-Hover fine-tuned": text(None, PERFECT, None, None, None, None),
        "Ours": text(*[ONE_MISSED] * 2, None, *[ONE_MISSED] * 3),  # all sent to class 3
    }


def test_each_network_sees_an_image_once(known, manifest, runs, capsys):
    assert run(manifest, "--runs", runs) == 0
    # Pre-trained, fine-tuned, Hover, Ours but for class 3.
    assert len(known.runs) == len(set(known.runs)) == 4 + 4 + 1 + 3


def test_hover_for_class_2_and_separate_pretraining(known, manifest, runs, write, capsys):
    write("runs/class2-hover/hover.safetensors", "half")
    write("runs/pretrain-stardist/stardist.safetensors", "one missed")
    write("runs/router/router.safetensors", "2")
    assert run(manifest, "--runs", runs) == 0
    lines, _ = table(capsys)
    assert lines["ConvNeXt-StarDist pre-trained"][0] == f"{ONE_MISSED:.4f}"
    assert (lines["Ours"][0], lines["Ours, Hover for class 2"][0]) == ("1.0000", f"{HALF:.4f}")


def test_a_joint_training_leaves_no_gap(known, manifest, write, tmp_path, capsys):
    """Its folder, as training.train has written it, and a router from elsewhere."""
    write("joint/stardist.safetensors", "half")
    write("joint/hover.safetensors", "perfect")
    write("shipped/router.safetensors", "1")
    for k in range(4):
        write(f"shipped/class{k}.safetensors", ("half", "perfect", "half", "half")[k])
    assert run(manifest, "--runs", tmp_path / "joint", "--weights", tmp_path / "shipped", "--trained") == 0
    lines, _ = table(capsys, said := [])
    assert lines == {
        "ConvNeXt-StarDist pre-trained": text(HALF, HALF, None, *[HALF] * 3),
        "ConvNeXt-Hover pre-trained": text(PERFECT, PERFECT, None, *[PERFECT] * 3),
        "weights: shipped": text(PERFECT, PERFECT, None, *[PERFECT] * 3),
    }
    assert said == [
        "ConvNeXt-StarDist pre-trained: 2,000 crops, the last 2 steps in 2 minutes",
        "ConvNeXt-Hover pre-trained: 4,000 crops, the last 4 steps in 4 minutes",
        "weights: shipped: class 0, 2, 3 2,000 crops, the last 2 steps in 2 minutes; "
        "class 1 4,000 crops, the last 4 steps in 4 minutes",
    ]


def test_weights_folders_have_their_own_routers(known, manifest, runs, write, tmp_path, capsys):
    write("shipped/router.safetensors", "1")
    for k, found in enumerate(("half", "one missed", "half", "half")):
        write(f"shipped/class{k}.safetensors", found)
    assert run(manifest, "--runs", runs, "--weights", tmp_path / "shipped") == 0
    assert table(capsys)[0]["weights: shipped"] == text(*[ONE_MISSED] * 2, None, *[ONE_MISSED] * 3)


def test_folders_of_one_name_have_lines_of_their_own(known, manifest, write, tmp_path, capsys):
    for folder, found in (("old", "half"), ("new", "perfect")):
        write(f"{folder}/weights/router.safetensors", "0")
        write(f"{folder}/weights/class0.safetensors", found)
    weights = [word for folder in ("old", "new") for word in ("--weights", tmp_path / folder / "weights")]
    assert run(manifest, *weights) == 0
    lines, _ = table(capsys)
    assert [lines[f"weights: {tmp_path}/{folder}/weights"][0] for folder in ("old", "new")] == text(HALF, PERFECT)


def test_each_network_on_every_class(known, manifest, write, tmp_path, capsys):
    """Four by four, and without class 2's network three by four and a remark; the router still decides in the first
    line.
    """
    write("shipped/router.safetensors", "3")
    for k, found in ((0, "half"), (1, "one missed"), (3, "perfect")):
        write(f"shipped/class{k}.safetensors", found)
    assert run(manifest, "--weights", tmp_path / "shipped", "--each-network", "--true-size") == 0
    lines, _ = table(capsys, remarks := [])
    assert lines == {
        "weights: shipped": text(PERFECT, PERFECT, None, *[PERFECT] * 3),
        "weights: shipped, class0": text(HALF, HALF, None, *[HALF] * 3),
        "weights: shipped, class1": text(ONE_MISSED, ONE_MISSED, None, *[ONE_MISSED] * 3),
        "weights: shipped, class3": text(PERFECT, PERFECT, None, *[PERFECT] * 3),
    }
    assert remarks == ["weights: shipped: no network for class 2"]


def test_the_pretrained_network_stands_in(known, manifest, runs, write, capsys):
    """Nothing was fine-tuned for classes 0 and 1; for Hover there is no pre-trained network either."""
    (runs / "class0-stardist" / "stardist.safetensors").unlink()
    (runs / "class1-hover" / "hover.safetensors").unlink()
    write("runs/router/router.safetensors", "0")
    assert run(manifest, "--runs", runs) == 0
    lines, _ = table(capsys, remarks := [])
    assert lines["Ours"] == text(HALF, HALF, None, *[HALF] * 3)
    assert "ConvNeXt-Hover fine-tuned" not in lines
    assert remarks == [
        "ConvNeXt-StarDist fine-tuned: no network for class 0",
        "Ours: the pre-trained network stands in for class 0",
        "Ours: no network for class 1",
    ]
    write("runs/router/router.safetensors", "1")
    assert run(manifest, "--runs", runs) == 0
    assert table(capsys)[0]["Ours"] == text(*[None] * 6)


def test_the_router_is_told_what_cannot_be(known, manifest, runs, capsys):
    """As in predict.py, which takes no colourful image for gray."""
    assert run(manifest, "--runs", runs) == 0
    assert known.told == [(), (), (), (0, 1)]


def test_csv_limit_and_true_size(known, manifest, runs, tmp_path):
    assert run(manifest, "--runs", runs, "--limit", 3, "--true-size", "--csv", tmp_path / "t.csv") == 0
    with open(tmp_path / "t.csv", newline="") as file:
        ours = [row for row in csv.DictReader(file) if row["line"] == "Ours"]
    assert [(r["source"], r["class"], r["routed"], r["tp"], r["fp"], r["fn"], r["f1"]) for r in ours] == [
        (f"s{k}", str(k), "3", "3", "0", "1", "0.85714") for k in (0, 1, 3)
    ]
    assert [diameter for *_, diameter in known.runs] == pytest.approx([2 * (64 / np.pi) ** 0.5] * len(known.runs))


def test_what_is_missing_is_named(known, manifest, runs, tmp_path, caplog):
    assert run(manifest) == 2
    assert run(manifest, "--runs", tmp_path / "nothing") == 2
    assert run(manifest, "--weights", runs) == 2
    (runs / "router" / "router.safetensors").unlink()
    assert run(manifest, "--runs", runs) == 2
    for said in (
        "give --runs or --weights",
        "nothing: holds no networks",
        "runs/router.safetensors: no such weights file",
        "router/router.safetensors: no router there",
    ):
        assert said in caplog.text


def test_the_products_segmenter(manifest, untrained_weights, tmp_path, capsys):
    """The real one runs a checkpoint of either kind, at a measured or the true size."""
    for source, target in {
        "class0": "pretrain/stardist",
        "class1": "pretrain/hover",
        "router": "router/router",
    }.items():
        link = tmp_path / "runs" / f"{target}.safetensors"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(untrained_weights / f"{source}.safetensors")
    for more in ((), ("--true-size",)):
        assert run(manifest, "--runs", tmp_path / "runs", "--device", "cpu", *more) == 0
        assert list(table(capsys)[0]) == ["ConvNeXt-StarDist pre-trained", "ConvNeXt-Hover pre-trained", "Ours"]
