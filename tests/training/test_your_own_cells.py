"""docs/your-own-cells.md: its commands run one after the other as they stand there, but for the time budget."""

import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference import command_line
from models.weights_folder import check_weights
from training.synthetic import fluorescence

PAGE = Path(__file__).parents[2] / "docs" / "your-own-cells.md"
SECONDS = 3  # of training, in place of the page's minutes


def commands():
    """The lines of the page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.strip().splitlines()]


def run(line):
    """The exit code of a line: commands of the program run in this process, which saves their imports."""
    words = shlex.split(line)
    if words[:2] == ["python", "-m"]:
        return import_module(words[2]).main(words[3:])
    if words[:2] == ["python", "predict.py"]:
        return command_line.main(words[2:])
    return subprocess.run(line, shell=True).returncode


@pytest.fixture
def small(monkeypatch):
    """Made images of one small size, so that the page runs in seconds."""
    draw = fluorescence.nuclei
    scenes = import_module("training.synthetic.scenes").SCENES
    monkeypatch.setitem(scenes, "nuclei", (lambda rng, shape: draw(rng, (160, 160)), scenes["nuclei"][1]))


def test_the_page_runs(tmp_path, monkeypatch, small):
    monkeypatch.chdir(tmp_path)
    codes = {}
    for line in commands():
        line = re.sub(r"--time-budget \d+", f"--time-budget {SECONDS / 60:g}", line)
        codes[line] = run(line)
        if "-o found" in line:  # the page's step 2: what was found, a cell erased, goes back in
            labels = cv2.imread("found/000001_label.tiff", cv2.IMREAD_UNCHANGED)
            assert labels.max() > 1
            cv2.imwrite("my_labels/000001_label.png", np.where(labels == 1, 0, labels))
    trained = next(line for line in codes if "-o my-weights --time" in line)
    checked = next(line for line in codes if "--check" in line)
    assert codes.pop(trained) in (0, 1)  # 1: no better, which seconds of training seldom are
    assert codes.pop(checked) in (0, 1)
    assert set(codes.values()) == {0}, codes
    check_weights(tmp_path / "my-weights", verify=True)
    assert (tmp_path / "my-weights/finetune/worst.png").stat().st_size > 1000
    assert "000001" in (tmp_path / "evaluation/report.html").read_text(encoding="utf-8")
    assert (tmp_path / "better/000003_overlay.png").exists()


def test_the_page_names_no_option_that_is_not_there(capsys):
    for command in ("training.finetune", "training.evaluate", "training.synthesize", "inference.command_line"):
        with pytest.raises(SystemExit):
            import_module(command).main(["-h"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE.read_text(encoding="utf-8"))) <= known
