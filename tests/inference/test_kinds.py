"""Every kind has what the table promises, and its maps lead from labels back to labels."""

import dataclasses

import numpy as np
import pytest
import torch

from inference.image.scaling import Sizes
from inference.kinds import KINDS
from inference.tiles import Tally, tile_image
from models.classes import CLASSES
from models.stardist import RAYS


def test_every_class_has_a_kind():
    assert {c.kind for c in CLASSES} <= set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_settings_are_frozen_and_their_grid_holds_the_defaults(name):
    settings = KINDS[name].Settings
    assert dataclasses.fields(settings)
    assert settings() in settings.grid()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings().anything = 1


@pytest.mark.parametrize("name", KINDS)
def test_targets_have_the_channels_of_the_maps(name, blobs):
    maps = KINDS[name].targets(blobs(0, (64, 96)))
    assert tuple(len(m) for m in maps) == KINDS[name].CHANNELS
    assert all(m.dtype == np.float32 and m.shape[1:] == maps[0].shape[1:] for m in maps)


def test_activation_by_hand():
    """StarDist's probability is a sigmoid; Hover's logit the difference of cell and background; both in float32."""
    half = torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)
    prob, dist = KINDS["stardist"].activate(half, torch.full((1, RAYS, 2, 2), -3.0))
    assert prob.dtype == torch.float32
    assert (prob == 0.5).all()
    assert (dist == -3).all()
    logit, hv = KINDS["hover"].activate(
        torch.tensor([[[[1.0]], [[4.0]]]], dtype=torch.bfloat16), torch.full((1, 2, 1, 1), 0.25)
    )
    assert logit.dtype == torch.float32
    assert logit.tolist() == [[[[3.0]]]]
    assert (hv == 0.25).all()


@pytest.mark.parametrize("name", KINDS)
def test_a_cell_comes_back(name):
    """Labels to maps to labels: one square stays one cell in its place, and it explains its own maps better than
    nothing does.
    """
    kind, labels = KINDS[name], np.zeros((64, 96), np.int32)
    labels[16:48, 40:72] = 1
    first, second = (m[:, :: m.shape[1] // 16, :: m.shape[2] // 24] for m in kind.targets(labels))
    first = 12 * first - 6 if name == "hover" else first
    (tile,), tally = tile_image(64, 96), Tally()
    found = np.concatenate(
        list(kind.rows(iter([(tile, (first, second))]), kind.Settings(), Sizes((64, 96), (64, 96)), tally))
    )
    assert tally.cells == found.max() == 1
    assert np.mean((found > 0) == (labels > 0)) > 0.9
    shifted = np.roll(found, 16, axis=1)
    assert kind.disagreement(found, first, second)[1] < kind.disagreement(shifted, first, second)[1]
