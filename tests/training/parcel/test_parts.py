"""training.parcel.parts: what was split is joined again, from one folder or several, and nothing else is."""

import re
import subprocess

import pytest

from training.parcel.parts import join, split

CONTENT = bytes(range(256)) * 10


@pytest.fixture
def whole(tmp_path):
    path = tmp_path / "results.tar"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def calls(tmp_path):
    folders = tmp_path / "1", tmp_path / "2"
    for folder in folders:
        folder.mkdir()
    return folders


@pytest.mark.parametrize("size, parts", [(1, 2560), (1000, 3), (2560, 1), (5000, 1)])
def test_round_trip(whole, calls, tmp_path, size, parts):
    assert split(whole, calls[0], size) is None
    assert len(list(calls[0].glob("results.tar.*"))) == parts
    assert all(path.stat().st_size <= size for path in calls[0].glob("results.tar.*"))
    join(calls[:1], tmp_path / "joined")
    assert (tmp_path / "joined").read_bytes() == CONTENT
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=calls[0], check=True)


def test_parts_of_two_calls(whole, calls, tmp_path):
    """The second call sends what the first one had no room for; as long as it has not, the message says what to do."""
    assert split(whole, calls[0], 500, most=2) == 2
    assert sorted(p.name for p in calls[0].iterdir()) == ["SHA256SUMS", "results.tar.000", "results.tar.001"]
    with pytest.raises(ValueError, match=r"results.tar.002: did not come back; .* --first 2 again"):
        join(calls[:1], tmp_path / "joined")
    assert split(whole, calls[1], 500, first=2, most=9) is None
    for order in (calls, calls[::-1]):
        join(order, tmp_path / "joined")
        assert (tmp_path / "joined").read_bytes() == CONTENT


def test_a_damaged_part(whole, calls, tmp_path):
    """It is named, and a sound copy from another call takes its place."""
    split(whole, calls[0], 500)
    part = calls[0] / "results.tar.003"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match=re.escape(f"{part}: damaged") + ".* --first 3"):
        join(calls[:1], tmp_path / "joined")
    split(whole, calls[1], 500, first=3)
    join(calls, tmp_path / "joined")
    assert (tmp_path / "joined").read_bytes() == CONTENT


def test_parts_of_different_results_are_not_mixed(whole, calls, tmp_path):
    split(whole, calls[0], 500)
    whole.write_bytes(CONTENT[::-1])
    split(whole, calls[1], 500)
    with pytest.raises(ValueError, match="of different results"):
        join(calls, tmp_path / "joined")
    (calls[1] / "SHA256SUMS").unlink()
    with pytest.raises(ValueError, match="2/SHA256SUMS: no such file"):
        join(calls, tmp_path / "joined")
