"""training.measure.own_cells with a stand-in for fine-tuning: draws by field, what is refused, and the table."""

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from own import everywhere, with_own

from models.checkpoint import load_checkpoint, save_checkpoint
from models.checksums import write_checksums
from models.weights_folder import FILES
from training.images.manifest import Record, read_manifest
from training.measure import own_cells
from training.measure.own_cells import draw_images, main, replaced, summary


@pytest.fixture(scope="module")
def base(untrained_weights, tmp_path_factory):
    """Networks that were trained on a source c."""
    folder = tmp_path_factory.mktemp("base")
    for name in FILES:
        model, config = load_checkpoint(untrained_weights / name)
        save_checkpoint(folder / name, model, replace(config, sources={"c": {"images": 1, "terms": ""}}))
    write_checksums(folder, FILES)
    return folder


def records(*names):
    return [Record(Path(f"{name}.png"), Path("l"), "train", "s") for name in names]


def test_a_field_is_on_one_side_of_a_draw():
    own = records(*(f"f{field}_t{frame}" for field in range(5) for frame in range(3)))
    for draw in range(4):
        held, rest = draw_images(own, 4, draw)
        fields = [{r.image.name[:2] for r in side} for side in (held, rest)]
        assert not fields[0] & fields[1]
        assert (len(held), len(rest)) == (6, 9)


def test_draws_differ_and_come_again():
    """Draw 0 of ten images, by Python's random.shuffle with the seed 0."""
    own = records(*"abcdefghij")
    held, rest = draw_images(own, 3, 0)
    assert "".join(r.image.stem for r in [*held, *rest]) == "hibfdecajg"
    assert len({tuple(r.image for r in draw_images(own, 3, draw)[0]) for draw in range(4)}) > 1


def test_nothing_left_to_train_on():
    with pytest.raises(ValueError, match="lower --held-out"):
        draw_images(records("a", "b"), 5, 0)


def run(manifest, weights, out, *more):
    words = ["--manifest", manifest, "--weights", weights, "--out", out, "--sources", "a", "--device", "cpu", *more]
    return main([str(word) for word in words])


def test_networks_that_have_seen_the_source_are_refused(manifest, base, untrained_weights, tmp_path, caplog):
    assert run(manifest, base, tmp_path, "--sources", "c") == 2
    assert "was trained on c; give networks of training.protocol --leave-out" in caplog.text
    assert run(manifest, untrained_weights, tmp_path) == 2
    assert "does not say what it was trained on" in caplog.text


def test_classes_that_may_have_changed(untrained_weights, tmp_path):
    assert replaced(untrained_weights, untrained_weights) == set()
    other = shutil.copytree(untrained_weights, tmp_path / "other")
    (other / "class3.safetensors").write_bytes(b"another one")
    assert replaced(untrained_weights, other) == {3}
    own = with_own(untrained_weights, tmp_path / "own", 2, 1, everywhere())
    assert replaced(untrained_weights, own) == {0, 1, 2, 3}


def test_the_table(manifest, base, tmp_path, monkeypatch, capsys):
    """Source a has five images, so that two are left beside three; a stand-in changes the network of class 0."""
    trained = []

    def finetune(words):
        assert "--no-original" in words
        options = {word: words[i + 1] for i, word in enumerate(words[:-1]) if word.startswith("-")}
        trained.append([r.source for r in read_manifest(Path(options["--manifest"]))])
        shutil.copytree(options["--weights"], options["-o"])
        model, config = load_checkpoint(base / "class0.safetensors")
        model.head.prob.weight.data *= -1
        save_checkpoint(Path(options["-o"]) / "class0.safetensors", model, config)
        write_checksums(Path(options["-o"]), FILES)
        return 0

    monkeypatch.setattr(own_cells.finetune, "main", finetune)
    more = "--counts", "2", "4", "--draws", "0", "--held-out", "3", "--others", "2"
    assert run(manifest, base, tmp_path, *more) == 0
    with open(tmp_path / "own_cells.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(r["source"], r["draw"], r["images"], r["held out"]) for r in rows] == [
        ("a", "0", "0", "3"),
        ("a", "0", "2", "3"),
    ]
    assert trained == [["a", "a"]]
    assert replaced(base, tmp_path / "a/0-2/weights") == {0}
    assert "own images" in capsys.readouterr().out
    assert run(manifest, base, tmp_path, *more) == 0
    assert len(trained) == 1


def test_what_is_mixed_in_judges_nothing(manifest, base, tmp_path, monkeypatch):
    """The sample of other sources is not in the list of images that fine-tuning gets."""
    mixed = []

    def finetune(words):
        options = dict(zip(words[::2], words[1::2]))
        mixed.extend(read_manifest(Path(options["--original"])))
        shutil.copytree(options["--weights"], options["-o"])
        return 0

    monkeypatch.setattr(own_cells.finetune, "main", finetune)
    more = "--counts", "2", "--draws", "0", "--held-out", "3", "--others", "2", "--original"
    assert run(manifest, base, tmp_path, *more) == 0
    every = read_manifest(manifest)
    assert {r.source for r in mixed} == {r.source for r in every} - {"a"}
    kept = {r.image.name for r in every if r.source != "a"} - {r.image.name for r in mixed}
    assert len(kept) == 2


def test_means_over_the_draws():
    lines = (0, "0", "0.5", "0"), (1, "0", "0.6", "0"), (0, "5", "0.7", "0.01"), (1, "5", "0.8", "0")
    rows = [{"source": "a", "draw": d, "images": n, "f1": f1, "lost": lost} for d, n, f1, lost in lines]
    none, five = summary(rows)
    assert (none["F1"], five["F1"]) == (pytest.approx(0.55), pytest.approx(0.75))
    assert (five["from"], five["to"], five["gain"], five["lost on others"]) == (0.7, 0.8, "+0.200", "+0.0050")
