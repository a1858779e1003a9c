"""training.parcel.pack: what is in a parcel, and what makes it small."""

import csv
import io
import json
import zipfile

import pytest
import torch

from models.checkpoint import load_checkpoint
from training.learning.encoder_weights import load_encoder
from training.learning.networks import TrainingNetwork
from training.parcel.pack import main, parse_arguments


@pytest.fixture
def content(parcel, tmp_path):
    with zipfile.ZipFile(parcel) as file:
        file.extractall(tmp_path / "content")
    return tmp_path / "content"


def rows(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_images(content, manifest):
    """All training images and two to validate, one of each source; every file that the manifest names is there."""
    lines = rows((content / "data/manifest.csv").read_text())
    assert [(r["split"], r["source"]) for r in lines if r["split"] == "val"] == [("val", "a"), ("val", "b")]
    assert [r["source"] for r in lines if r["split"] == "train"] == list("ababab")
    files = {str(p.relative_to(content / "data")) for p in content.glob("data/*/*")}
    assert files == {r[column] for r in lines for column in ("image", "label")}


def test_the_start(content, networks):
    """Init as it is, in float16; of the other network the head alone, and no room for the rest."""
    options = json.loads((content / "options.json").read_text())
    init, head = (content / options[len(options) - 1 - options[::-1].index(o) + 1] for o in ("--init", "--init-head"))
    for path, name in ((init, "stardist"), (head, "hover")):
        new, config = load_checkpoint(path)
        old = load_checkpoint(networks / f"{name}.safetensors")[0]
        heads = zip(new.head.state_dict().values(), old.head.state_dict().values())
        assert all(torch.equal(a, b) for a, b in heads)
        assert config.crops == 40
        assert config.diameter == 20
    old = load_checkpoint(networks / "stardist.safetensors")[0].unet.state_dict()
    assert all(torch.equal(v, old[n]) for n, v in load_checkpoint(init)[0].unet.state_dict().items())
    assert not any(v.any() for v in load_checkpoint(head)[0].unet.state_dict().values())


def test_the_project(content, parcel):
    """Its modules and a main program; nothing that was not made to travel."""
    assert (content / "training/train.py").exists()
    assert (content / "inference/network.py").exists()
    assert {p.name for p in content.iterdir()} == {
        "__main__.py",
        "COMMIT",
        "data",
        "inference",
        "models",
        "options.json",
        "start",
        "training",
    }
    assert "manifest.csv" in (content / "options.json").read_text()


def test_room(manifest, tmp_path, caplog):
    """The best quality that fits; fewer images of each source; and a limit that nothing fits."""
    words = ["--manifest", str(manifest), "--out", str(tmp_path / "p.zip")]
    words += ["--train-options", "--random-init --encoder test_convnext --validate-images 0 --leave-out a"]
    codes, sizes = [], []
    for limit in ("4", "0.4"):
        codes.append(main([*words, "--limit", limit]))
        sizes.append((tmp_path / "p.zip").stat().st_size if (tmp_path / "p.zip").exists() else None)
    assert main([*words, "--quality", "30", "--most", "2"]) == 0
    with zipfile.ZipFile(tmp_path / "p.zip") as file:
        assert [r["source"] for r in rows(file.read("data/manifest.csv").decode())] == ["b", "b"]
    assert codes == [0, 2]
    assert sizes[0] <= 4 * 2**20
    assert sizes[1] is None
    assert main([*words, "--limit", "0.01"]) == 2
    assert "more than 0.01 MiB" in caplog.text
    assert not (tmp_path / "p.zip").exists()


def test_imagenet_weights_of_the_encoder_travel(manifest, tmp_path):
    """In float16, so that the machine needs neither a network nor the package; here from a file, of another network."""
    own, other = (TrainingNetwork("both", encoder="test_convnext") for _ in range(2))
    torch.save(own.unet.encoder.state_dict(), tmp_path / "imagenet.pth")
    options = f"--encoder test_convnext --encoder-weights {tmp_path}/imagenet.pth --validate-images 0"
    words = ["--manifest", str(manifest), "--out", str(tmp_path / "p.zip"), "--train-options", options]
    assert main(words) == 0
    with zipfile.ZipFile(tmp_path / "p.zip") as file:
        assert json.loads(file.read("options.json"))[-2:] == ["--encoder-weights", "start/encoder.safetensors"]
        load_encoder(
            other.unet.encoder,
            file.extract("start/encoder.safetensors", tmp_path) and tmp_path / "start/encoder.safetensors",
        )
    for name, value in other.unet.encoder.state_dict().items():
        torch.testing.assert_close(value, own.unet.encoder.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_a_wrong_head_is_told_before_the_machine_is_borrowed(manifest, networks, tmp_path, caplog):
    options = f"--init {networks}/hover.safetensors --init-head {networks}/hover.safetensors --stream both"
    assert main(["--manifest", str(manifest), "--out", str(tmp_path / "p.zip"), "--train-options", options]) == 2
    assert "hover.safetensors: holds a hover network; give --init-head the other one" in caplog.text
    assert not (tmp_path / "p.zip").exists()


def test_the_machine_decides_on_the_time(capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["--manifest", "m.csv", "--out", "p", "--train-options", "--time-budget 3"])
    assert "the device's --seconds decides" in capsys.readouterr().err
