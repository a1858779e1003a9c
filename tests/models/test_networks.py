"""The networks: one base tester, a few lines for each of them (paper, section 2.2).

They are in models.stardist, models.hover, models.router and models.unet.
"""

import pytest
import torch

from models.checkpoint import load_checkpoint, save_checkpoint
from models.config import Config
from models.hover import ConvNeXtHover
from models.router import Router
from models.stardist import ConvNeXtStarDist
from models.unet import ConvNeXtUNet, upsample

ENCODER = "test_convnext"  # timm's smallest


class NetworkTests:
    """What every network must do. Subclasses say how it is made, what it takes and what comes out."""

    kind: type
    config: dict = {"encoder": ENCODER}
    sizes: tuple[tuple[int, int], ...] = ((32, 32), (96, 64), (32, 160))

    @pytest.fixture(scope="class")
    @classmethod
    def network(cls):
        torch.manual_seed(0)
        network = cls.kind(**cls.config)
        # Running averages of the batch normalisation away from their first values.
        network(torch.rand(2, 3, *cls.sizes[-1]))
        return network.eval()

    def check_maps(self, maps, batch, height, width):
        raise NotImplementedError

    def test_forward(self, network):
        for height, width in self.sizes:
            maps = network(torch.rand(2, 3, height, width))
            assert all(m.dtype == torch.float32 and m.isfinite().all() for m in maps)
            self.check_maps(maps, 2, height, width)

    def test_black_and_white_images(self, network):
        for value in (0.0, 1.0):
            maps = network(torch.full((1, 3, *self.sizes[0]), value))
            assert all(m.isfinite().all() for m in maps)
            self.check_maps(maps, 1, *self.sizes[0])

    def test_images_of_a_batch_do_not_meet(self, network):
        images = torch.rand(3, 3, *self.sizes[0])
        for together, alone in zip(network(images), network(images[1:2])):
            torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-4)

    def test_backward_reaches_every_parameter(self):
        torch.manual_seed(0)
        network = self.kind(**self.config).train()
        maps = network(torch.rand(2, 3, *self.sizes[0]))
        sum((m * torch.rand_like(m)).sum() for m in maps).backward()
        assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
        # A convolution's bias before batch normalisation is the one thing that may not matter; weights always do.
        assert [name for name, p in network.named_parameters() if p.ndim > 1 and not p.grad.any()] == []

    @pytest.mark.parametrize("storage, tolerance", [("float16", 2e-3), ("int8", 0.1)])
    def test_save_and_load(self, network, tmp_path, storage, tolerance):
        """Kind, configuration and biases come back exactly, and the same maps but for the storage's rounding."""
        path = tmp_path / "network.safetensors"
        config = Config(self.config, 28.0, training={"seed": 3})
        save_checkpoint(path, network, config, storage)
        random_state = torch.get_rng_state()
        loaded, found = load_checkpoint(path)
        assert torch.equal(random_state, torch.get_rng_state())
        assert (type(loaded), found) == (self.kind, config)
        assert not loaded.training
        assert not any(p.requires_grad for p in loaded.parameters())
        assert all(t.dtype == torch.float32 for t in loaded.state_dict().values() if t.is_floating_point())
        before, after = network.state_dict(), loaded.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before if before[name].ndim < 2)
        images = torch.rand(1, 3, *self.sizes[0])
        for one, other in zip(network(images), loaded(images)):
            assert (one - other).abs().max() <= tolerance * max(1, one.abs().max())
        assert list(tmp_path.iterdir()) == [path]


class SegmenterTests(NetworkTests):
    """What both segmenters have in common: a UNet, and heads that convolve before the enlargement."""

    channels: tuple[int, int]

    def check_maps(self, maps, batch, height, width):
        assert [m.shape for m in maps] == [(batch, c, height // 4, width // 4) for c in self.channels]

    def test_convolution_first_is_the_same_function(self, network):
        """Heads on the small features, then enlarged, equal the paper's order: features enlarged, then 1x1
        convolutions.
        """
        images = torch.rand(1, 3, 64, 96)
        ours = [upsample(m, 4) for m in network(images)]
        papers = network.head(upsample(network.unet(images), 4))
        for one, other in zip(ours, papers):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)

    def test_layer_scale(self):
        """It starts at timm's 1e-6, or where it is told."""
        for asked, expected in ((None, 1e-6), (0.5, 0.5)):
            scales = [
                p for name, p in self.kind(ENCODER, layer_scale=asked).named_parameters() if name.endswith("gamma")
            ]
            assert scales
            assert all(torch.allclose(p, torch.tensor(expected)) for p in scales)

    def test_paper_size(self):
        """ConvNeXt-small, 512x512: [3, 3, 27, 3] blocks, features of 96 channels at 1/4. Without weights or
        arithmetic.
        """
        with torch.device("meta"):
            network = self.kind()
            features = network.unet(torch.empty(16, 3, 512, 512))
            maps = network(torch.empty(1, 3, 512, 512))
        blocks = [
            len(stage.blocks) for name, stage in network.unet.encoder.named_children() if name.startswith("stages")
        ]
        assert blocks == [3, 3, 27, 3]
        assert features.shape == (16, 96, 128, 128)
        assert [m.shape for m in maps] == [(1, c, 128, 128) for c in self.channels]


class TestStarDist(SegmenterTests):
    kind, channels = ConvNeXtStarDist, (1, 32)

    def test_every_ray_starts_alive(self):
        """A ray that is negative for all pixels at the start would never learn through the paper's ReLU."""
        dist = ConvNeXtStarDist(ENCODER)(torch.rand(2, 3, 64, 64)).dist
        assert (dist > 0).any(dim=(0, 2, 3)).all()


class TestHover(SegmenterTests):
    kind, channels = ConvNeXtHover, (2, 2)

    def test_hv_can_be_negative(self, network):
        assert network(torch.rand(1, 3, 64, 64)).hv.min() < 0


class TestRouter(NetworkTests):
    kind, config, sizes = Router, {}, ((224, 224),)

    def check_maps(self, maps, batch, height, width):
        assert maps.classes.shape == (batch, 4)
        assert maps.log_diameter.shape == (batch,)


@pytest.mark.parametrize("factor", (2, 4))
def test_upsample_is_bilinear(factor):
    """A ramp stays a ramp away from the border, at block centres."""
    ramp = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    expected = (torch.arange(8.0 * factor) + 0.5) / factor - 0.5
    inside = slice(factor, -factor)
    torch.testing.assert_close(upsample(ramp, factor)[0, 0, 0, inside], expected[inside])


def test_colours_are_normalised():
    """The encoder sees zeros where the image has ImageNet's mean colour."""
    network = ConvNeXtUNet(ENCODER).eval()
    seen = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    network(torch.ones(1, 3, 32, 32))
    assert seen[0].abs().max() < 1e-6
    torch.testing.assert_close(seen[1][0, :, 0, 0], torch.tensor([2.2489, 2.4286, 2.6400]), rtol=1e-4, atol=1e-4)


def test_decoder_is_at_least_64_channels_wide():
    assert ConvNeXtUNet(ENCODER).out_channels == 64


def test_other_kinds_of_encoder_are_refused():
    with pytest.raises(ValueError, match=r"'test_resnet' has feature strides .*a ConvNeXt with \[4, 8, 16, 32\]"):
        ConvNeXtUNet("test_resnet")
