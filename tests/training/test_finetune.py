"""training.finetune from images to a weights folder, with small untrained networks; the check alone; refusals."""

import csv
import logging
import math
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from inference.reading import Picture, read_image
from inference.segmenter import Segmenter
from models.checksums import sha256, write_checksums
from models.classes import CLASSES
from models.likeness import Likeness
from models.weights_folder import ALL_FILES, FILES
from training import finetune
from training.finetune import judges, main, plan
from training.images.datasets import Sample
from training.images.manifest import Record
from training.learning.finetune_trainer import FinetuneTrainer
from training.own import verdict
from training.own.collection import OwnImage
from training.own.likeness import write_reference
from training.readers.label_images import RawLabels


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Five images with bright disks, a sixth without any, and their labels."""
    folder, rng = tmp_path_factory.mktemp("own"), np.random.default_rng(0)
    for sub in ("images", "labels"):
        (folder / sub).mkdir()
    for number in range(6):
        labels = np.zeros((96, 96), np.uint16)
        for cell in range(1, 6 if number else 1):
            cv2.circle(labels, tuple(rng.integers(10, 86, 2).tolist()), int(rng.integers(6, 11)), cell, -1)
        image = np.where(labels > 0, 180, 40) + rng.integers(0, 30, labels.shape)
        cv2.imwrite(str(folder / f"images/{number}.png"), image.astype(np.uint8))
        cv2.imwrite(str(folder / f"labels/{number}_label.png"), labels)
    return folder


def run(data, out, *more):
    words = ["--images", data / "images", "--labels", data / "labels", "-o", out, "--device", "cpu", *more]
    return main([str(word) for word in words])


@pytest.fixture(scope="module")
def trained(data, untrained_weights, tmp_path_factory):
    """The folder that a short run writes, and its exit code."""
    out = tmp_path_factory.mktemp("out") / "my-weights"
    return out, run(data, out, "--weights", untrained_weights, "--time-budget", "0.05")


def test_the_folder_is_complete(trained):
    segmenter = Segmenter.from_folder(trained[0], "cpu", verify=True)
    assert [path.parent for path in segmenter.files.values()] == [trained[0]] * 4


def test_the_exit_code_is_what_the_table_says(trained):
    out, code = trained
    with open(out / "finetune/held_out.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    assert all(row["class"] == "binary" for row in rows)
    gain = sum(float(row["after"]) - float(row["before"]) for row in rows) / len(rows)
    assert code == (0 if gain >= 0.005 else 1)


def test_pictures_and_labels_are_kept_and_the_resume_file_is_not(trained):
    kept = {p.relative_to(trained[0] / "finetune").as_posix() for p in (trained[0] / "finetune").rglob("*.*")}
    assert {"worst.png", "others.csv", "class0/manifest.csv", "class0/labels/3_label.tiff"} <= kept
    assert "class0/resume.safetensors" not in kept


def test_a_folder_with_networks_is_not_written_over(data, untrained_weights, caplog):
    assert run(data, untrained_weights) == 2
    assert "holds networks already" in caplog.text


def test_a_folder_with_anything_else_is_taken_as_the_help_says(data, tmp_path, monkeypatch, capsys):
    """Such as what a run that was stopped has left, or the pictures of --check."""
    for name in ("finetune/class0/resume.safetensors", "finetune/checks/findings.csv", "class0.safetensors"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(finetune, "finetune", lambda *_: [])
    monkeypatch.setattr(finetune, "write_weights", lambda *_: None)
    monkeypatch.setattr(finetune, "report", lambda *_: 0)
    assert run(data, tmp_path) == 0
    with pytest.raises(SystemExit):
        main(["-h"])
    assert "it must not hold networks yet" in " ".join(capsys.readouterr().out.split())


def stop_each_step(monkeypatch, number):
    """A signal comes while a step runs."""
    step = FinetuneTrainer.train_step

    def stopped(self, batch):
        os.kill(os.getpid(), number)
        step(self, batch)

    monkeypatch.setattr(FinetuneTrainer, "train_step", stopped)


def test_a_stopped_training_says_so_and_goes_on(data, untrained_weights, tmp_path, monkeypatch, caplog):
    stop_each_step(monkeypatch, signal.SIGTERM)
    caplog.set_level("INFO")
    for said in ("stopped: 1 steps", "continuing at step 1"):
        with pytest.raises(SystemExit) as ended:
            run(data, tmp_path / "out", "--weights", untrained_weights, "--time-budget", "5")
        assert ended.value.code == 143
        assert said in caplog.text
    assert caplog.text.count("the same command goes on from there") == 2


def test_ctrl_c_saves_the_training(data, untrained_weights, tmp_path, monkeypatch, caplog):
    stop_each_step(monkeypatch, signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has none
    try:
        assert run(data, tmp_path / "out", "--weights", untrained_weights, "--time-budget", "5") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert caplog.messages[-1].startswith("stopped: 1 steps")
    assert "the same command goes on from there" in caplog.messages[-1]
    assert (tmp_path / "out/finetune/class0/resume.safetensors").exists()


@pytest.mark.parametrize("stage", ["check_images", "finetune", "report"])
def test_ctrl_c_at_another_place_is_one_line(data, tmp_path, monkeypatch, caplog, stage):
    def stopped(*_):
        raise KeyboardInterrupt

    for name in ("finetune", "write_weights", "report"):
        monkeypatch.setattr(finetune, name, lambda *_: [])
    monkeypatch.setattr(finetune, stage, stopped)
    assert run(data, tmp_path / "out") == 130
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR] == [
        "stopped before the end; give the same command again"
    ]


def test_check_alone_trains_nothing(data, tmp_path, caplog):
    assert run(data, tmp_path / "out", "--check") == 0
    assert not (tmp_path / "out").exists()


def test_check_finds_something(data, tmp_path, caplog):
    caplog.set_level("INFO")
    for number in range(6):
        labels = cv2.imread(str(data / f"labels/{number}_label.png"), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(tmp_path / f"{number}.png"), ((labels > 0) * 255 if number == 2 else labels).astype(np.uint8))
    code = main(["--images", str(data / "images"), "--labels", str(tmp_path), "--check", "-o", str(tmp_path / "out")])
    assert code == 1
    assert "1 left out (--trust-labels takes them all the same)" in caplog.text
    assert (tmp_path / "out/finetune/checks/001_0-255-mask_2.png").exists()


def test_formats_are_listed(capsys):
    assert main(["--formats"]) == 0
    assert "x_seg.npy" in capsys.readouterr().out


def test_an_output_folder_is_needed(capsys):
    with pytest.raises(SystemExit):
        main(["--images", "x"])
    assert "-o is missing" in capsys.readouterr().err


def test_original_images_at_hand_are_mixed_in(tmp_path, monkeypatch):
    """data/manifest.csv, if the folder has one, and if nobody says otherwise."""
    words = ["--images", "x", "-o", "y"]
    monkeypatch.chdir(tmp_path)
    assert finetune.parse_arguments(words).original is None
    (tmp_path / "data").mkdir()
    (tmp_path / "data/manifest.csv").touch()
    assert finetune.parse_arguments(words).original == Path("data/manifest.csv")
    assert finetune.parse_arguments([*words, "--no-original"]).original is None
    assert finetune.parse_arguments([*words, "--original", "z.csv"]).original == Path("z.csv")


LIKENESS = Likeness((0.5,), (1.0,), (1.0,), 0.0, 1.0)
RECORD = Record(Path("x.png"), Path("x_label.png"), "train", "x")


def own(name, cells=True):
    return OwnImage(Path(name), Path(name), name, name, RawLabels(np.full((2, 2), int(cells), np.uint16)))


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """Function that plans for images that the router sends to these classes."""

    def make(classes, given=None, share=None, alike=()):
        images = [own(f"{n:02}") for n in range(len(classes))]
        routed = {i.name: c if isinstance(c, tuple) else (c,) for i, c in zip(images, classes)}
        monkeypatch.setattr(
            finetune, "classes_of", lambda s, i, c: routed if c is None else dict.fromkeys(routed, (c,))
        )
        monkeypatch.setattr(finetune, "read_reference", lambda weights: "reference")
        monkeypatch.setattr(finetune, "told_apart", lambda task, features, reference: reference and LIKENESS)
        monkeypatch.setattr(OwnImage, "picture", property(lambda image: image.name))
        args = SimpleNamespace(class_=given, original=None, out=tmp_path, seed=0, share=share, weights=tmp_path)
        segmenter = SimpleNamespace(
            files={c.number: tmp_path / c.file for c in CLASSES},
            features=lambda name: np.array([0.6 if int(name) in alike else 9.0]),
        )
        tasks = plan(images, segmenter, args)
        assert all({i.name for i in judges(t)} <= set(t.routed) for t in tasks)
        assert all(t.likeness == (None if share else LIKENESS) for t in tasks)
        return {task.class_: len(task.images) for task in tasks}

    return make


def test_each_network_that_enough_images_reach_is_trained(planned, caplog):
    assert planned([1] * 6 + [3] * 4 + [0]) == {1: 6, 3: 4}
    assert "binary: too few images to train it: 10" in caplog.text


def test_a_network_is_trained_on_images_that_it_might_get_too(planned):
    """Judged it is by those that it gets."""
    assert planned([(2, 3)] * 6 + [(3, 2)] * 4 + [(3,)]) == {2: 10, 3: 11}
    assert planned([(2, 3)] * 6) == {2: 6}


def test_images_that_look_alike_are_trained_on_together(planned, caplog):
    """Whatever their classes, so that none is left out."""
    caplog.set_level("INFO")
    assert planned([2] * 3 + [3] * 5, alike=range(2)) == {3: 7}
    assert "small colour: 2 images of other classes look like these" in caplog.text
    assert "large colour: too few images to train it: 02" in caplog.text
    assert planned([(2, 3)] * 6 + [(3, 2)] * 8, alike=range(3)) == {2: 11, 3: 14}, "in one network alone"
    assert planned([2] * 3 + [3] * 5 + [1], alike=range(9)) == {3: 9}
    assert planned([2] * 3 + [3] * 5, alike=range(3, 8)) == {2: 3, 3: 5}
    assert planned([2] * 3 + [3] * 5, alike=range(8), share=1.0) == {2: 3, 3: 5}


def test_few_images_of_one_class_are_enough(planned):
    assert planned([2, 2]) == {2: 2}


def test_a_share_of_the_way_is_for_all_images_of_the_class(planned):
    assert planned([2, 2], share=1.0) == {2: 2}


def test_the_class_given_gets_all(planned):
    assert planned([1, 1, 3], given=3) == {3: 3}


def test_scattered_images_are_refused_with_the_remedy(planned):
    with pytest.raises(ValueError, match="--class"):
        planned([0, 1, 1, 3])


@pytest.mark.parametrize(
    "recognised, expected, said",
    [(0.8, LIKENESS, "80 % of your images are told"), (0.75, None, "is to serve all images of the class")],
)
def test_images_that_are_not_told_from_others_have_no_network_of_their_own(
    monkeypatch, caplog, recognised, expected, said
):
    """Those that are held out, or show nothing, do not tell."""
    caplog.set_level("INFO")
    images = [own("a"), own("b"), own("c", cells=False), own("held")]
    images = [SimpleNamespace(image=i.image, group=i.name, cells=i.cells, picture=i.name) for i in images]
    splits = {"a": "train", "b": "train", "c": "train", "held": "val"}
    records = [SimpleNamespace(split=split, image=Path(name)) for name, split in splits.items()]
    task = SimpleNamespace(class_=0, images=images, write_labels=lambda: records)

    def features(image):
        return f"features of {image.picture}"

    def learnt(reference, samples, seen, fields):
        assert samples == [Path("a"), Path("b")]
        assert seen == ["features of a", "features of b"]
        assert fields == ["a", "b"]
        return LIKENESS, recognised

    monkeypatch.setattr(finetune, "likeness_of", learnt)
    monkeypatch.setattr(finetune, "load_samples", lambda records: [r.image for r in records])
    assert finetune.told_apart(task, features, "reference") == expected
    assert said in caplog.text
    assert finetune.told_apart(task, features, None) is None
    images[1].group = "a"
    assert finetune.told_apart(task, features, "reference") is None
    assert "the images to train on are of one field" in caplog.text


@pytest.mark.parametrize("likeness, expected", [(None, 0.3), (LIKENESS, 0.5)])
def test_of_other_images_those_like_ones_own_go_to_the_new_network(monkeypatch, likeness, expected):
    """The others keep the score that they had."""
    monkeypatch.setattr(finetune.Network, "load", lambda path, device: path)
    monkeypatch.setattr(finetune, "scores_of", lambda network, samples: {"new": [0.2, 0.4]}[network])
    monkeypatch.setattr(finetune, "read_image", lambda path: path)
    segmenter = SimpleNamespace(device="cpu", features=lambda path: np.array([9.0 if path == "x" else 0.6]))
    samples = [SimpleNamespace(record=SimpleNamespace(image=name)) for name in "xy"]
    task = SimpleNamespace(likeness=likeness)
    assert finetune.score_others(task, "new", samples, [0.6, 0.9], segmenter) == pytest.approx(expected)


def slope(seed):
    """(96, 96, 3) uint8 that becomes brighter from left to right."""
    return np.repeat(np.linspace(0, 100 + 7 * seed, 96, dtype=np.uint8)[None, :, None], 96, 0).repeat(3, 2)


@pytest.fixture(scope="module")
def known(untrained_weights, tmp_path_factory):
    """A weights folder whose router has seen slopes, so that images with disks are told from them."""
    folder = shutil.copytree(untrained_weights, tmp_path_factory.mktemp("known") / "weights")
    nothing = np.zeros((96, 96), np.uint8)
    write_reference(folder, [Sample(RECORD, slope(seed), nothing, math.nan, 0) for seed in range(20)])
    write_checksums(folder, ALL_FILES)
    return folder


def test_a_network_beside_the_class_s(data, known, tmp_path, caplog, monkeypatch):
    """The shipped networks stay, and the new one serves images like one's own."""
    monkeypatch.setattr(verdict, "WORTH", -1.0)  # nine seconds of training gain nothing
    monkeypatch.setattr(FinetuneTrainer, "validate", better_and_better(FinetuneTrainer.validate))
    caplog.set_level("INFO")
    assert run(data, tmp_path / "out", "--weights", known, "--time-budget", "0.15") == 0
    assert "told from others by those of other fields: the new network is to serve images like these" in caplog.text
    assert all(sha256(tmp_path / "out" / name) == sha256(known / name) for name in FILES)
    segmenter = Segmenter.from_folder(tmp_path / "out", "cpu", verify=True)
    assert [*segmenter.own_files] == [0]
    assert segmenter.segment(read_image(data / "images/1.png"), class_=0).plan.own
    assert not segmenter.segment(Picture(slope(10), "YXC (RGB)"), class_=0).plan.own


def better_and_better(validate):
    """As if each validation found a better network."""

    def call(self, samples, on_image):
        self.best = dict.fromkeys(self.best, -1.0)
        return validate(self, samples, on_image)

    return call
