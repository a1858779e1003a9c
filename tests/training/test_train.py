"""training.train on a small data set and the smallest ConvNeXt of timm: repeatable, resumable, parallel, selecting.

Most of it is in training.learning.trainer, for segmenters and router alike.
"""

import csv
import logging
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from inference.network import Network
from models.checkpoint import load_checkpoint, read_config, save_checkpoint
from models.config import Config
from models.hover import ConvNeXtHover
from models.router import Router
from models.stardist import ConvNeXtStarDist
from training.learning import loop, segmenter_trainer
from training.learning.segmenter_trainer import SegmenterTrainer
from training.learning.trainer import Trainer
from training.train import main

REPOSITORY = Path(__file__).parents[2]
ENCODER = "test_convnext"


def arguments(manifest, out, *more):
    return [
        "--manifest",
        str(manifest),
        "--out",
        str(out),
        "--encoder",
        ENCODER,
        "--random-init",
        "--crop",
        "64",
        "--batch",
        "4",
        "--lr",
        "1e-3",
        "--device",
        "cpu",
        "--workers",
        "0",
        "--validate-images",
        "0",
        "--log-every",
        "2",
        *map(str, more),
    ]


def rows(path):
    """Lines of a log without the columns that tell the time."""
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {k: v for k, v in row.items() if k not in ("seconds", "waiting", "took")} for row in csv.DictReader(file)
        ]


def assert_same_run(first, second):
    """Equal weights, averages and optimiser states, bit by bit, and equal logs."""
    one, other = (load_file(out / "resume.safetensors") for out in (first, second))
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []
    assert rows(first / "log.csv") == rows(second / "log.csv")


@pytest.fixture(scope="module")
def whole_run(manifest, tmp_path_factory):
    """Six steps without a break."""
    out = tmp_path_factory.mktemp("whole")
    assert main(arguments(manifest, out, "--steps", 6)) == 0
    return out


def test_seed_decides(manifest, whole_run, tmp_path):
    """The same seed gives the same loss curve and weights, another one does not."""
    assert main(arguments(manifest, tmp_path / "again", "--steps", 6)) == 0
    assert_same_run(whole_run, tmp_path / "again")
    assert main(arguments(manifest, tmp_path / "other", "--steps", 2, "--seed", 1)) == 0
    assert rows(tmp_path / "other" / "log.csv")[0] != rows(whole_run / "log.csv")[0]


KILLED = """
import os, signal, sys, torch
from training import train
from training.learning.trainer import Trainer
torch.set_num_threads(int(sys.argv[1]))
save = Trainer.save
def killed(self):
    if self.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    save(self)
Trainer.save = killed
train.main(sys.argv[2:])
"""


def test_kill_and_resume(manifest, whole_run, tmp_path):
    """Killed between a step's line in the log and its save, while a worker makes later crops: the resumed run ends as
    the whole one."""
    command = arguments(manifest, tmp_path, "--steps", 6, "--save-every", 0, "--workers", 1)
    process = subprocess.run(
        [sys.executable, "-c", KILLED, str(torch.get_num_threads()), *command], cwd=REPOSITORY, timeout=300
    )
    assert process.returncode == -signal.SIGKILL
    assert main(command) == 0
    assert_same_run(whole_run, tmp_path)
    for name in ("stardist.safetensors", "hover.safetensors"):
        one, other = (load_file(out / name) for out in (whole_run, tmp_path))
        assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name, code", [("SIGTERM", 143), ("SIGINT", 130)])
def test_stop_signal(manifest, whole_run, tmp_path, monkeypatch, caplog, name, code):
    """In the middle of a step and of a log interval: the step is finished and saved, the exit code says so, and a line
    how to go on.
    """
    step, number = Trainer.train_step, getattr(signal, name)

    def interrupted(self, batch):
        if self.step == 2:
            os.kill(os.getpid(), number)
        step(self, batch)

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    caplog.set_level("INFO")
    first = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has none
    try:
        before = signal.getsignal(number)
        assert main(arguments(manifest, tmp_path, "--steps", 6)) == code
        assert signal.getsignal(number) == before
    finally:
        signal.signal(signal.SIGINT, first)
    monkeypatch.undo()
    assert re.fullmatch(r"stopped: 3 steps in \d+ s; the same command goes on from there", caplog.messages[-1])
    assert [row["step"] for row in rows(tmp_path / "log.csv")] == ["2"]
    assert not (tmp_path / "stardist.safetensors").exists()
    assert main(arguments(manifest, tmp_path, "--steps", 6)) == 0
    assert_same_run(whole_run, tmp_path)


def test_stop_during_last_validation(manifest, tmp_path, monkeypatch):
    """A validation that is broken off is made up for when the run goes on."""

    def interrupted(network, samples, on_image):
        os.kill(os.getpid(), signal.SIGTERM)
        on_image()

    command = arguments(manifest, tmp_path, "--steps", 1, "--stream", "hover", "--validate-images", 2)
    with monkeypatch.context() as patch:
        patch.setattr(segmenter_trainer, "validate", interrupted)
        assert main(command) == 143
    assert not (tmp_path / "validation.csv").exists()
    assert main(command) == 0
    assert [row["step"] for row in rows(tmp_path / "validation.csv")] == ["1"]


def run_two(script, *commands):
    """Two processes of one training over gloo, as torchrun would start them: (exit code, what it printed) of each."""
    with socket.socket() as probe:  # for a free port: two runs of the tests must not meet
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, *command],
            cwd=REPOSITORY,
            env=environment | {"RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank, command in enumerate(commands)
    ]
    return [(process.communicate(timeout=300)[0], process.returncode) for process in processes]


TOLD = """
import sys
from training import train
from training.learning.trainer import Trainer
step = Trainer.train_step
def told(self, batch):
    step(self, batch)
    print(len(batch["image"]), float(sum(p.double().sum() for p in self.model.parameters())))
    if self.team.leads and self.step == 2:
        self.validation_seconds = 1e9
Trainer.train_step = told
sys.exit(train.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("end", [("--steps", 2), ("--time-budget", 1000)])
def test_two_processes(manifest, tmp_path, end):
    """They share the batch; only the first one writes, their weights stay equal, and both end at the same step, also
    where the first one alone knows that the time that is left goes to its last validation."""
    command = arguments(manifest, tmp_path, "--stream", "stardist", "--validate-images", 2, "--log-every", 1, *end)
    told, codes = zip(*run_two(TOLD, command, command))
    assert codes == (0, 0)
    assert told[0] == told[1]
    assert told[0].split()[::2] == ["2", "2"]
    assert [row["step"] for row in rows(tmp_path / "log.csv")] == ["1", "2"]
    assert [row["step"] for row in rows(tmp_path / "validation.csv")] == ["2"]
    assert load_checkpoint(tmp_path / "stardist.safetensors")[1].training["steps_done"] == 2


def test_two_processes_share_a_validation_and_its_figure_is_exact(manifest, whole_run, tmp_path):
    """Of three images one process has two: the mean over all is that of one process alone, to the last digit."""
    options = ("--stream", "stardist", "--init", whole_run / "stardist.safetensors", "--steps", 1)
    one, two = tmp_path / "one", tmp_path / "two"
    assert main(arguments(manifest, one, *options, "--validate-images", 3)) == 0
    script = (
        "import sys; from training import train; from training.learning import segmenter_trainer\n"
        "score = segmenter_trainer.scores_of\n"
        "def told(network, samples, on_image):\n"
        "    print(len(samples)); return score(network, samples, on_image)\n"
        "segmenter_trainer.scores_of = told\n"
        "sys.exit(train.main(sys.argv[1:]))"
    )
    command = arguments(manifest, two, *options, "--validate-images", 3)
    told, codes = zip(*run_two(script, command, command))
    assert codes == (0, 0)
    assert [text.split()[0] for text in told] == ["2", "1"]
    first, expected = (rows(folder / "validation.csv")[0] for folder in (two, one))
    assert (first["step"], first["f1"], first["images"]) == ("0", expected["f1"], "3")


def test_a_process_that_dies_ends_the_others(manifest, tmp_path):
    """With one line that says what to do; torchrun does the rest."""
    script = (
        "import os, sys, logging; logging.basicConfig(stream=sys.stdout)\n"
        "from training import train; from training.learning.trainer import Trainer\n"
        "step = Trainer.train_step\n"
        "def dies(self, batch):\n"
        "    if self.step == 1 and not self.team.leads: os._exit(9)\n"
        "    step(self, batch)\n"
        "Trainer.train_step = dies\n"
        "sys.exit(train.main(sys.argv[1:]))"
    )
    command = arguments(manifest, tmp_path, "--stream", "stardist", "--steps", 6)
    (said, code), (_, died) = run_two(script, command, command)
    assert died == 9
    assert code == 2
    assert said.count("another process of this training has ended") == 1
    assert "goes on from the last resume file" in said


def test_machines_that_do_not_share_the_folder(manifest, whole_run, tmp_path):
    """The first process finds a resume file, the second one does not: both say so instead of training on different
    weights.
    """
    script = (
        "import sys, logging; logging.basicConfig(stream=sys.stdout)\n"
        "from training import train; sys.exit(train.main(sys.argv[1:]))"
    )
    results = run_two(script, *(arguments(manifest, out, "--steps", 6) for out in (whole_run, tmp_path)))
    assert all(code for _, code in results)  # 2, unless PyTorch aborts a process because the other one has gone
    assert all("must be a folder that all machines share" in text for text, _ in results)


class ScriptedScores:
    """Stands for `validate`: gives the scores in turn, and keeps the first weight of the networks that it is shown."""

    def __init__(self, *scores):
        self.scores, self.seen = list(scores), []

    def __call__(self, network, samples, on_image):
        assert isinstance(network, Network)
        assert len(samples) == 2
        self.seen.append((network.kind, network.model.unet.deepest[0].weight.detach().float().clone()))
        return self.scores.pop(0)


def test_selection_keeps_the_best_of_each_stream(manifest, tmp_path, monkeypatch):
    """StarDist is best at step 2 and Hover at step 3 of 3; each file holds the network that was scored then."""
    scripted = ScriptedScores(0.5, 0.1, 0.7, 0.2, 0.6, 0.3)
    monkeypatch.setattr(segmenter_trainer, "validate", scripted)
    assert main(arguments(manifest, tmp_path, "--steps", 3, "--validate-images", 2, "--validate-steps", 1)) == 0
    assert [(r["step"], r["network"], r["f1"]) for r in rows(tmp_path / "validation.csv")] == [
        ("1", "stardist", "0.5"),
        ("1", "hover", "0.1"),
        ("2", "stardist", "0.7"),
        ("2", "hover", "0.2"),
        ("3", "stardist", "0.6"),
        ("3", "hover", "0.3"),
    ]
    for name, step, f1, seen in (("stardist", 2, 0.7, 2), ("hover", 3, 0.3, 5)):
        model, config = load_checkpoint(tmp_path / f"{name}.safetensors")
        weight = model.unet.deepest[0].weight
        assert config.validation == {"f1": f1, "images": 2, "step": step}
        assert scripted.seen[seen][0] == name
        torch.testing.assert_close(weight, scripted.seen[seen][1], rtol=0.01, atol=1e-4)
        assert not torch.allclose(weight, scripted.seen[seen % 2][1], rtol=0.01, atol=1e-4)


@pytest.fixture
def start(tmp_path):
    """A StarDist checkpoint to fine-tune."""
    torch.manual_seed(1)
    path = tmp_path / "start.safetensors"
    save_checkpoint(path, ConvNeXtStarDist(ENCODER), Config({"encoder": ENCODER}, 20.0, {"prob_threshold": 0.4}))
    return path


def test_fine_tuning_never_hands_on_less_than_it_got(manifest, tmp_path, start, monkeypatch):
    """The start scores best: its weights, diameter and decoder settings come out again; the best score outlives a
    stop.
    """
    monkeypatch.setattr(segmenter_trainer, "validate", ScriptedScores(0.8, 0.7, 0.6))
    command = arguments(manifest, tmp_path, "--stream", "stardist", "--init", start, "--validate-images", 2)
    assert main([*command, "--steps", "1"]) == 0
    assert main([*command, "--steps", "2"]) == 0  # goes on for another step
    assert [(r["step"], r["f1"]) for r in rows(tmp_path / "validation.csv")] == [
        ("0", "0.8"),
        ("1", "0.7"),
        ("2", "0.6"),
    ]
    one, other = (load_file(path) for path in (start, tmp_path / "stardist.safetensors"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    config = read_config(tmp_path / "stardist.safetensors")[1]
    assert (config.validation["step"], config.diameter, config.decoder) == (0, 20.0, {"prob_threshold": 0.4})


def test_crops_are_counted_over_all_starts(manifest, tmp_path):
    """Three steps of 4, another run of 2 from there, which goes on for one more; an old checkpoint before all."""
    old = tmp_path / "old.safetensors"
    training = {"steps_done": 5, "batch": 8}
    save_checkpoint(old, ConvNeXtStarDist(ENCODER), Config({"encoder": ENCODER}, 20.0, training=training))
    seen = []
    for name, start, steps in (("one", old, 3), ("two", tmp_path / "one/stardist.safetensors", 2), ("two", None, 3)):
        start = start or tmp_path / "one/stardist.safetensors"
        assert main(arguments(manifest, tmp_path / name, "--init", start, "--steps", steps)) == 0
        seen += [read_config(tmp_path / name / f"{kind}.safetensors")[1].crops for kind in ("stardist", "hover")]
    assert seen == [40 + 12] * 2 + [40 + 12 + 8] * 2 + [40 + 12 + 12] * 2


def test_the_sources_of_all_starts_are_named(manifest, tmp_path):
    """Of --init, of --init-head, and of the training itself, without what it leaves out; also in a later run."""
    for name, kind in (("x", ConvNeXtStarDist), ("y", ConvNeXtHover)):
        config = Config({"encoder": ENCODER}, 20.0, sources={name: {"images": 9, "terms": "MIT"}})
        save_checkpoint(tmp_path / f"{name}.safetensors", kind(ENCODER), config)
    starts = ("--init", tmp_path / "x.safetensors", "--init-head", tmp_path / "y.safetensors")
    assert main(arguments(manifest, tmp_path / "run", *starts, "--leave-out", "a", "--steps", 0)) == 0
    again = ("--init", tmp_path / "run/hover.safetensors", "--stream", "hover", "--steps", 0)
    assert main(arguments(manifest, tmp_path / "again", *again)) == 0
    given, own = {"images": 9, "terms": "MIT"}, {"images": 3, "terms": ""}
    for kind in ("stardist", "hover"):
        assert read_config(tmp_path / f"run/{kind}.safetensors")[1].sources == {"x": given, "y": given, "b": own}
    known = read_config(tmp_path / "again/hover.safetensors")[1].sources
    assert known == {"x": given, "y": given, "a": own, "b": own}


def test_validation_by_the_clock(manifest, tmp_path, monkeypatch):
    """Every so many minutes, here no time at all, and once at the end; the real F1 of untrained networks is low."""
    command = arguments(manifest, tmp_path, "--steps", 2, "--validate-images", 2, "--validate-every", 0)
    assert main(command) == 0
    lines = rows(tmp_path / "validation.csv")
    assert [(r["step"], r["network"]) for r in lines] == [(s, n) for s in "12" for n in ("stardist", "hover")]
    assert all(0 <= float(r["f1"]) < 0.5 for r in lines)


def test_time_budget(manifest, tmp_path):
    """The run ends by the clock, whatever --steps says."""
    assert main(arguments(manifest, tmp_path, "--stream", "hover", "--time-budget", 0.01)) == 0
    assert 0.6 <= read_config(tmp_path / "hover.safetensors")[1].training["seconds"] + 0.5


def test_a_budget_counts_the_start(manifest, tmp_path, monkeypatch):
    """Half a minute, and the images take a minute to load: the run ends with its first step. Each look at the clock
    takes a second.
    """
    clock, load = SimpleNamespace(now=0), SegmenterTrainer.load

    def monotonic():
        clock.now += 1
        return clock.now

    def slow_load(self):
        clock.now += 60
        return load(self)

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr(SegmenterTrainer, "load", slow_load)
    assert main(arguments(manifest, tmp_path, "--stream", "hover", "--time-budget", 0.5)) == 0
    training = read_config(tmp_path / "hover.safetensors")[1].training
    assert training["steps_done"] == 1
    assert training["seconds"] > 60


@pytest.mark.parametrize("word, value", [("seed", "9"), ("stream", "hover"), ("batch", "2")])
def test_resume_refuses_another_run(manifest, tmp_path, caplog, word, value):
    """The message names the file, what differs and the remedy; the file stays."""
    command = arguments(manifest, tmp_path, "--stream", "stardist", "--steps", 0)
    assert main(command) == 0
    before = (tmp_path / "resume.safetensors").read_bytes()
    assert main([*command, f"--{word}", value]) == 2
    assert re.search(rf"resume\.safetensors: from a run with {word} .*another --out", caplog.text)
    assert (tmp_path / "resume.safetensors").read_bytes() == before


def test_damaged_resume_file(manifest, tmp_path, caplog):
    (tmp_path / "resume.safetensors").write_bytes(b"cut off")
    assert main(arguments(manifest, tmp_path)) == 2
    assert re.search(r"resume\.safetensors.*remove it", caplog.text)


def test_steps_use_no_random_numbers(manifest, tmp_path, monkeypatch):
    """Why a resume file need not hold the random number generator's state."""
    states = []
    step = Trainer.train_step
    monkeypatch.setattr(
        Trainer,
        "train_step",
        lambda self, batch: (
            states.append(torch.get_rng_state()),
            step(self, batch),
            states.append(torch.get_rng_state()),
        ),
    )
    main(arguments(manifest, tmp_path, "--steps", 1))
    assert torch.equal(*states)


def test_missing_class(manifest, tmp_path, caplog):
    assert main(arguments(manifest, tmp_path, "--classes", 2, "--steps", 1)) == 2
    assert "no image with labelled cells" in caplog.text


def test_log_names_images_and_result(manifest, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        main(arguments(manifest, tmp_path, "--steps", 0, "--stream", "hover"))
    assert "6 images, 0 without cells, 2 sources" in caplog.text
    assert "done: 0 steps" in caplog.text


@pytest.mark.parametrize(
    "option, said",
    [
        (("--time-budget", 0), "must be more than 0 minutes"),
        (("--stream", "both!"), "invalid choice"),
        (("--source-factors", "a"), "must be SOURCE=FACTOR"),
        (("--device", "gpu"), "invalid choice"),
        (("--crop", 100), "must be a multiple of 32, got 100"),
        (("--batch", 0), "expected a whole number of at least 1, got '0'"),
        (("--log-every", 0), "at least 1"),
        (("--zoom", 0, 1), "must be more than 0, got 0"),
        (("--zoom", 2, 0.5), "the smaller factor comes first"),
        (("--diameter", 0), "must be more than 0, got 0"),
        (("--lr", "nan"), "must be more than 0, got nan"),
        (("--steps=-1",), "expected a whole number of at least 0, got '-1'"),
        (("--seed=-1",), "at least 0"),
    ],
)
def test_an_option_that_cannot_be(manifest, tmp_path, capsys, option, said):
    with pytest.raises(SystemExit) as stopped:
        main(arguments(manifest, tmp_path, *option))
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["convnext_gigantic", "resnet18"])
def test_an_encoder_that_nobody_knows(manifest, tmp_path, caplog, name):
    assert main(arguments(manifest, tmp_path, "--encoder", name)) == 2
    assert f"no encoder '{name}'" in caplog.text


def test_factors_that_leave_nothing(manifest, tmp_path, caplog):
    assert main(arguments(manifest, tmp_path, "--source-factors", "a=0", "b=0")) == 2
    assert "--source-factors: every source has the factor 0" in caplog.text


def test_a_budget_has_room_for_start_and_last_validation(manifest, tmp_path, monkeypatch):
    """A validation that takes all of it leaves no step; the network is scored and kept all the same."""
    monkeypatch.setattr(Trainer, "time_validation", lambda self, *_: setattr(self, "validation_seconds", 1e9))
    assert main(arguments(manifest, tmp_path, "--stream", "hover", "--validate-images", 2, "--time-budget", 60)) == 0
    assert [row["step"] for row in rows(tmp_path / "validation.csv")] == ["0"]
    assert read_config(tmp_path / "hover.safetensors")[1].validation["images"] == 2


def test_a_router_is_no_start(manifest, tmp_path, caplog):
    save_checkpoint(tmp_path / "router.safetensors", Router(), Config())
    assert main(arguments(manifest, tmp_path, "--init", tmp_path / "router.safetensors")) == 2
    assert "router.safetensors: holds a router" in caplog.text


def test_a_joint_training_goes_on_from_the_networks_that_it_wrote(manifest, tmp_path):
    """Both heads are there before the first step; --init-head alone, or for one head, is refused, and so is
    --keep-statistics of nothing."""
    assert main(arguments(manifest, tmp_path / "first", "--steps", 1)) == 0
    first = {kind: tmp_path / "first" / f"{kind}.safetensors" for kind in ("stardist", "hover")}
    again = ["--init", first["stardist"], "--init-head", first["hover"], "--steps", 0]
    assert main(arguments(manifest, tmp_path / "again", *again)) == 0
    for kind, path in first.items():
        one, other = load_file(path), load_file(tmp_path / "again" / f"{kind}.safetensors")
        assert all(torch.equal(one[name], other[name]) for name in one)
    for wrong in (["--init-head", first["hover"]], [*again, "--stream", "hover"], ["--keep-statistics"]):
        with pytest.raises(SystemExit):
            main(arguments(manifest, tmp_path / "wrong", *wrong))


@pytest.mark.parametrize(
    "kind, network, diameter, said",
    [
        (ConvNeXtStarDist, ENCODER, 20.0, "holds a stardist network; give --init-head the other one"),
        (Router, None, 0.0, "holds a router network; give --init-head the other one"),
        (
            ConvNeXtHover,
            "convnext_atto",
            20.0,
            "of another encoder or working size .*convnext_atto, 20 pixels; test_conv",
        ),
        (
            ConvNeXtHover,
            ENCODER,
            30.0,
            "of another encoder or working size .*test_convnext, 30 pixels; test_convnext, 20",
        ),
    ],
)
def test_a_head_that_does_not_belong_to_the_start(manifest, tmp_path, start, caplog, kind, network, diameter, said):
    head = tmp_path / "head.safetensors"
    save_checkpoint(
        head, kind(network) if network else kind(), Config({"encoder": network} if network else {}, diameter)
    )
    assert main(arguments(manifest, tmp_path / "run", "--init", start, "--init-head", head)) == 2
    assert re.search(f"head.safetensors: {said}", caplog.text)


def test_a_head_brings_the_settings_of_its_decoder(manifest, tmp_path, start):
    """Of another working size, where --diameter decides."""
    head, decoder = tmp_path / "head.safetensors", {"cell_threshold": 0.7}
    save_checkpoint(head, ConvNeXtHover(ENCODER), Config({"encoder": ENCODER}, 30.0, decoder))
    more = ("--init", start, "--init-head", head, "--diameter", 20, "--steps", 0)
    assert main(arguments(manifest, tmp_path / "run", *more)) == 0
    found = {kind: read_config(tmp_path / f"run/{kind}.safetensors")[1].decoder for kind in ("stardist", "hover")}
    assert found == {"stardist": {"prob_threshold": 0.4}, "hover": decoder}
