"""training.measure.rehearsal with a small program in place of the engine: commands, times, scores, failures, exit
codes.
"""

import csv
import json
import os
import sys

import cv2
import numpy as np
import pytest
import tifffile

from training.measure import machine
from training.measure.launching import Launch
from training.measure.rehearsal import engine_words, expect_alone, main, time_table, totals

ENGINE = """#!{python}
import json, shutil, sys
from pathlib import Path
here = Path(__file__).parent
mounts = dict(reversed(word.split(":")[:2]) for word in sys.argv if ":/" in word)
source, output = (
    next(Path(p) for inside, p in mounts.items() if inside.rstrip("/").endswith(end)) for end in ("inputs", "outputs")
)
with open(here / "calls.json", "a") as file:
    print(json.dumps([sys.argv[1:], [p.name for p in source.iterdir()]]), file=file)
for path in source.iterdir():
    for answer in (here / "answers" / path.name).iterdir():
        if answer.name == "exit":
            sys.exit(int(answer.read_text()))
        shutil.copy(answer, output)
"""


@pytest.fixture(autouse=True)
def no_torch(monkeypatch):
    monkeypatch.setattr(machine, "gpu", lambda: "none")


@pytest.fixture
def engines(tmp_path, monkeypatch):
    """A folder on the PATH with four engines: for an image they put the files of answers/IMAGE/ into the output
    folder.
    """
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("docker", "podman", "apptainer", "singularity"):
        (folder / name).write_text(ENGINE.format(python=sys.executable))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.fixture
def challenge(tmp_path, engines):
    """Two images of 30x40 pixels with two cells each. For a.png the engine finds both, for b.x.png one and one that is
    not there.
    """
    for name in ("images", "truth"):
        (tmp_path / name).mkdir()
    truth, found = np.zeros((30, 40), np.uint16), np.zeros((30, 40), np.uint16)
    truth[5:15, 5:15], truth[5:15, 20:30] = 1, 2
    found[5:15, 5:15], found[18:26, 20:30] = 1, 2
    for name, prediction in {"a.png": truth, "b.x.png": found}.items():
        stem = name.split(".")[0]
        cv2.imwrite(str(tmp_path / "images" / name), np.zeros((30, 40), np.uint8))
        tifffile.imwrite(tmp_path / "truth" / f"{stem}_label.tif", truth)
        (engines / "answers" / name).mkdir(parents=True)
        tifffile.imwrite(engines / "answers" / name / f"{stem}_label.tiff", prediction)
    return tmp_path


def calls(engines):
    return [json.loads(line) for line in (engines / "calls.json").read_text().splitlines()]


def test_a_folder_with_its_truth(challenge, engines, capsys):
    """The organiser's command, once an image; F1 of 1 and of 1/2 (one of two found, one of two true)."""
    arguments = [
        "team:latest",
        "--images",
        f"{challenge}/images",
        "--truth",
        f"{challenge}/truth",
        "--csv",
        f"{challenge}/r.csv",
    ]
    assert main([*arguments, "--keep", f"{challenge}/kept"]) == 0
    output = capsys.readouterr().out
    assert "\n2 images, 0 failed; median time" in output
    assert "0 out of tolerance, by 0.0 s in all" in output
    assert [line.split()[6] for line in output.splitlines() if line.startswith("all ")] == ["0.7500", "0.7500"]
    assert "corrected (" in output
    assert "official (" in output
    assert "class binary" in output
    lines = list(csv.DictReader((challenge / "r.csv").read_text().splitlines()))
    assert [(r["image"], r["size"], r["F1 corrected"], r["F1 official"]) for r in lines] == [
        ("a.png", "40x30", "1.0", "1.0"),
        ("b.x.png", "40x30", "0.5", "0.5"),
    ]
    (words, seen), (_, then) = calls(engines)
    assert (seen, then) == (["a.png"], ["b.x.png"])
    assert words[:6] == ["container", "run", "-m", "28G", "--network", "none"]
    assert "--rm" in words
    assert words[-4:] == ["team:latest", "/bin/bash", "-c", "sh predict.sh"]
    assert {p.name for p in (challenge / "kept" / "predictions").iterdir()} == {"a_label.tiff", "b_label.tiff"}


def test_times_alone(challenge, capsys):
    assert main(["team", "--engine", "podman", "--images", f"{challenge}/images"]) == 0
    output = capsys.readouterr().out
    assert "40x30" in output
    assert "F1" not in output


def test_manifest(challenge, engines, capsys):
    """Two sources that both have an a.png; --each takes one image of each, the tables name sources."""
    (challenge / "second").mkdir()
    for name, source in (("a.png", "images"), ("a_label.tif", "truth")):
        (challenge / "second" / name).write_bytes((challenge / source / name).read_bytes())
    (challenge / "manifest.csv").write_text(
        "image,label,split,source\nimages/a.png,truth/a_label.tif,val,one\n"
        "images/b.x.png,truth/b_label.tif,val,one\nsecond/a.png,second/a_label.tif,val,two\n"
        "second/a.png,,unlabelled,two\n"
    )
    arguments = ["team", "--manifest", f"{challenge}/manifest.csv"]
    assert main(arguments) == 0
    output = capsys.readouterr().out
    assert "\n3 images" in output
    assert [line.split()[7] for line in output.splitlines() if line.startswith("source ")] == ["0.7500", "1.0000"] * 2
    assert main([*arguments, "--each", "1"]) == 0
    assert "\n2 images" in capsys.readouterr().out
    assert main([*arguments, "--split", "train"]) == 2


@pytest.mark.parametrize("name", ["apptainer", "singularity"])
def test_apptainer(challenge, engines, name):
    """No memory limit, which a user may not set; folders that are there in a read-only image."""
    assert main(["team.sif", "--engine", name, "--images", f"{challenge}/images"]) == 0
    words = calls(engines)[0][0]
    assert words[:3] == ["exec", "--containall", "--bind"]
    assert words[3].endswith(":/inputs:ro")
    assert words[5].endswith(":/outputs")
    assert words[6:] == ["team.sif", "sh", "/workspace/predict.sh", "/inputs", "/outputs", "--challenge-names"]


def test_own_options(engines):
    words = engine_words("docker", '--gpus "device=0"', "team")
    assert words[:5] == ["docker", "container", "run", "--gpus", "device=0"]
    assert "-m" not in words
    assert engine_words("docker", "", "team")[3] == "--name"


def test_a_failed_image_is_named_and_scored_zero(challenge, engines, capsys, caplog):
    (engines / "answers" / "b.x.png" / "exit").write_text("1")
    for path in (engines / "answers" / "b.x.png").glob("*.tiff"):
        path.unlink()
    assert main(["team", "--images", f"{challenge}/images", "--truth", f"{challenge}/truth"]) == 1
    output = capsys.readouterr().out
    assert "2 images, 1 failed" in output
    assert "b.x.png: " in caplog.text
    assert "exit code 1" in caplog.text
    corrected, official = (line.split() for line in output.splitlines() if line.startswith("all "))
    assert (corrected[1], corrected[4]) == ("2", "0.5000")
    assert (official[1], official[4]) == ("1", "1.0000")


def test_more_than_labels_is_a_failure(challenge, engines, caplog):
    (engines / "answers" / "a.png" / "a_overlay.png").touch()
    assert main(["team", "--images", f"{challenge}/images"]) == 1
    assert "failed: wrote more than a_label.tiff: a_overlay.png" in caplog.text


def test_an_earlier_failure_is_kept(tmp_path):
    (tmp_path / "extra").touch()
    assert expect_alone(Launch(1.0, None, failure="exit code 1"), tmp_path, "a_label.tiff").failure == "exit code 1"


def test_engine_that_cannot_start(challenge, engines, caplog):
    """It stops at the first image: the others would fail in the same way."""
    (engines / "answers" / "a.png" / "exit").write_text("125")
    (engines / "answers" / "a.png" / "a_label.tiff").unlink()
    assert main(["team", "--images", f"{challenge}/images"]) == 2
    assert len(calls(engines)) == 1
    assert "could not start the container" in caplog.text


def test_wrong_arguments(challenge, engines, caplog, monkeypatch):
    images = ["--images", f"{challenge}/images"]
    for arguments in (["team"], ["team", *images, "--engine", "lxc"], ["team", "--manifest", "m.csv", "--truth", "t"]):
        with pytest.raises(SystemExit):
            main(arguments)
    (challenge / "truth" / "a_label.tif").unlink()
    assert main(["team", *images, "--truth", f"{challenge}/truth"]) == 2
    assert "a.png: expected one file a_label.*" in caplog.text
    (engines / "docker").unlink()
    monkeypatch.setenv("PATH", str(engines))
    assert main(["team", *images]) == 2
    assert "no program 'docker' on this machine" in caplog.text


def test_tables():
    """Grouped by size, smallest first; seconds beyond the tolerance are added up."""
    records = [
        {
            "image": name,
            "size": size,
            "Mpx": mpx,
            "tolerance": 10.0,
            "real": real,
            "over": max(0.0, real - 10),
            "failure": failure,
        }
        for name, size, mpx, real, failure in (
            ("a", "9x9", 0.2, 11.0, ""),
            ("b", "5x5", 0.1, 2.0, ""),
            ("c", "9x9", 0.2, 14.0, "exit code 1"),
            ("d", "9x9", 0.2, 3.0, ""),
        )
    ]
    header, small, large = (line.split() for line in time_table(records).splitlines())
    assert header == ["size", "images", "tolerance", "median", "longest", "out", "of", "tolerance", "failed"]
    assert small == ["5x5", "1", "10.00", "2.00", "2.00", "0.00"]
    assert large == ["9x9", "3", "10.00", "11.00", "14.00", "5.00", "1"]
    assert totals(records) == "4 images, 1 failed; median time 7.0 s; 2 out of tolerance, by 5.0 s in all"
