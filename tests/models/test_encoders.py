"""Our ConvNeXt, EfficientNet-Lite and ResNet18 against timm's and torchvision's: the same names, the same function.
Programs start without either.

They are in models.convnext, models.efficientnet and models.resnet.
"""

import subprocess
import sys

import pytest
import timm
import torch
import torchvision

from models.convnext import CONVNEXTS, ConvNeXt, LayerNorm2d
from models.efficientnet import EFFICIENTNETS, EfficientNetLite
from models.encoders import make_encoder
from models.resnet import ResNet18
from models.router import Router


@pytest.mark.parametrize("name", ["convnext_atto", "convnext_tiny"])
def test_convnext_is_timms(name):
    """One encoder of each kind of linear layer, with a layer scale that lets every layer matter."""
    torch.manual_seed(0)
    theirs = timm.create_model(name, features_only=True, ls_init_value=0.5).eval()
    for parameter in theirs.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    ours = ConvNeXt(name).eval()
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        for one, other in zip(ours(images), theirs(images), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONVNEXTS)
def test_weights_have_timms_names_and_shapes(name):
    with torch.device("meta"):
        ours, theirs = ConvNeXt(name), timm.create_model(name, features_only=True)
    assert {n: p.shape for n, p in ours.state_dict().items()} == {n: p.shape for n, p in theirs.state_dict().items()}
    assert list(ours.channels) == theirs.feature_info.channels()


def test_initial_weights_are_like_timms():
    torch.manual_seed(0)
    theirs = timm.create_model("convnext_atto", features_only=True).state_dict()
    for name, value in ConvNeXt("convnext_atto").state_dict().items():
        if value.numel() > 1000:
            assert value.std().item() == pytest.approx(theirs[name].std().item(), rel=0.1)
            assert abs(value.mean()) < 0.005
        elif value.ndim == 1:
            assert torch.equal(value, theirs[name])


def test_pretrained_weights_are_adopted(monkeypatch):
    create, created = timm.create_model, []

    def without_download(name, pretrained, **options):
        assert pretrained
        created.append(create(name, **options))
        return created[-1]

    monkeypatch.setattr(timm, "create_model", without_download)
    encoder, channels, *_ = make_encoder("convnext_atto", pretrained=True)
    assert isinstance(encoder, ConvNeXt)
    assert channels == (40, 80, 160, 320)
    assert all(torch.equal(value, created[0].state_dict()[name]) for name, value in encoder.state_dict().items())


def test_convnext_stays_in_its_number_format():
    """Under autocast a layer normalisation and the layer scale, which are float32, do not turn everything after them
    into float32.
    """
    encoder = ConvNeXt("convnext_atto")
    with torch.autocast("cpu", torch.bfloat16):
        assert all(features.dtype == torch.bfloat16 for features in encoder(torch.randn(1, 3, 64, 64)))
    assert LayerNorm2d(4)(torch.ones(1, 4, 2, 2, dtype=torch.bfloat16).float()).dtype == torch.float32


def lite_with_statistics(name):
    """timm's EfficientNet-Lite with running averages away from their first values, in evaluation mode."""
    torch.manual_seed(0)
    theirs = timm.create_model(f"tf_{name}", features_only=True)
    for _ in range(2):
        theirs(torch.randn(2, 3, 64, 64))
    for module in theirs.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
    return theirs.eval()


@pytest.mark.parametrize("name", EFFICIENTNETS)
def test_efficientnet_is_timms(name):
    """The same names, shapes and function; folded the same function still, without batch normalisation."""
    theirs, ours = lite_with_statistics(name), EfficientNetLite(name).eval()
    assert list(theirs.state_dict()) == list(ours.state_dict())
    assert list(ours.channels) == theirs.feature_info.channels()[1:]
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        expected = theirs(images)[1:]
        for one, other in zip(ours(images), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    ours.fold_batch_norm()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in ours.modules())
    with torch.inference_mode():
        for one, other in zip(ours(images), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_efficientnet_trains_in_bfloat16():
    """The depthwise convolutions that run in float32 give what the others expect, and gradients reach the stem."""
    encoder = EfficientNetLite("efficientnet_lite0")
    images = torch.randn(2, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        features = encoder(images)
    assert all(f.dtype == torch.bfloat16 for f in features)
    sum(f.float().square().mean() for f in features).backward()
    assert encoder.conv_stem.weight.grad.abs().sum() > 0


def test_encoders_know_their_images():
    """ConvNeXt's weights expect ImageNet's statistics, EfficientNet-Lite's (pixel - 127) / 128; another network is
    refused.
    """
    assert make_encoder("convnext_atto").mean == (0.485, 0.456, 0.406)
    lite = make_encoder("efficientnet_lite0")
    assert (lite.mean[0] * 255, lite.std[0] * 255) == pytest.approx((127, 128))
    with pytest.raises(ValueError, match="feature strides .* is needed"):
        make_encoder("resnet18")


def test_resnet18_is_torchvisions():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18()
    theirs(torch.randn(4, 3, 64, 64))  # running averages away from their first values
    ours = ResNet18(1000)
    ours.load_state_dict(theirs.state_dict())
    images = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images), rtol=1e-4, atol=1e-4)


def test_router_adopts_pretrained_weights(monkeypatch):
    """All but those of the last layer, which has other outputs."""
    theirs = torchvision.models.resnet18()
    monkeypatch.setattr(torchvision.models, "resnet18", lambda weights: theirs)
    ours = Router(pretrained=True).network
    assert ours.fc.out_features == 5
    assert all(
        torch.equal(value, theirs.state_dict()[name])
        for name, value in ours.state_dict().items()
        if not name.startswith("fc.")
    )


def test_shipped_kinds_of_network_are_built_without_timm_and_torchvision():
    """Their import would double the time of a cold start."""
    code = (
        "import sys; from models.stardist import ConvNeXtStarDist as S; from models.hover import ConvNeXtHover as H; "
        "from models.router import Router as R; S('convnext_atto'), H('efficientnet_lite0'), R(); "
        "raise SystemExit(bool({'timm', 'torchvision'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
