"""The two lock files that the image is installed from, against requirements.txt; these tests need no engine."""

import re
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
