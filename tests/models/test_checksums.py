"""The list of checksums: written as sha256sum does, and read strictly."""

import subprocess

import pytest

from models.checksums import CheckpointError, check_file, check_listed, read_checksums, write_checksums


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    write_checksums(tmp_path, ["b", "a", "absent"])
    return tmp_path


def test_as_sha256sum(folder):
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert (folder / "SHA256SUMS").read_text() == subprocess.check_output(
        ["sha256sum", "a", "b"], cwd=folder, text=True
    )
    assert list(read_checksums(folder)) == ["a", "b"]


def test_a_file_that_changed(folder):
    check_file(folder / "a")
    (folder / "a").write_text("b")
    with pytest.raises(CheckpointError, match="a: damaged or another weights file"):
        check_file(folder / "a")


@pytest.mark.parametrize("line", ["hello", "12  a", "0" * 64 + "  ../a", "0" * 64, "0" * 64 + "\ta b"])
def test_an_odd_line(folder, line):
    with open(folder / "SHA256SUMS", "a") as file:
        file.write(line + "\n")
    with pytest.raises(CheckpointError, match="SHA256SUMS: line 3 is not a checksum"):
        check_file(folder / "a")


def test_a_missing_line_and_a_missing_list(folder):
    with pytest.raises(CheckpointError, match="no line for c, d;"):
        check_listed(folder, ["a", "c", "d"])
    (folder / "SHA256SUMS").unlink()
    with pytest.raises(CheckpointError, match="SHA256SUMS: cannot be read"):
        check_listed(folder, ["a"])


def test_a_list_that_is_no_text(folder):
    (folder / "SHA256SUMS").write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match="SHA256SUMS: cannot be read"):
        read_checksums(folder)
