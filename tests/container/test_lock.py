"""The two lock files that the image is installed from, against requirements.txt; these tests need no engine."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-cuda.lock")


def pins(name: str) -> dict[str, str]:
    """Package to version in one file."""
    return dict(re.findall(r"^([a-z][\w.-]*)==([^\s;]+)", (ROOT / name).read_text(), re.MULTILINE))


def test_requirements_are_locked():
    """.ci/lock was run after the last change of requirements.txt."""
    locked = {package: version for name in LOCKS for package, version in pins(name).items()}
    asked = pins("requirements.txt")
    assert len(asked) > 10
    assert {package: locked.get(package) for package in asked} == asked


def test_one_file_a_package():
    """What needs CUDA is in the one, everything else in the other; a CPU image without the former has no line of
    CUDA's.
    """
    base, cuda = (set(pins(name)) for name in LOCKS)
    assert not base & cuda
    assert {"torch", "torchvision"} <= cuda
    assert all(re.match(r"torch|cuda-|nvidia-", package) for package in cuda)
    assert not [package for package in base if re.match(r"torch|cuda|nvidia|triton", package)]


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_has_hashes(name):
    entries = re.split(r"^(?=[a-z])", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) == len(pins(name))
    for entry in entries:
        assert re.fullmatch(r"\S+==\S+( \\\n +--hash=sha256:[0-9a-f]{64})+\n", entry), entry


@pytest.mark.parametrize(
    "arguments, build",
    [({}, None), ({"CPU_INDEX": "cpu-index"}, "cpu"), ({"TORCH_INDEX": "old-index", "TORCH_BUILD": "cu999"}, "cu999")],
)
def test_what_the_build_arguments_install(tmp_path, arguments, build):
    """The commands of the Dockerfile with a stand-in for pip that notes its words and what it is to install: the locked
    versions of PyTorch and torchvision from the index that is named, everything else by its hash.
    """
    block = re.search(r"^RUN (install\(\).*?; fi)", (ROOT / "Dockerfile").read_text(), re.MULTILINE | re.DOTALL)
    assert block
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@"\nfor last; do :; done\ncat "$last"\n')
    (tmp_path / "pip").chmod(0o755)
    script = block[1].replace("/tmp/torch", str(tmp_path / "torch"))
    path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-ec", script], env=path | arguments, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    calls = re.split(r"^(?=install )", done.stdout, flags=re.MULTILINE)[1:]
    assert len(calls) == 2
    assert "--require-hashes -r requirements.lock" in calls[0]
    versions = pins("requirements-cuda.lock")
    if build:
        words, *packages = calls[1].splitlines()
        assert f"--extra-index-url {'cpu-index' if build == 'cpu' else 'old-index'}" in words
        assert ("--no-deps" in words) == (build == "cpu")  # PyTorch's CUDA packages bring their own libraries
        assert packages == [f"{name}=={versions[name]}+{build}" for name in ("torch", "torchvision")]
    else:
        assert "--no-deps --require-hashes -r requirements-cuda.lock" in calls[1]
