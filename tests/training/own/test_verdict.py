"""training.own.verdict: which network the folder gets, what the router is told, and the words at the end."""

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from inference.segmenter import Segmenter
from models.checkpoint import load_checkpoint, read_config, save_checkpoint
from models.checksums import write_checksums
from models.weights_folder import FILES
from training.own import verdict
from training.own.verdict import OWN_TERMS, Outcome, advice, follow, write_weights


def found(*scores):
    return [SimpleNamespace(f1=score, own=score > 0.6) for score in scores]


def outcome(before, after, candidate=Path("c"), others=(0.9, 0.9), honest=True, class_=1, own=False):
    return Outcome(class_, candidate, 7, found(before), found(after), others, honest, own)


@pytest.fixture(scope="module")
def start(untrained_weights, tmp_path_factory):
    """A weights folder whose router has a table and whose networks say what they were trained on."""
    folder = tmp_path_factory.mktemp("start")
    for name in FILES:
        model, config = load_checkpoint(untrained_weights / name)
        table = [[0.5] * 4] * 4 if name.startswith("router") else ()
        sources = {"old": {"images": 3, "terms": "CC0"}}
        save_checkpoint(folder / name, model, replace(config, expected_f1=table, sources=sources))
    write_checksums(folder, FILES)
    return folder


@pytest.fixture
def candidate(start, tmp_path):
    """Another network for class 1."""
    model, config = load_checkpoint(start / "class1.safetensors")
    model.head.cp.weight.data *= 2
    save_checkpoint(tmp_path / "hover.safetensors", model, config)
    return tmp_path / "hover.safetensors"


def sums(folder):
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def test_a_better_network_is_placed_in_a_complete_folder(start, candidate, tmp_path):
    write_weights(start, tmp_path / "out", [outcome(0.5, 0.7, candidate)])
    Segmenter.from_folder(tmp_path / "out", "cpu", verify=True)
    changed = {name for name, own in sums(tmp_path / "out").items() if own != sums(start)[name]}
    assert changed == {"class1.safetensors", "router.safetensors"}
    config = read_config(tmp_path / "out/class1.safetensors")[1]
    assert config.sources == {"old": {"images": 3, "terms": "CC0"}, "own": {"images": 7, "terms": OWN_TERMS}}
    table = read_config(tmp_path / "out/router.safetensors")[1].expected_f1
    assert table[1] == [0.5, 0.7, 0.5, 0.5]
    assert table[0] == [0.5] * 4
    assert "| gray | 7 | 1 | 0.500 | 0.700 | 0.900 | 0.900 | yes |" in (tmp_path / "out/MODEL_CARD.md").read_text()


def test_what_was_mixed_in_is_named(start, candidate, tmp_path):
    model, config = load_checkpoint(candidate)
    mixed = {"mixed": {"images": 2, "terms": ""}, "old": {"images": 1, "terms": ""}}
    save_checkpoint(candidate, model, replace(config, sources=mixed))
    write_weights(start, tmp_path / "out", [outcome(0.5, 0.7, candidate)])
    sources = read_config(tmp_path / "out/class1.safetensors")[1].sources
    assert sources["old"] == {"images": 3, "terms": "CC0"}
    assert set(sources) == {"old", "mixed", "own"}


def test_a_folder_that_is_broken_off_has_no_router(start, candidate, tmp_path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(verdict, "write_checksums", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_weights(start, tmp_path / "out", [outcome(0.5, 0.7, candidate)])
    assert (tmp_path / "out/class1.safetensors").exists()
    assert not (tmp_path / "out/router.safetensors").exists()


LIKENESS = {"centre": [0.0], "spread": [1.0], "factors": [1.0], "bias": 0.0, "radius": 1.0}


def for_own(path, to):
    model, config = load_checkpoint(path)
    save_checkpoint(to, model, replace(config, likeness=LIKENESS))
    return to


def test_a_network_beside_its_class_s_is_added(start, candidate, tmp_path):
    """Router and networks stay; a later round replaces it, or keeps it where the new one is no better."""
    candidate, out = for_own(candidate, tmp_path / "own.safetensors"), tmp_path / "out"
    (start / "reference.safetensors").write_bytes(b"x")
    write_weights(start, out, [outcome(0.5, 0.7, candidate, own=True)])
    (start / "reference.safetensors").unlink()
    segmenter = Segmenter.from_folder(out, "cpu", verify=True)
    assert segmenter.own_files == {1: out / "class1-own.safetensors"}
    assert sums(out) == sums(start)
    assert (out / "reference.safetensors").exists()
    config = read_config(out / "class1-own.safetensors")[1]
    assert config.sources["own"] == {"images": 7, "terms": OWN_TERMS}
    card = (out / "MODEL_CARD.md").read_text()
    assert "| class1-own.safetensors | gray, like one's own |" in card
    assert "| gray | 7 | 1 | 0.500 | 0.700 | 0.900 | 0.900 | beside the class's |" in card
    own = (out / "class1-own.safetensors").read_bytes()
    write_weights(out, tmp_path / "kept", [outcome(0.7, 0.6, candidate, own=True)])
    assert (tmp_path / "kept/class1-own.safetensors").read_bytes() == own
    write_weights(out, tmp_path / "replaced", [outcome(0.7, 0.8, candidate)])
    assert Segmenter.from_folder(tmp_path / "replaced", "cpu", verify=True).own_files == {}
    assert sums(tmp_path / "replaced")["class1.safetensors"] != sums(start)["class1.safetensors"]


@pytest.mark.parametrize("after", [0.4, 0.5, 0.503])
def test_a_network_that_is_no_better_is_not(start, candidate, tmp_path, after):
    write_weights(start, tmp_path / "out", [outcome(0.5, after, candidate)])
    assert sums(tmp_path / "out") == sums(start)
    Segmenter.from_folder(tmp_path / "out", "cpu", verify=True)


def test_the_table_stays_within_0_and_1():
    assert follow([[0.2, 0.4], [0.2, 0.1]], {0: 0.9, 1: -0.3}) == [[1.0, 0.4], [0.2, 0.0]]


def words(*outcomes, class_=None):
    return "\n".join(advice(Path("mine"), Path("weights"), outcomes, class_))


def test_use_it():
    said = words(outcome(0.5, 0.7))
    assert "gray: F1 0.500 -> 0.700 on 1 held-out image" in said
    assert "use it: python predict.py -i my_images -o better --weights mine" in said
    assert "--route" not in said
    assert "do not use" not in said
    assert "chose the network" not in said


def test_how_many_are_told_to_be_like_ones_own():
    said = words(outcome(0.5, 0.7, own=True))
    assert "gray: of 1 held-out image 1 go to the new network, as images like yours do; all others go on to" in said
    said = words(outcome(0.5, 0.5, own=True))
    assert "gray: of 1 held-out image 0 go to the new network, as images like yours do; --share 1 sends all" in said
    for other in (outcome(0.5, 0.7), outcome(0.5, 0.5), outcome(0.5, 0.5, candidate=None, own=True)):
        assert "like yours do" not in words(other)


def test_the_class_that_was_given_must_be_given_again():
    assert "--weights mine --route large-colour" in words(outcome(0.5, 0.7, class_=2), class_=2)


def test_images_that_chose_the_network_are_no_proof():
    assert "which also chose the network" in words(outcome(0.5, 0.7, honest=False))


@pytest.mark.parametrize("others", [(0.9, 0.88), (0.9, 0.5)])
def test_what_was_forgotten_is_said(others):
    assert f"went from 0.900 to {others[1]:.3f}" in words(outcome(0.5, 0.7, others=others))
    assert "went from" not in words(outcome(0.5, 0.7, others=(0.9, 0.895)))


def test_do_not_use_it():
    for said in (words(outcome(0.5, 0.4)), words(outcome(0.5, 0.5, candidate=None))):
        assert "gray: no better, F1 0.500 before" in said
        assert "do not use it: mine holds the networks of weights, unchanged" in said


def test_one_better_and_one_worse():
    said = words(outcome(0.5, 0.7), outcome(0.6, 0.5, class_=3))
    assert "use it: python" in said
    assert "small colour: no better" in said
    assert "do not" not in said
