"""training.learning.networks: heads of both kinds on one UNet, taken apart and put together."""

import pytest
import torch

from training.learning.networks import TrainingNetwork


@pytest.mark.parametrize(
    "stream, heads", [("both", {"stardist", "hover"}), ("stardist", {"stardist"}), ("hover", {"hover"})]
)
def test_split_gives_the_maps_of_the_whole(stream, heads):
    torch.manual_seed(0)
    network = TrainingNetwork(stream, encoder="test_convnext").eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        maps, parts = network(images), network.split()
        assert set(maps) == set(parts) == heads
        for name, part in parts.items():
            assert part.kind == name
            assert all(torch.equal(one, other) for one, other in zip(part.eval()(images), maps[name]))


def test_adopt_takes_the_unet_and_the_head_of_the_same_kind():
    source, target = (TrainingNetwork("both", encoder="test_convnext") for _ in range(2))
    hover = {name: value.clone() for name, value in target.heads["hover"].state_dict().items()}
    target.adopt(source.split()["stardist"])
    for name in ("unet", "heads.stardist"):
        one, other = (network.get_submodule(name).state_dict() for network in (source, target))
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert all(torch.equal(value, hover[name]) for name, value in target.heads["hover"].state_dict().items())
    assert any(not torch.equal(value, source.heads["hover"].state_dict()[name]) for name, value in hover.items())


def test_two_networks_of_a_joint_training_make_it_whole_again():
    source, target = (TrainingNetwork("both", encoder="test_convnext") for _ in range(2))
    parts = source.split()
    target.adopt(parts["stardist"])
    target.adopt_head(parts["hover"])
    one, other = source.state_dict(), target.state_dict()
    assert all(torch.equal(one[key], other[key]) for key in one)
