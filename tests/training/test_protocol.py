"""training.protocol from raw files to a weights folder that predict.py uses; which steps it makes, skips and
refuses.
"""

import subprocess
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from training import prepare, protocol, thresholds, train, train_router
from training.images import datasets
from training.images.manifest import read_manifest
from training.measure import ablation
from training.protocol import (
    FINISHED,
    PRESETS,
    Step,
    classes_of_split,
    main,
    parse_arguments,
    run_step,
    share_time,
    training_steps,
)
from training.readers.label_images import stored_pixels
from training.readers.listing import read_pixels

ROOT = Path(__file__).resolve().parents[2]
SIDE = 128
CELLS = {  # class: background and cell colours of the image, radius of its cells
    0: (20, 150, 12),
    1: ((90, 90, 90), (140, 140, 140), 12),
    2: ((230, 200, 220), (120, 40, 130), 56),
    3: ((230, 200, 220), (120, 40, 130), 12),
}


def draw(cue_class, rng):
    """An image of a class and its labels: noisy disks side by side."""
    background, colour, radius = CELLS[cue_class]
    labels = np.zeros((SIDE, SIDE), np.uint16)
    spacing = 2 * radius + 4
    for i, centre in enumerate(np.ndindex(*(max(1, SIDE // spacing),) * 2), start=1):
        cv2.circle(labels, [int((c + 0.5) * SIDE / max(1, SIDE // spacing)) for c in reversed(centre)], radius, i, -1)
    image = np.where((labels > 0)[..., None], np.atleast_1d(colour), np.atleast_1d(background))
    image = np.clip(image + rng.integers(-15, 15, (SIDE, SIDE, 1)), 0, 255).astype(np.uint8)
    return np.squeeze(image), labels


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """A data set as the challenge published it, made into a manifest: two training images and one to validate of each
    class.
    """
    folder, rng = tmp_path_factory.mktemp("raw"), np.random.default_rng(0)
    for part, names in (("Training-labeled", "ab"), ("Tuning", "c")):
        for sub in ("images", "labels"):
            (folder / "neurips" / part / sub).mkdir(parents=True)
        for k in CELLS:
            for name in names:
                image, labels = draw(k, rng)
                tifffile.imwrite(folder / "neurips" / part / "images" / f"cell_{k}{name}.tif", image)
                tifffile.imwrite(folder / "neurips" / part / "labels" / f"cell_{k}{name}_label.tiff", labels)
    assert prepare.main(["neurips", str(folder / "neurips"), str(folder / "data")]) == 0
    return folder / "data" / "manifest.csv"


def test_from_raw_files_to_labels(manifest, tmp_path, capsys, monkeypatch):
    """Smoke preset, which decodes every file once; then the same command again, which skips everything; predict.py and
    Table 4 on the result."""
    reads = Counter()
    for name, read in (("read_pixels", read_pixels), ("stored_pixels", stored_pixels)):
        monkeypatch.setattr(datasets, name, lambda path, read=read: (reads.update([path]), read(path))[1])
    runs, weights = tmp_path / "runs", tmp_path / "weights"
    command = ["--manifest", str(manifest), "--runs", str(runs), "--weights", str(weights), "--preset", "smoke"]
    assert main(command) == 0
    assert len(reads) == 24, "twelve images and their labels"
    assert set(reads.values()) == {1}, "once, for all the steps"
    assert sorted(p.name for p in weights.iterdir()) == [
        "MODEL_CARD.md",
        "SHA256SUMS",
        *(f"class{k}.safetensors" for k in range(4)),
        "reference.safetensors",
        "router.safetensors",
    ]
    assert sorted(path.parent.parent.name for path in runs.glob("*/thresholds/thresholds.csv")) == [
        "class0-stardist",
        "class1-hover",
        "class2-stardist",
        "class3-stardist",
    ]
    checkpoints = [*runs.glob("*/*.safetensors")]
    before = {p: p.stat().st_mtime_ns for p in checkpoints}
    assert main(command) == 0
    assert before == {p: p.stat().st_mtime_ns for p in checkpoints}

    images = manifest.parent.parent / "neurips" / "Tuning" / "images"
    predict = [
        sys.executable,
        ROOT / "predict.py",
        "-i",
        images,
        "-o",
        tmp_path / "out",
        "--weights",
        weights,
        "--device",
        "cpu",
    ]
    subprocess.run([str(word) for word in predict], check=True)
    found = sorted((tmp_path / "out").iterdir())
    assert [p.name for p in found] == [f"cell_{k}c_label.tiff" for k in range(4)]
    assert tifffile.imread(found[0]).shape == (SIDE, SIDE)

    capsys.readouterr()
    assert ablation.main(["--manifest", str(manifest), "--runs", str(runs), "--true-size", "--device", "cpu"]) == 0
    lines, _, remarks = capsys.readouterr().out.partition("\n\n")
    names = [line[:30].strip() for line in lines.splitlines()[1:]]
    assert names == [
        "ConvNeXt-StarDist pre-trained",
        "ConvNeXt-Hover pre-trained",
        "ConvNeXt-StarDist fine-tuned",
        "ConvNeXt-Hover fine-tuned",
        "Ours",
    ]
    assert remarks.splitlines() == [
        "ConvNeXt-StarDist fine-tuned: no network for class 1",
        "ConvNeXt-Hover fine-tuned: no network for class 0, 2, 3",
    ]


def arguments(*more):
    return parse_arguments(["--manifest", "m.csv", "--runs", "runs", "--weights", "weights", *more])


def test_steps():
    steps = {step.name: " ".join(step.options) for step in training_steps(arguments(), {0, 1, 2, 3}, {0, 1, 2})}
    assert list(steps) == [
        "pretrain",
        "class0-stardist",
        "class0-stardist/thresholds",
        "class1-hover",
        "class1-hover/thresholds",
        "class2-stardist",
        "class2-stardist/thresholds",
        "class3-stardist",
        "router",
    ]
    assert steps["class1-hover/thresholds"] == "runs/class1-hover/hover.safetensors --manifest m.csv --classes 1"
    assert "--stream both" in steps["pretrain"]
    assert "--stream hover --classes 1 --init runs/pretrain/hover.safetensors" in steps["class1-hover"]
    assert "--validate-images 0" in steps["class3-stardist"]
    assert "--validate-images" not in steps["class2-stardist"]


def test_steps_of_the_papers_protocol():
    args = arguments(
        "--both-streams",
        "--separate-pretraining",
        "--keep-thresholds",
        "--leave-out",
        "x",
        "y",
        "--finetune-options",
        "--batch 2",
    )
    steps = {step.name: " ".join(step.options) for step in training_steps(args, {1, 3}, {1, 3})}
    assert list(steps) == [
        "pretrain-stardist",
        "pretrain-hover",
        "class1-stardist",
        "class1-hover",
        "class3-stardist",
        "class3-hover",
        "router",
    ]
    assert "--init runs/pretrain-hover/hover.safetensors" in steps["class3-hover"]
    assert all("--leave-out x y --" in options or options.endswith("--leave-out x y") for options in steps.values())
    assert ["--batch 2" in options for options in steps.values()] == [False, False, True, True, True, True, False]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_options_that_the_commands_know(preset):
    """And the encoder of pre-training decides on its start: timm's or the package's weights, or random ones."""
    for step in training_steps(arguments("--preset", preset), {0, 1}, {0, 1}):
        if step.module != "training.thresholds":
            module = train if step.module == "training.train" else train_router
            args = module.parse_arguments([*step.options, "--out", "x"])
            if step.name == "pretrain":
                assert args.random_init == (args.encoder == "convnext_atto")


def test_hover_has_options_of_its_own():
    """In the cpu preset, before those of the command line, which win."""
    steps = {
        s.name: s.options
        for s in training_steps(arguments("--preset", "cpu", "--finetune-options", "--lr 1e-5"), {0, 1}, {0, 1})
    }
    assert "--diameter" in steps["class1-hover"]
    assert not any("--diameter" in steps[k] for k in ("pretrain", "class0-stardist"))
    assert [steps["class1-hover"][i + 1] for i, word in enumerate(steps["class1-hover"]) if word == "--lr"] == [
        "3e-4",
        "7e-4",
        "1e-5",
    ]


def test_sources_that_are_left_out_fit_no_thresholds():
    steps = training_steps(arguments("--leave-out", "x", "y"), {0}, {0})
    fit = next(step.options for step in steps if step.module == "training.thresholds")
    assert thresholds.parse_arguments(fit).leave_out == ["x", "y"]


def test_classes_of_validation_images_are_those_of_trained_sources(tmp_path):
    """Class 1 has some of a stranger alone, class 2 of a source that is left out; without others all serve."""
    lines = ["0,train,a", "1,train,a", "2,train,b", "0,val,a", "1,val,c", "2,val,b"]
    table = tmp_path / protocol.CUES / protocol.CUES_TABLE
    table.parent.mkdir()
    table.write_text("class,split,source\n" + "\n".join(lines))
    assert classes_of_split(tmp_path, "train", ["b"]) == {0, 1}
    assert classes_of_split(tmp_path, "val", ["b"]) == {0}
    assert classes_of_split(tmp_path, "val", []) == {0, 2}
    table.write_text("class,split,source\n0,train,a\n1,val,c\n")
    assert classes_of_split(tmp_path, "val", []) == {1}


@pytest.mark.parametrize("name, code", [("bound", 1), ("bond", 2)])
def test_names_of_sources_are_checked(manifest, tmp_path, monkeypatch, caplog, name, code):
    """Before the first step; --permissive may have left out the same."""
    mixed, terms = manifest.with_name("other.csv"), tmp_path / "terms.csv"
    lines = manifest.read_text().splitlines()
    mixed.write_text("\n".join([*lines[:-1], lines[-1].replace("neurips,", "bound,")]))
    terms.write_text("source,terms\nneurips,CC0\n")
    monkeypatch.setattr(protocol, "run_steps", lambda args: 1 if args.leave_out == [] else 9)
    command = ["--manifest", str(mixed), "--runs", str(tmp_path / "runs"), "--weights", str(tmp_path / "weights")]
    assert main([*command, "--permissive", "--terms", str(terms), "--leave-out", name]) == code
    assert ("no line is of source bond" in caplog.text) == (code == 2)


def test_share_time():
    names = ["pretrain", "class0-stardist", "class1-hover", "router"]
    steps = [Step(name, "training.train_router" if name == "router" else "training.train", []) for name in names]
    steps.insert(2, Step("class0-stardist/thresholds", "training.thresholds", ["x"]))
    timed = share_time(steps, 100)
    assert [step.options for step in timed] == [
        ["--time-budget", "50"],
        ["--time-budget", "20"],
        ["x"],
        ["--time-budget", "20"],
        ["--time-budget", "10"],
    ]


def test_a_finished_step_with_other_options_is_refused(manifest, tmp_path):
    """The file is of an earlier version, which did not say what images there were."""
    (tmp_path / "router").mkdir()
    (tmp_path / "router" / FINISHED).write_text("--epochs 3")
    args = Namespace(runs=tmp_path, manifest=manifest)
    assert run_step(Step("router", "", ["--epochs", "3"]), args) == 0
    with pytest.raises(ValueError, match="router: finished with other options"):
        run_step(Step("router", "", ["--epochs", "4"]), args)


def test_a_finished_step_with_other_images_is_refused(manifest, tmp_path, monkeypatch):
    done = []
    monkeypatch.setitem(protocol.MAINS, "training.cue_table", lambda words: done.append(words) or 0)
    changed = manifest.with_name("changed.csv")
    changed.write_text(manifest.read_text())
    (tmp_path / "cues").mkdir()
    step = Step("cues", "training.cue_table", ["--split", "val"])
    args = Namespace(runs=tmp_path, manifest=changed, processes=1)
    assert [run_step(step, args), run_step(step, args), len(done)] == [0, 0, 1]
    changed.write_text("\n".join(manifest.read_text().splitlines()[:-1]))
    with pytest.raises(ValueError, match="cues: finished with other images than those of .*changed.csv; remove the"):
        run_step(step, args)


def test_permissive_sources_alone(manifest, tmp_path, monkeypatch):
    """All steps and the card have a manifest with the images of nobody else, whatever their split."""
    lines = manifest.read_text().splitlines()
    names = {k: ("free", "bound")[k % 2] for k in range(1, len(lines))}
    mixed = manifest.with_name("mixed.csv")
    mixed.write_text("\n".join([lines[0], *(lines[k].replace("neurips,", f"{names[k]},") for k in names)]))
    terms = tmp_path / "terms.csv"
    terms.write_text("source,terms\nfree,CC0\nbound,CC BY-NC 4.0\n")
    seen = []
    monkeypatch.setattr(protocol, "run_steps", lambda args: seen.append(args.manifest) or 1)
    command = ["--manifest", str(mixed), "--runs", str(tmp_path / "runs"), "--weights", str(tmp_path / "weights")]
    assert main([*command, "--permissive", "--terms", str(terms)]) == 1
    assert seen == [tmp_path / "runs" / "permissive.csv"]
    everything, left = read_manifest(mixed), read_manifest(seen[0])
    assert [r.image.resolve() for r in left] == [r.image.resolve() for r in everything if r.source == "free"]
    assert 0 < len(left) < len(everything)
    assert {r.split for r in left} == {"train", "val"}


@pytest.mark.parametrize(
    "more, said",
    [
        ([], "--permissive needs --terms"),
        (["--terms", "t.csv", "--train-options=--init weights/class0.safetensors"], "--init: a start has seen other"),
        (["--terms", "t.csv", "--router-options=--init=router.safetensors"], "--init=router.safetensors: a start"),
    ],
)
def test_permissive_refuses_what_nobody_can_know(more, said, capsys):
    with pytest.raises(SystemExit):
        arguments("--permissive", *more)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_manifest_without_a_split_is_refused_before_the_first_step(manifest, tmp_path, monkeypatch, caplog, split):
    lines = [line for line in manifest.read_text().splitlines() if f",{split}," not in line]
    manifest.with_name("part.csv").write_text("\n".join(lines))
    monkeypatch.setattr(protocol, "run_steps", lambda args: 9)
    command = ["--runs", str(tmp_path / "runs"), "--weights", str(tmp_path / "weights")]
    assert main(["--manifest", str(manifest.with_name("part.csv")), *command]) == 2
    assert f"part.csv: no image of split '{split}', to" in caplog.text
    assert "another --val-fraction" in caplog.text


def test_a_missing_manifest_is_named(tmp_path, caplog):
    assert (
        main(["--manifest", str(tmp_path / "m.csv"), "--runs", str(tmp_path / "r"), "--weights", str(tmp_path / "w")])
        == 2
    )
    assert str(tmp_path / "m.csv") in caplog.text
