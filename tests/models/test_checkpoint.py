"""models.checkpoint: what is stored, and that every damaged or foreign file gives one sentence with its name and the
remedy.
"""

import hashlib
import json
import os
import pickle
import re
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from inference.network import Network
from models import checkpoint
from models.checkpoint import CheckpointError, dequantise, load_checkpoint, quantise, read_config, save_checkpoint
from models.config import Config
from models.stardist import ConvNeXtStarDist

CONFIG = Config({"encoder": "test_convnext"}, 28.0)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return ConvNeXtStarDist("test_convnext")


@pytest.fixture
def path(network, tmp_path):
    save_checkpoint(tmp_path / "class0.safetensors", network, CONFIG)
    return tmp_path / "class0.safetensors"


@pytest.mark.parametrize("storage", ["float16", "int8"])
def test_other_number_formats(network, tmp_path, storage):
    """Loaded as bfloat16, a network is the one loaded as float32 and converted."""
    save_checkpoint(tmp_path / "a.safetensors", network, CONFIG, storage)
    loaded = load_checkpoint(tmp_path / "a.safetensors", torch.bfloat16)[0].state_dict()
    expected = load_checkpoint(tmp_path / "a.safetensors")[0].to(torch.bfloat16).state_dict()
    assert all(
        torch.equal(loaded[name], value) and loaded[name].dtype == value.dtype for name, value in expected.items()
    )


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    """A checkpoint with batch normalisation in its encoder, whose running averages have moved."""
    torch.manual_seed(0)
    model = ConvNeXtStarDist("efficientnet_lite0")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    path = tmp_path_factory.mktemp("lite") / "class0.safetensors"
    save_checkpoint(path, model, Config({"encoder": "efficientnet_lite0"}, 28.0))
    return path


def test_batch_normalisation_is_folded_at_load_where_it_is_asked_for(lite):
    """Inference asks for it; the encoder's layers are gone, and the maps are the same."""
    plain, folded = (load_checkpoint(lite, fold=fold)[0] for fold in (False, True))
    for model, layers in ((plain, True), (folded, False), (Network.load(lite, torch.device("cpu")).model, False)):
        encoder = model.unet.encoder.modules()
        assert any(isinstance(module, torch.nn.BatchNorm2d) for module in encoder) == layers
    images = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        for one, other in zip(plain(images), folded(images), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_folding_comes_before_rounding(lite):
    """In bfloat16 the products are rounded once, not their factors before."""
    exact = load_checkpoint(lite, fold=True)[0].to(torch.bfloat16).state_dict()
    rounded = load_checkpoint(lite, torch.bfloat16, fold=True)[0].state_dict()
    assert exact.keys() == rounded.keys()
    assert all(torch.equal(value, rounded[name]) for name, value in exact.items())
    assert {value.dtype for value in rounded.values() if value.is_floating_point()} == {torch.bfloat16}


def test_an_encoder_without_batch_normalisation_has_nothing_to_fold(path):
    plain, folded = (load_checkpoint(path, fold=fold)[0].state_dict() for fold in (False, True))
    assert plain.keys() == folded.keys()
    assert all(torch.equal(value, folded[name]) for name, value in plain.items())


def refused(path):
    """The message with which a file is refused: one line, with the file's name."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert isinstance(caught.value, ValueError)
    return message


def test_quantise_by_hand():
    """Each output channel has its own scale; its largest weight becomes 127, the others are rounded."""
    weight = torch.tensor([[127.0, -50.4, 0.0], [0.0, 0.0, 0.0], [-0.5, 0.25, 0.001]])
    stored, scale = quantise(weight)
    assert stored.dtype == torch.int8
    assert scale.dtype == torch.float32
    assert stored.tolist() == [[127, -50, 0], [0, 0, 0], [-127, 64, 0]]
    torch.testing.assert_close(scale, torch.tensor([1.0, 1e-12 / 127, 0.5 / 127]))
    torch.testing.assert_close(dequantise(stored, scale)[0], torch.tensor([127.0, -50.0, 0.0]))


@pytest.mark.parametrize("shape", [(3, 5), (4, 3, 3, 3), (6, 1, 7, 7)])
def test_quantisation_is_off_by_half_a_step_at_most(shape):
    weight = torch.randn(shape)
    stored, scale = quantise(weight)
    error = (dequantise(stored, scale) - weight).flatten(1).abs().amax(1)
    assert (error <= scale * 0.5001).all()


@pytest.mark.parametrize("storage, dtype", [("float16", torch.float16), ("int8", torch.int8)])
def test_storage(network, tmp_path, storage, dtype):
    """Weights in the small type, biases and normalisation in float32; one byte a weight makes the file half as
    large.
    """
    save_checkpoint(tmp_path / "x", network, CONFIG, storage)
    stored = load_file(tmp_path / "x")
    assert {t.dtype for n, t in stored.items() if t.ndim > 1} == {dtype}
    assert {t.dtype for n, t in stored.items() if t.ndim < 2} <= {torch.float32, torch.int64}
    weights = sum(p.numel() for p in network.parameters() if p.ndim > 1)
    assert os.path.getsize(tmp_path / "x") < weights * dtype.itemsize * 1.3


def test_unknown_storage(network, tmp_path):
    with pytest.raises(ValueError, match="float16.*int8.*got 'int4'"):
        save_checkpoint(tmp_path / "x", network, CONFIG, "int4")
    assert not list(tmp_path.iterdir())


def test_configuration_without_weights(path):
    assert read_config(path) == ("stardist", CONFIG)


def test_a_failed_save_leaves_the_old_file(network, path, monkeypatch):
    before = path.read_bytes()
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(checkpoint, "save", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        save_checkpoint(path, network, replace(CONFIG, diameter=1.0))
    assert path.read_bytes() == before


def test_a_save_that_is_broken_off_leaves_no_part(network, path, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "replace", stopped)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, network, CONFIG)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_others_may_read_it(path):
    """A container's user is not the one who trained."""
    plain = path.with_name("plain")
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_missing_file(tmp_path):
    assert "no such weights file; give the folder that holds it with --weights" in refused(
        tmp_path / "class0.safetensors"
    )


def test_folder(tmp_path):
    assert "fetch the weights again" in refused(tmp_path)


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_cut_off_file(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "fetch the weights again and compare weights/SHA256SUMS" in refused(path)


def test_changed_weight(path):
    """A single byte, where the folder has checksums; a file that they do not name is not trusted either."""
    sums = path.with_name("SHA256SUMS")
    sums.write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    load_checkpoint(path)
    changed = bytearray(path.read_bytes())
    changed[-100] ^= 1
    path.write_bytes(changed)
    assert "its sha256 is not the one in SHA256SUMS" in refused(path)
    sums.write_text(f"{'0' * 64}  other.safetensors\n")
    with pytest.raises(CheckpointError, match="no line for class0.safetensors"):
        load_checkpoint(path)
    sums.unlink()
    load_checkpoint(path)


def test_other_programs_file(path):
    save_file({"weight": torch.zeros(2)}, path)
    assert "not a checkpoint of this program (format None, expected 'multistream-cellseg 1')" in refused(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"kind": "transformer"},
        {"config": json.dumps({"network": {"encoder": "test_convnext2"}})},
        {"config": json.dumps({"network": {"encoder": "no_such_encoder"}})},
        {"config": json.dumps({"network": {"encoder": "test_convnext", "rays": 8}})},
        {"config": json.dumps({"network": {"encoder": "test_convnext", "heads": 3}})},
    ],
    ids=lambda m: str(m),
)
def test_networks_that_this_version_does_not_build(path, metadata):
    rewrite(path, **metadata)
    assert re.search("not a .* network of this version.*; use the weights that came with this version", refused(path))


def test_a_configuration_of_another_version(path):
    rewrite(path, config=json.dumps({"network": {}, "dilation": 2}))
    assert "its configuration is not of this version" in refused(path)


def test_missing_tensor(path):
    rewrite(path, without="head.dist.bias")
    assert "head.dist.bias" in refused(path)


def rewrite(path, without=None, **metadata):
    """Change a checkpoint's metadata or leave out a tensor."""
    with safe_open(path, "pt") as file:
        old = file.metadata()
    tensors = load_file(path)
    tensors.pop(without, None)
    save_file(tensors, path, old | metadata)


class Intruder:
    """Unpickled, it would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize(
    "write", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing))], ids=["torch", "pickle"]
)
def test_nothing_is_unpickled(tmp_path, write):
    write({"weight": Intruder(tmp_path / "trace")}, tmp_path / "class0.safetensors")
    assert "damaged weights file" in refused(tmp_path / "class0.safetensors")
    assert not (tmp_path / "trace").exists()
