"""training.learning.losses: every term by hand, what the weights hide, and that the truth is the minimum."""

import math

import pytest
import torch

from models.hover import HoverMaps
from models.stardist import StarDistMaps
from training.learning.losses import MAE_WEIGHT, dice_loss, hover_gradients, hover_loss, stardist_loss, weighted_mean

NEAR = {"rel": 1e-5, "abs": 1e-6}
LOG_2 = math.log(2)


def maps(*rows):
    """1x1xhxw from nested lists."""
    return torch.tensor(rows, dtype=torch.float32)[None, None]


def truth(seed=0, size=12):
    """Random targets of a Hover and a StarDist crop, with weights of 0 in the last columns."""
    generator = torch.Generator().manual_seed(seed)
    cell = (torch.rand(2, 1, size, size, generator=generator) > 0.4).float()
    prob = cell * torch.rand(cell.shape, generator=generator)
    dist = cell * (1 + 20 * torch.rand(2, 32, size, size, generator=generator))
    hv = cell * (2 * torch.rand(2, 2, size, size, generator=generator) - 1)
    weight = torch.ones_like(cell)
    weight[..., -3:] = 0
    return cell, prob, dist, hv, weight


def test_the_papers_weight():
    assert MAE_WEIGHT == 0.3


def test_weighted_mean():
    values = torch.tensor([[[[1.0, 3.0]], [[5.0, 7.0]]]])  # two channels, two pixels
    assert weighted_mean(values, maps([1, 0])).item() == pytest.approx(3, **NEAR)
    assert weighted_mean(values, maps([1, 3])).item() == pytest.approx((1 + 5 + 9 + 21) / 8, **NEAR)
    assert weighted_mean(values, maps([0, 0])).item() == 0


def test_dice():
    one, other = maps([1, 0, 1]), maps([1, 1, 0.5])
    everywhere = torch.ones_like(one)
    assert dice_loss(one, other, everywhere).item() == pytest.approx(1 - 2 * 1.5 / (2 + 2.25), **NEAR)
    assert dice_loss(one, other, maps([1, 0, 0])).item() == pytest.approx(0, **NEAR)
    assert dice_loss(one, other, maps([2, 1, 0])).item() == pytest.approx(1 - 2 * 2 / (2 + 3), **NEAR)
    assert dice_loss(one, 1 - one, everywhere).item() == pytest.approx(1, **NEAR)
    assert dice_loss(one * 0, one * 0, everywhere).item() == 0


def test_stardist_by_hand():
    """Two pixels, two rays. Logit 0 has cross entropy log 2 for any truth; distance terms are weighted by the
    probability.
    """
    predicted = StarDistMaps(maps([0, 0]), torch.tensor([[[[6.0, 9.0]], [[10.0, 9.0]]]]))
    dist = torch.tensor([[[[4.0, 0.0]], [[8.0, 0.0]]]])  # mean 6 in the first pixel
    terms = stardist_loss(predicted, maps([0.5, 0]), dist, maps([1, 1]))
    assert set(terms) == {"ce", "dice", "mae"}
    assert terms["ce"].item() == pytest.approx(LOG_2, **NEAR)
    assert terms["dice"].item() == pytest.approx(1 - 2 * (24 + 80) / (36 + 16 + 100 + 64), **NEAR)
    assert terms["mae"].item() == pytest.approx(0.3 * 2, **NEAR)
    relative = stardist_loss(predicted, maps([0.5, 0]), dist, maps([1, 1]), reference_radius=15)
    assert relative["mae"].item() == pytest.approx(0.3 * 2 * 15 / 6, **NEAR)
    assert (relative["ce"], relative["dice"]) == (terms["ce"], terms["dice"])


def test_stardist_cross_entropy_by_hand():
    logit = math.log(3)  # probability 3/4
    predicted = StarDistMaps(maps([logit, logit]), torch.zeros(1, 2, 1, 2))
    terms = stardist_loss(predicted, maps([1, 0]), torch.zeros(1, 2, 1, 2), maps([3, 1]))
    assert terms["ce"].item() == pytest.approx((-3 * math.log(0.75) - math.log(0.25)) / 4, **NEAR)


def test_relative_error_is_blind_to_scale():
    """A cell three times as large, with errors three times as large, costs the same; the plain one costs three times as
    much.
    """
    _, prob, dist, _, weight = truth()
    predicted = StarDistMaps(torch.zeros_like(prob), dist + 1)
    larger = StarDistMaps(predicted.prob, 3 * predicted.dist)
    small, large = (stardist_loss(m, prob, d, weight, 14)["mae"] for m, d in ((predicted, dist), (larger, 3 * dist)))
    plain, plain_large = (stardist_loss(m, prob, d, weight)["mae"] for m, d in ((predicted, dist), (larger, 3 * dist)))
    assert small.item() == pytest.approx(large.item(), rel=1e-4)
    assert plain_large.item() == pytest.approx(3 * plain.item(), rel=1e-4)


def test_the_error_of_a_tiny_cell_is_relative_to_one_pixel():
    """A mean distance of 1/4 counts as 1, so that an error of 1 costs the reference radius and not four times as
    much.
    """
    for distance, expected in ((0.25, 14), (7.0, 2)):
        dist = torch.full((1, 32, 1, 1), distance)
        error = stardist_loss(StarDistMaps(maps([0.0]), dist + 1), maps([1]), dist, maps([1]), 14)["mae"]
        assert error.item() == pytest.approx(MAE_WEIGHT * expected, **NEAR)


def test_hover_gradients_by_hand():
    """y's map down the rows, x's map along the columns: central differences, one-sided at the ends."""
    hv = torch.tensor([[[[0.0, 5.0], [1.0, 5.0], [4.0, 5.0]], [[0.0, 2.0], [0.0, 3.0], [7.0, 7.0]]]])
    vertical, horizontal = hover_gradients(hv)[0]
    assert vertical.tolist() == [[1, 0], [2, 0], [3, 0]]
    assert horizontal.tolist() == [[2, 2], [3, 3], [0, 0]]


def test_hover_by_hand():
    """Three pixels in a row, repeated in three lines; the last column is no cell."""
    cell = maps(*[[1, 1, 0]] * 3)
    logits = torch.zeros(1, 2, 3, 3)
    logits[:, 1] = math.log(3)  # cell probability 3/4 everywhere
    hv = torch.zeros(1, 2, 3, 3)
    hv[:, 1] = torch.tensor([-1.0, 1.0, 0.0])
    predicted = torch.zeros(1, 2, 3, 3)
    predicted[:, 0] = torch.tensor([[1.0], [2.0], [3.0]])  # a slope of 1 where the truth is flat
    terms = hover_loss(HoverMaps(logits, predicted), cell, hv, torch.ones(1, 1, 3, 3))
    assert set(terms) == {"cp_ce", "cp_dice", "hv_mse", "hv_msge"}
    assert terms["cp_ce"].item() == pytest.approx((-2 * math.log(0.75) - math.log(0.25)) / 3, **NEAR)
    assert terms["cp_dice"].item() == pytest.approx(1 - 2 * (6 * 0.75) / (9 * 0.75**2 + 6), **NEAR)
    assert terms["hv_mse"].item() == pytest.approx((3 * (1 + 4 + 9) + 6 * 1) / 18, **NEAR)
    # Slopes of the truth along a row: 2, 1/2, -1. In cells only: (3 * (2^2 + 0.5^2) + 6 * 1^2) over 6 pixels of 2
    # channels.
    assert terms["hv_msge"].item() == pytest.approx((3 * 4.25 + 6) / 12, **NEAR)


def perfect_maps():
    cell, prob, dist, hv, weight = truth()
    logit = torch.logit(prob.clamp(1e-6, 1 - 1e-6))
    sure = 30 * (2 * cell - 1)
    return {
        "stardist": (lambda m: stardist_loss(m, prob, dist, weight), StarDistMaps(logit, dist), {"ce"}),
        "relative": (lambda m: stardist_loss(m, prob, dist, weight, 14), StarDistMaps(logit, dist), {"ce"}),
        "hover": (lambda m: hover_loss(m, cell, hv, weight), HoverMaps(torch.cat((-sure, sure), 1), hv), set()),
    }


@pytest.mark.parametrize("name", perfect_maps())
def test_truth_is_the_minimum(name):
    """At the truth every term is 0 (but for the entropy of a soft probability), and any step away from it costs."""
    loss, perfect, with_entropy = perfect_maps()[name]
    terms = loss(perfect)
    assert all(value.abs() < 1e-5 for term, value in terms.items() if term not in with_entropy)
    total = sum(terms.values())
    for seed in range(5):
        torch.manual_seed(seed)
        for size in (0.1, 1.0):
            for moved in range(2):
                other = type(perfect)(*(m + size * (k == moved) * torch.randn_like(m) for k, m in enumerate(perfect)))
                if name != "hover" or moved == 1:
                    assert sum(loss(other).values()) > total
    worse = type(perfect)(-perfect[0], perfect[1])
    assert sum(loss(worse).values()) > total + 0.1


@pytest.mark.parametrize("name", perfect_maps())
def test_unknown_pixels_do_not_count(name):
    """Whatever is predicted where the weight is 0 changes no term and gets no gradient."""
    loss, perfect, _ = perfect_maps()[name]
    guess = type(perfect)(*((m + torch.randn_like(m)).requires_grad_() for m in perfect))
    terms = loss(guess)
    changed = type(perfect)(*(torch.where(torch.arange(m.shape[-1]) >= m.shape[-1] - 3, m + 100, m) for m in guess))
    for term, value in loss(changed).items():
        assert value.item() == pytest.approx(terms[term].item(), rel=1e-5), term
    sum(terms.values()).backward()
    assert all(not m.grad[..., -3:].any() and m.grad[..., :-3].any() for m in guess)


@pytest.mark.parametrize("name", ("stardist", "hover"))
def test_crops_without_cells_or_without_known_pixels(name):
    """Finite terms and gradients, and nothing to learn from a crop that is all padding."""
    nothing = torch.zeros(1, 1, 8, 8)
    for weight in (nothing, nothing + 1):
        second = torch.randn(1, 32 if name == "stardist" else 2, 8, 8, requires_grad=True)
        first = torch.randn(1, 1 if name == "stardist" else 2, 8, 8, requires_grad=True)
        terms = (
            stardist_loss(StarDistMaps(first, second), nothing, torch.zeros_like(second), weight, 14)
            if name == "stardist"
            else hover_loss(HoverMaps(first, second), nothing, torch.zeros_like(second), weight)
        )
        sum(terms.values()).backward()
        assert all(value.isfinite() for value in terms.values())
        for grad in (first.grad, second.grad):
            assert grad.isfinite().all()
            assert weight.any() or not grad.any()
