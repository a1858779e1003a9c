"""training.command: one rule for the exit codes of all commands, and a manifest that cannot be read in each of them."""

import argparse
import importlib
import logging

import pytest

from training.command import above_zero, class_number, command, fraction, minutes, positive, share, whole

MANIFESTS = {
    "missing": None,
    "binary": b"\x93NUMPY\xff\xfe\x00",
    "empty": b"",
    "another table": b"a,b\n1,2\n",
    "lost files": b"image,label,split,source\nno.png,no.png,train,x\nno.png,no.png,val,x\nno.png,,unlabelled,x\n",
}
# {manifest}, and whatever else a command must have; {weights} is a folder of networks, {folder} an empty one, {good} a
# manifest that can be read. What stands behind a command's name tells its lines apart.
COMMANDS = {
    "cue_table": "--manifest {manifest} --out {folder}/out",
    "train": "--manifest {manifest} --out {folder}/out --encoder test_convnext --random-init",
    "train_router": "--manifest {manifest} --out {folder}/out --random-init",
    "thresholds": "{weights}/class0.safetensors --manifest {manifest} --device cpu",
    "label": "--manifest {manifest} --weights {weights} --out {folder}/out --device cpu",
    "protocol": "--manifest {manifest} --runs {folder}/runs --weights {folder}/out",
    "prepare": "merge {folder}/out.csv {manifest}",
    "assemble": "--manifest {manifest} --weights {folder}/out --class0 {weights}/class0.safetensors",
    "measure.score": "{manifest} {folder}",
    "measure.sources": "{manifest} --predictions now={folder}",
    "measure.failures": "{manifest} {folder} --out {folder}/out",
    "measure.ablation": "--manifest {manifest} --weights {weights} --device cpu",
    "measure.leave_out": "--manifest {manifest} --out {folder}/out",
    "measure.benchmark": "--sizes 64x64 --cells {manifest}",
    "measure.rehearsal": "team --manifest {manifest}",
    "measure.number_formats": "{manifest} --weights {weights} --device cpu --dtype bfloat16",
    "measure.loader_speed": "--manifest {manifest} --encoder test_convnext --random-init",
    "measure.doubts": "{manifest} {folder}",
    "measure.routes": "{manifest} {folder}",
    "measure.variants": "{manifest} --weights {weights} --device cpu",
    "measure.own_cells": "--manifest {manifest} --weights {weights} --out {folder}/out --sources x --device cpu",
    "parcel.pack": "--manifest {manifest} --out {folder}/out/parcel.zip --train-options=--random-init",
    "evaluate": "--manifest {manifest} --weights {weights} -o {folder}/out --device cpu",
    "finetune": "--manifest {manifest} --weights {weights} -o {folder}/out --device cpu",
    "finetune --original": "--manifest {good} --original {manifest} --weights {weights} -o {folder}/out --device cpu",
}


# Lost files are nothing to assemble, which needs no images.
@pytest.mark.parametrize(
    "name, kind",
    [(name, kind) for name in COMMANDS for kind in MANIFESTS if (name, kind) != ("assemble", "lost files")],
)
def test_a_manifest_that_cannot_be_read(name, kind, manifest, untrained_weights, tmp_path, monkeypatch, caplog):
    """Code 2 and a line that names it; no traceback, and nothing written in the place of a result."""
    module = importlib.import_module(f"training.{name.split()[0]}")
    if name == "measure.rehearsal":
        monkeypatch.setattr(module, "engine_words", lambda *_: ["true"])
    if name in ("measure.rehearsal", "measure.benchmark"):
        monkeypatch.setattr(module, "machine", lambda: "a machine")
    bad, folder = tmp_path / "list.csv", tmp_path / "folder"
    if MANIFESTS[kind] is not None:
        bad.write_bytes(MANIFESTS[kind])
    folder.mkdir()
    words = COMMANDS[name].format(manifest=bad, weights=untrained_weights, folder=folder, good=manifest).split()
    with caplog.at_level(logging.ERROR):
        assert module.main(words) == 2
    assert "list.csv" in caplog.text
    assert not [path for path in folder.rglob("*") if path.suffix in (".csv", ".safetensors", ".png", ".zip")]


@pytest.mark.parametrize(
    "error, code, said",
    [
        (None, 1, []),
        (ValueError("x.png: damaged"), 2, ["x.png: damaged"]),
        (FileNotFoundError(2, "No such file", "x.png"), 2, ["[Errno 2] No such file: 'x.png'"]),
    ],
)
def test_exit_codes(error, code, said, caplog):
    @command
    def main(argv=None):
        """Its manual."""
        if error:
            raise error
        return 1

    assert main([]) == code
    assert main.__doc__ == "Its manual."
    assert [record.getMessage() for record in caplog.records] == said


@pytest.mark.parametrize("said", ["", "stopped: 3 steps; the same command goes on from there"])
def test_an_interrupt_is_one_line(said, caplog):
    @command
    def main(argv=None):
        raise KeyboardInterrupt(*[said] * bool(said))

    assert main([]) == 130
    assert [r.getMessage() for r in caplog.records] == [said or "stopped before the end; give the same command again"]
    assert not caplog.records[0].exc_info


def test_an_interrupt_ends_the_command_that_started_another_too(caplog):
    @command
    def inner(argv=None):
        raise KeyboardInterrupt

    @command
    def outer(argv=None):
        inner([])
        return 0

    assert outer([]) == 130
    assert outer([]) == 130  # the count of commands is right again
    assert len(caplog.records) == 2


def test_under_torchrun_an_interrupt_stays_an_exception(monkeypatch):
    @command
    def main(argv=None):
        raise KeyboardInterrupt

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(KeyboardInterrupt):
        main([])


def test_other_errors_are_ours(caplog):
    """They keep their traceback."""

    @command(clock=True)
    def main(argv=None):
        raise KeyError("a mistake of the program")

    with pytest.raises(KeyError):
        main([])


@pytest.mark.parametrize(
    "kind, wrong",
    [
        (positive, "0"),
        (positive, "-1"),
        (positive, "1.5"),
        (whole, "-1"),
        (whole, "1.5"),
        (above_zero, "0"),
        (above_zero, "inf"),
        (fraction, "1"),
        (fraction, "-0.1"),
        (minutes, "0"),
        (minutes, "-3"),
        (minutes, "nan"),
        (share, "0"),
        (share, "1.1"),
        (class_number, "4"),
        (class_number, "brown"),
    ],
)
def test_values_that_are_refused(kind, wrong):
    with pytest.raises(argparse.ArgumentTypeError):
        kind(wrong)


def test_values_that_are_taken():
    assert (positive("7"), fraction("0"), minutes("0.5"), share("1")) == (7, 0.0, 0.5, 1.0)
    assert (whole("0"), above_zero("0.1")) == (0, 0.1)
    assert (class_number("3"), class_number("small-colour")) == (3, 3)
