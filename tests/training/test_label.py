"""training.label: which images it labels, keeps and drops, where the files go, and that the scorer and the trainings
read them.
"""

import csv
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from models.classes import CLASSES
from training import label, prepare
from training.images.datasets import load_samples
from training.images.manifest import read_manifest
from training.label import main
from training.measure import score

SHAPE = (20, 30)


class CountingSegmenter:
    """In the place of the product's: an image of brightness n has n cells, and the router is sure at n percent."""

    @classmethod
    def from_folder(cls, weights, device):
        return cls()

    def segment(self, picture, *, class_):
        count = int(picture.pixels.max())
        labels = np.zeros(picture.shape, np.int32)
        labels.ravel()[:count] = np.arange(1, count + 1)
        plan = SimpleNamespace(
            image_class=CLASSES[0],
            diameter=9.0,
            route=SimpleNamespace(probabilities=(count / 100, 0, 0, 0), diameter=8.0),
            agreement=0.875,
            doubts=("size",),
        )
        return SimpleNamespace(labels=labels, plan=plan, summary=SimpleNamespace(cells=count, seconds={"network": 1.0}))


@pytest.fixture(autouse=True)
def counting(monkeypatch):
    monkeypatch.setattr(label, "Segmenter", CountingSegmenter)


def write(path, count):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full(SHAPE, count, np.uint8))


@pytest.fixture
def manifest(tmp_path):
    """A labelled image, and four unlabelled ones of two sources."""
    write(tmp_path / "train/a.png", 50)
    write(tmp_path / "train/a_label.png", 1)
    lines = ["image,label,split,source,modality", "train/a.png,train/a_label.png,train,fluo,fluorescence"]
    for name, count in {"fluo/a.png": 40, "fluo/b.x.png": 2, "fluo/b.y.png": 7, "blood/a.png": 90}.items():
        write(tmp_path / "unlabelled" / name, count)
        lines.append(f"unlabelled/{name},,unlabelled,{name.split('/')[0]},m")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path / "manifest.csv"


def run(manifest, *more):
    return main(
        [
            "--pseudo",
            "--weights",
            "w",
            "--manifest",
            str(manifest),
            "--out",
            str(manifest.parent / "out"),
            *map(str, more),
        ]
    )


def kept(manifest):
    """Image -> number of cells, of the manifest that was written; checks the rest of each line."""
    with open(manifest.parent / "out" / "manifest.csv", newline="") as file:
        for row in csv.DictReader(file):
            assert (row["split"], row["partial"], row["modality"]) == ("train", "0", "m")
            assert row["source"] == f"{row['image'].split('/')[-2]}_pseudo"
    samples = load_samples(read_manifest(manifest.parent / "out" / "manifest.csv", "train"))
    return {"/".join(s.record.image.parts[-2:]): int(s.labels.max()) for s in samples}


def test_the_unlabelled_lines_of_a_manifest(manifest, caplog):
    caplog.set_level("INFO")
    assert run(manifest) == 0
    assert kept(manifest) == {"fluo/a.png": 40, "fluo/b.y.png": 7, "blood/a.png": 90}
    assert sorted(p.name for p in (manifest.parent / "out").iterdir()) == [
        "blood_pseudo",
        "fluo_pseudo",
        "manifest.csv",
        "report.csv",
    ]
    assert "dropped: 1 with fewer than 3 cells" in caplog.text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--fewest-cells", 0), {"fluo/a.png", "fluo/b.x.png", "fluo/b.y.png", "blood/a.png"}),
        (("--most-cells", 40), {"fluo/a.png", "fluo/b.y.png"}),
        (("--confidence", 0.4), {"fluo/a.png", "blood/a.png"}),
        (("--leave-out", "blood"), {"fluo/a.png", "fluo/b.y.png"}),
    ],
)
def test_what_is_dropped(manifest, options, expected):
    assert run(manifest, *options) == 0
    assert set(kept(manifest)) == expected


def test_merged_with_the_true_labels(manifest):
    """The unlabelled lines give way to the pseudo labels, whatever the order of the manifests."""
    assert run(manifest) == 0
    for order in (1, -1):
        joined = manifest.parent / f"joined{order}.csv"
        assert (
            prepare.main(["merge", str(joined), *[str(manifest), str(manifest.parent / "out/manifest.csv")][::order]])
            == 0
        )
        assert sorted(r.source for r in read_manifest(joined, "train")) == [
            "blood_pseudo",
            "fluo",
            "fluo_pseudo",
            "fluo_pseudo",
        ]
        assert [r.image.name for r in read_manifest(joined, "unlabelled")] == ["b.x.png"]


def test_a_folder_with_sub_folders(tmp_path):
    """Equal names in two folders do not collide."""
    for name in ("a.png", "day1/a.png", "day2/a.png"):
        write(tmp_path / "images" / name, 5)
    out = tmp_path / "out"
    assert (
        main(
            ["--pseudo", "--weights", "w", "--images", str(tmp_path / "images"), "--source", "mine", "--out", str(out)]
        )
        == 0
    )
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.tiff")) == [
        "mine_pseudo/a_label.tiff",
        "mine_pseudo/day1/a_label.tiff",
        "mine_pseudo/day2/a_label.tiff",
    ]


def test_an_unreadable_image(manifest, caplog):
    broken = manifest.parent / "unlabelled/fluo/a.png"
    broken.write_bytes(b"\x89PNG")
    assert run(manifest) == 1
    assert str(broken) in caplog.text
    assert set(kept(manifest)) == {"fluo/b.y.png", "blood/a.png"}


def test_nothing_to_label(manifest, caplog):
    assert run(manifest, "--leave-out", "fluo", "blood") == 2
    assert "no line is left without the sources of --leave-out" in caplog.text
    assert run(manifest, "--leave-out", "Fluo") == 2
    assert "no line is of source Fluo, which --leave-out names" in caplog.text
    assert run(manifest, "--fewest-cells", 1000) == 2
    assert "none of the 4 images" in caplog.text
    assert not (manifest.parent / "out/manifest.csv").exists()


def test_real_networks(manifest, untrained_weights, monkeypatch):
    """What the product's Segmenter returns has all that is asked of it."""
    monkeypatch.undo()
    out = manifest.parent / "out"
    assert (
        main(
            [
                "--pseudo",
                "--weights",
                str(untrained_weights),
                "--manifest",
                str(manifest),
                "--out",
                str(out),
                "--fewest-cells",
                "0",
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    assert len(read_manifest(out / "manifest.csv", "train")) == 4


def test_predictions_lie_where_the_scorer_looks(manifest, capsys):
    """In a folder named as the image's, beside a report; an image without cells is one of them."""
    out = manifest.parent / "out"
    command = ["--weights", "w", "--manifest", str(manifest), "--out", str(out)]
    assert main([*command, "--split", "train"]) == 0
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*.*")) == ["report.csv", "train/a_label.tiff"]
    with open(out / "report.csv", newline="") as file:
        assert list(csv.DictReader(file)) == [
            {
                "source": "fluo",
                "folder": "train",
                "image": "a.png",
                "class": "binary",
                "cells": "50",
                "cell_diameter_px": "9.0",
                "router_diameter_px": "8.0",
                "size_agreement": "0.875",
                "doubts": "size",
                "seconds": "1.0",
            }
        ]
    assert score.main([str(manifest), str(out), "--split", "train"]) == 0


def test_two_images_with_one_place_for_their_labels_are_refused(manifest, caplog):
    """Folders of one name in two places, an image of one name in each."""
    root, lines = manifest.parent, ["image,label,split,source"]
    for place in ("one", "two"):
        (root / place / "images").mkdir(parents=True)
        for name in ("a.png", "a_label.png"):
            (root / place / "images" / name).write_bytes((root / "train" / name).read_bytes())
        lines.append(f"{place}/images/a.png,{place}/images/a_label.png,val,{place}")
    (root / "twice.csv").write_text("\n".join(lines))
    assert main(["--weights", "w", "--manifest", str(root / "twice.csv"), "--out", str(root / "out")]) == 2
    assert all(str(root / place / "images" / "a.png") in caplog.text for place in ("one", "two"))
    assert not list((root / "out").rglob("*_label.tiff"))


@pytest.mark.parametrize(
    "options", [("--images", "x"), ("--pseudo", "--images", "x", "--route", "1", "--confidence", "0.5")]
)
def test_options_that_do_not_go_together(options, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--weights", "w", "--out", "o", *options])
    assert stopped.value.code == 2
