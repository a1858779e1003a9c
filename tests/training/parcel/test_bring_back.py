"""training.parcel.bring_back: the networks of a run out of what two calls sent."""

import logging
import tarfile

import pytest

from training.parcel.bring_back import main
from training.parcel.parts import split


@pytest.fixture
def calls(networks, tmp_path):
    """The parts of two calls, as training.parcel.device sends them."""
    with tarfile.open(tmp_path / "results.tar", "w") as tar:
        for name in ("stardist", "hover"):
            tar.add(networks / f"{name}.safetensors", f"joint/{name}.safetensors")
    folders = tmp_path / "1", tmp_path / "2"
    for number, folder in enumerate(folders):
        folder.mkdir()
        split(tmp_path / "results.tar", folder, 2**19, first=2 * number, most=2 if number == 0 else None)
        (folder / "device.log").write_text(f"call {number}")
    return folders


def test_networks_and_logs(calls, networks, tmp_path, caplog):
    runs = tmp_path / "runs"
    caplog.set_level(logging.INFO)
    assert main([*map(str, calls), "--runs", str(runs)]) == 0
    for name in ("stardist.safetensors", "hover.safetensors"):
        assert (runs / "joint" / name).read_bytes() == (networks / name).read_bytes()
    assert sorted(p.name for p in runs.iterdir()) == ["1-device.log", "device.log", "joint"]
    assert f"{runs}/joint/hover.safetensors: 40 crops" in caplog.text


def test_another_machines_networks_stay(calls, tmp_path, caplog):
    """The same results may come twice; a log of another call stands beside the first ones."""
    command = [*map(str, calls), "--runs", str(tmp_path / "runs")]
    assert main(command) == main(command) == 0
    (calls[1] / "device.log").write_text("call 3")
    assert main(command) == 0
    logs = sorted((path.name, path.read_text()) for path in (tmp_path / "runs").glob("*.log"))
    assert logs == [("1-device.log", "call 1"), ("2-device.log", "call 3"), ("device.log", "call 0")]
    other = tmp_path / "runs/joint/hover.safetensors"
    other.write_bytes(b"of an earlier machine")
    (tmp_path / "runs/joint/stardist.safetensors").unlink()
    assert main(command) == 2
    assert f"{other}: another training's file is there already; give another --runs" in caplog.text
    assert [path.name for path in (tmp_path / "runs/joint").iterdir()] == ["hover.safetensors"]


def test_what_is_missing_is_said(calls, tmp_path, caplog):
    assert main([str(calls[1]), "--runs", str(tmp_path / "runs")]) == 2
    assert "results.tar.000: did not come back; let the device send from --first 0 again" in caplog.text
    assert not list((tmp_path / "runs").iterdir())
