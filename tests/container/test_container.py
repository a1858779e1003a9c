"""The image itself, under a real engine: the organiser's command, hostile flags, bad input, ownership, signals, caches.

    ENGINE=docker IMAGE=cellseg python -m pytest tests/container        # ENGINE may be podman as well
    path/to/rehearse.sh . python -m pytest tests/container              # builds the image and sets both

Two more variables are optional. ENGINE_OPTIONS is added to every run: "--gpus device=0", or "-v
/my/networks:/workspace/weights:ro" to try other weights. CONTAINER_TIMEOUT is the number of seconds that a run may
take; 600 if not set. No run has a network.
"""

import hashlib
import importlib.metadata
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from inference import __version__

ROOT = Path(__file__).parents[2]
ENGINE, IMAGE = os.environ.get("ENGINE", ""), os.environ.get("IMAGE", "")
PODMAN = Path(ENGINE).name == "podman"
TIMEOUT = float(os.environ.get("CONTAINER_TIMEOUT", 600))
STOP_SECONDS = 10  # that `docker stop` waits before it kills
MANY = 300  # images, enough for a signal to come before the last one
STRANGER = 12345  # a user and group that nobody has
HOSTILE = (
    "--read-only",
    "--user",
    f"{STRANGER}:{STRANGER}",
    "--cap-drop",
    "all",
    "--security-opt",
    "no-new-privileges",
    "--shm-size",
    "64m",
)
ORGANISER = ("/bin/bash", "-c", "sh predict.sh")
# What `inputs` must become; in a challenge names end at their first dot.
SHAPES = {"tissue.slide_label.tiff": (160, 200), "cell_label.tiff": (97, 131), "TINY_label.tiff": (3, 5)}
CHALLENGE_SHAPES = {name.replace(".slide", ""): shape for name, shape in SHAPES.items()}
# That decide what the labels are.
PACKAGES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "numba")
COMPILERS = ("cc", "gcc", "g++", "clang", "nvcc", "ptxas", "ld")
SURVEY = f"""
import hashlib, json, shutil, sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
files = [p for p in Path('/workspace').rglob('*') if p.is_file()]
packages = Path(find_spec('torch').origin).parents[1]
print(json.dumps({{
    'python': '%d.%d' % sys.version_info[:2],
    'sums': {{str(p.relative_to('/workspace')): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}},
    'unreadable': [str(p) for p in Path('/workspace').rglob('*') if not p.stat().st_mode & 0o004],
    'versions': {{name: version(name) for name in {PACKAGES!r}}},
    'compilers': [name for name in {COMPILERS!r} if shutil.which(name)],
    'caches': [str(p) for folder in ('/root/.cache', '/tmp') for p in Path(folder).rglob('*')],
    'for building': [str(p) for pattern in ('triton', 'torch/include', '**/*.a') for p in packages.glob(pattern)],
    'bytecode': sorted({{int.from_bytes(p.read_bytes()[4:8], 'little')
                        for place in (packages / 'torch', packages / 'timm', Path('/workspace'))
                        for p in place.rglob('*.pyc')}}),
}}))
"""

if not (ENGINE and IMAGE):
    pytest.skip(
        "needs a container image: ENGINE=docker IMAGE=cellseg python -m pytest tests/container", allow_module_level=True
    )


def engine_command(name: str, options, command) -> list[str]:
    """`docker run` with what every run has in common. Podman adds a writable /tmp to a read-only root; docker does not,
    so it goes.
    """
    common = ["--rm", "--name", name, "--network", "none", "--no-healthcheck"]
    if PODMAN and "--read-only" in options:
        common.append("--read-only-tmpfs=false")
    return [
        ENGINE,
        "run",
        *common,
        *shlex.split(os.environ.get("ENGINE_OPTIONS", "")),
        *map(str, options),
        IMAGE,
        *map(str, command),
    ]


def remove(name: str) -> None:
    """End a container that may still be there."""
    subprocess.run([ENGINE, "rm", "-f", *(("-t", "0") if PODMAN else ()), name], capture_output=True)


def run(*options, command=()) -> subprocess.CompletedProcess:
    """Start a container, wait for its end, print what it said (pytest shows that for a failed test)."""
    name = f"cellseg-test-{uuid.uuid4().hex[:8]}"
    try:
        done = subprocess.run(engine_command(name, options, command), capture_output=True, text=True, timeout=TIMEOUT)
    finally:
        remove(name)
    print(shlex.join(map(str, done.args)), done.stdout, done.stderr, f"exit code {done.returncode}", sep="\n")
    return done


def folders(source, target, inside: str = "") -> tuple[str, ...]:
    """The two mounts; `inside` is "/workspace" for the organiser's. The source is read-only, one thing more to cope
    with.
    """
    return "-v", f"{source}:{inside}/inputs/:ro", "-v", f"{target}:{inside}/outputs/"


def folder(path: Path, mode: int = 0o755) -> Path:
    """A new folder; pytest's own are closed to the container's user."""
    path.mkdir()
    path.chmod(mode)
    return path


def names_in(path: Path) -> set[str]:
    """Names of everything in a folder."""
    return {p.name for p in path.iterdir()}


def check_labels(target: Path, shapes: dict[str, tuple[int, int]]) -> dict[str, np.ndarray]:
    """The folder holds these label TIFFs and nothing else, each of its image's height and width; returns them."""
    assert names_in(target) == set(shapes)
    labels = {name: tifffile.imread(target / name) for name in shapes}
    for name, array in labels.items():
        assert array.shape == shapes[name], name
        assert array.dtype == np.uint16, name
        assert set(np.unique(array)) - {0} == set(range(1, int(array.max()) + 1)), (
            f"{name}: cells are not numbered 1..n"
        )
    return labels


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    """Three small images: 8-bit colour with two dots in its name, 16-bit gray, and one of 3x5 pixels."""
    target = tmp_path_factory.mktemp("inputs")
    target.chmod(0o755)
    tissue = cv2.imread(str(ROOT / "tests" / "images" / "immunohistochemistry.png"))
    nuclei = tifffile.imread(ROOT / "tests" / "images" / "nuclei.tif")
    cv2.imwrite(str(target / "tissue.slide.png"), tissue[:160, :200])
    tifffile.imwrite(target / "cell.tif", nuclei[:97, :131], compression="zlib")
    cv2.imwrite(str(target / "TINY.PNG"), tissue[:3, :5])
    return target


@pytest.fixture
def one_input(inputs, tmp_path) -> Path:
    """A folder with the smallest image alone."""
    shutil.copy(inputs / "TINY.PNG", folder(tmp_path / "in"))
    return tmp_path / "in"


@pytest.fixture(scope="module")
def survey() -> dict:
    """What is in the image, told by the image."""
    done = run("--user", "0", command=("python", "-c", SURVEY))
    assert done.returncode == 0
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def challenge(inputs, tmp_path_factory) -> Path:
    """The folder of labels after the organiser's command, which ends with exit code 0. Podman may be unable to limit
    memory.
    """
    target = tmp_path_factory.mktemp("outputs")
    target.chmod(0o777)
    limit = () if PODMAN else ("-m", "28G")
    assert run(*limit, *folders(inputs, target, "/workspace"), command=ORGANISER).returncode == 0
    return target


def settings_of_image() -> dict:
    """User, environment, labels: the image's configuration."""
    done = subprocess.run(
        [ENGINE, "image", "inspect", "--format", "{{json .Config}}", IMAGE], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def owner(path: Path) -> tuple[int, int]:
    return path.stat().st_uid, path.stat().st_gid


def needs_root() -> None:
    """Users inside are users outside only for an engine that runs as root, and only root can make folders of others."""
    if os.geteuid() != 0:
        pytest.skip("needs to run as root, with an engine that does too")


def test_the_image_holds_this_tree(survey):
    """Otherwise the rest says nothing about this tree: build the image again."""
    paths = [
        ROOT / "predict.py",
        ROOT / "predict.sh",
        *(ROOT / "models").rglob("*.py"),
        *(ROOT / "inference").rglob("*.py"),
    ]
    ours = {str(p.relative_to(ROOT)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}
    assert {name: survey["sums"].get(name) for name in ours} == ours


def test_nothing_in_the_image_without_a_reason(survey):
    assert survey["compilers"] == survey["caches"] == survey["for building"] == []
    assert survey["unreadable"] == [], "any user must be able to read the program and its weights"
    assert not [name for name in survey["sums"] if name.split("/")[0] in ("tests", ".git", ".ci", "docs")]


def test_bytecode_is_valid_whatever_the_date_of_its_source(survey):
    """Type 1 of PEP 552, unchecked hash: nothing is compiled at a start, and two builds make equal files."""
    assert survey["bytecode"] == [1]


def test_labels_of_the_image():
    labels = settings_of_image()["Labels"]
    assert all(
        labels.get(f"org.opencontainers.image.{key}") for key in ("title", "description", "licenses", "revision")
    )
    assert labels["org.opencontainers.image.version"] == __version__


def test_version():
    done = run(command=("sh", "predict.sh", "--version"))
    assert (done.returncode, done.stdout.strip()) == (0, f"multistream-cellseg {__version__}")


def test_organisers_command(challenge):
    labels = check_labels(challenge, CHALLENGE_SHAPES)
    assert labels["tissue_label.tiff"].max() > 0, "the shipped networks find cells in a stained tissue section"


def test_the_same_labels_as_outside(challenge, inputs, survey, tmp_path):
    """`python predict.py` on this machine, with the image's weights, gives the same arrays."""
    try:
        here = {name: importlib.metadata.version(name) for name in PACKAGES}
    except importlib.metadata.PackageNotFoundError as error:
        pytest.skip(f"not installed outside of the image: {error}")
    if here != survey["versions"]:
        pytest.skip(f"other versions outside ({here}) than in the image ({survey['versions']})")
    weights = folder(tmp_path / "weights", 0o777)
    copy = "cp -r weights/. /copy && chmod -R a+rX /copy"
    assert run("--user", "0", "-v", f"{weights}:/copy", command=("sh", "-c", copy)).returncode == 0
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_"))
    }  # as many threads as in the container
    command = [
        sys.executable,
        ROOT / "predict.py",
        "-i",
        inputs,
        "-o",
        tmp_path / "out",
        "--weights",
        weights,
        "--challenge-names",
    ]
    subprocess.run(command, env=environment, check=True, timeout=TIMEOUT)
    for name in CHALLENGE_SHAPES:
        np.testing.assert_array_equal(tifffile.imread(challenge / name), tifffile.imread(tmp_path / "out" / name), name)


def test_no_command_and_default_owner(one_input, tmp_path):
    """The plain call. The files belong to the image's user, or if that is root to the owner of the folder."""
    target = folder(tmp_path / "out", 0o777)
    assert run(*folders(one_input, target)).returncode == 0
    check_labels(target, {"TINY_label.tiff": SHAPES["TINY_label.tiff"]})
    user = settings_of_image().get("User") or "0"
    if os.geteuid() == 0 and user.split(":")[0].isdigit():
        expected = int(user.split(":")[0]) or target.stat().st_uid
        assert (target / "TINY_label.tiff").stat().st_uid == expected


def test_the_folder_that_docker_makes_and_the_folder_of_another_user(one_input, tmp_path):
    """`-v $PWD/out:...` with no such folder makes one that only root may write to. A folder of somebody keeps files of
    that one only.
    """
    needs_root()
    theirs = folder(tmp_path / "theirs")
    os.chown(theirs, STRANGER, STRANGER)
    for target in (folder(tmp_path / "roots"), theirs):
        assert run(*folders(one_input, target, "/workspace"), command=ORGANISER).returncode == 0
        assert owner(target / "TINY_label.tiff") == owner(target)


def test_hostile_flags(inputs, tmp_path):
    """No writable file but the results', a user without a name or a home, no capabilities, 64 MB of shared memory."""
    target = folder(tmp_path / "out", 0o777)
    done = run(*HOSTILE, *folders(inputs, target), command=("sh", "predict.sh", "/inputs", "/outputs", "-v"))
    assert done.returncode == 0
    assert "compiled for this run only" not in done.stderr
    check_labels(target, SHAPES)
    if os.geteuid() == 0:
        assert {owner(target / name) for name in SHAPES} == {(STRANGER, STRANGER)}


def test_as_apptainer_runs_it(one_input, survey, tmp_path):
    """Read-only, as the user, who is in the home folder, in which other packages of the same names are installed."""
    home, target = folder(tmp_path / "home"), folder(tmp_path / "out", 0o777)
    packages = home / ".local" / "lib" / f"python{survey['python']}" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "numpy.py").write_text("raise ImportError('a package of the home folder')")
    done = run(*HOSTILE, "-v", f"{home}:{home}", "--workdir", home, "-e", f"HOME={home}", *folders(one_input, target))
    assert done.returncode == 0
    check_labels(target, {"TINY_label.tiff": SHAPES["TINY_label.tiff"]})


def test_nothing_is_compiled_at_run_time(tmp_path):
    """Every function of both decoders comes from the shipped caches; numba's own account of its caches says so."""
    program = (
        "import logging; logging.basicConfig(); logging.getLogger('inference').setLevel('DEBUG'); "
        "from inference.warm_up import warm_up; warm_up()"
    )
    done = run(*HOSTILE, "-e", "NUMBA_DEBUG_CACHE=1", command=("python", "-c", program))
    lookups, hits = (
        sum(f"[cache] {what} loaded" in line for line in done.stdout.splitlines()) for what in ("index", "data")
    )
    assert done.returncode == 0
    assert lookups == hits > 3
    assert " saved to " not in done.stdout
    assert "compiled for this run only" not in done.stderr


def test_options(one_input, tmp_path):
    """Folders and options through predict.sh; here also the network that the other runs may not need."""
    target = folder(tmp_path / "out", 0o777)
    done = run(
        *folders(one_input, target),
        command=("sh", "predict.sh", "/inputs", "/outputs", "--overlay", "--route", "1", "-v"),
    )
    assert done.returncode == 0
    assert "compiled for this run only" not in done.stderr
    assert names_in(target) == {"TINY_label.tiff", "TINY_overlay.png"}
    assert cv2.imread(str(target / "TINY_overlay.png")).shape == (3, 5, 3)


def test_bad_files_among_good_ones(one_input, tmp_path):
    """Exit code 1, a line for each bad file, and the good one done."""
    (one_input / "broken.png").write_bytes(b"\x89PNG and no more")
    (one_input / "empty.tif").touch()
    (one_input / "notes.txt").write_text("not an image")
    tifffile.imwrite(one_input / "stack.tif", np.zeros((9, 20, 30), np.uint8), metadata={"axes": "ZYX"}, imagej=True)
    target = folder(tmp_path / "out", 0o777)
    done = run(*folders(one_input, target))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    check_labels(target, {"TINY_label.tiff": SHAPES["TINY_label.tiff"]})
    errors = [line for line in done.stderr.splitlines() if line.startswith("error")]
    for name in ("broken.png", "empty.tif", "stack.tif"):
        assert sum(name in line for line in errors) == 1, name
    assert "notes.txt: skipped" in done.stderr


def test_empty_input_folder(tmp_path):
    done = run(*folders(folder(tmp_path / "in"), folder(tmp_path / "out", 0o777)))
    assert done.returncode == 2
    assert "no images in this folder" in done.stderr
    assert "Traceback" not in done.stderr


def test_output_folder_that_is_not_writable(one_input, tmp_path):
    """One line that names the folder, before any work."""
    done = run(*HOSTILE, *folders(one_input, folder(tmp_path / "out", 0o555)))
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2
    assert line.startswith("error: ")
    assert "/outputs" in line
    assert names_in(tmp_path / "out") == set()


def test_sigterm(inputs, tmp_path):
    """`docker stop`, Kubernetes and Slurm send it: the program ends within seconds, with whole files or none."""
    source, target = folder(tmp_path / "in"), folder(tmp_path / "out", 0o777)
    for i in range(MANY):
        shutil.copy(inputs / "TINY.PNG", source / f"{i}.png")
    name, log = f"cellseg-test-{uuid.uuid4().hex[:8]}", tmp_path / "log"
    try:
        with log.open("w") as file:
            process = subprocess.Popen(engine_command(name, folders(source, target), ()), stdout=file, stderr=file)
        start = time.monotonic()
        while not names_in(target) and process.poll() is None and time.monotonic() - start < TIMEOUT:
            time.sleep(0.05)
        assert names_in(target), log.read_text()
        subprocess.run([ENGINE, "kill", "--signal", "TERM", name], check=True, capture_output=True)
        try:
            code = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running {STOP_SECONDS} s after SIGTERM")
    finally:
        remove(name)
        process.wait()
    written = names_in(target)
    assert code in (130, 143), log.read_text()
    assert "Traceback" not in log.read_text(), log.read_text()
    assert 0 < len(written) < MANY
    check_labels(target, {name: (3, 5) for name in written})
    assert all(n.endswith("_label.tiff") for n in written)
