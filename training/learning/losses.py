"""The losses of segmenters (paper, section 2.2, with the corrections that docs/method.md explains), and of the router.

Those of segmenters take maps of shape NxCxhxw and a weight of shape Nx1xhxw that is 0 where the truth is unknown
(padding), and return scalars. Sums run over the whole batch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.hover import HoverMaps
from models.router import RouterOutput
from models.stardist import StarDistMaps
from training.images.router_views import NO_CLASS

MAE_WEIGHT = 0.3  # paper, section 2.2; cross entropy and Dice have weight 1
EPSILON = 1e-6
LABEL_SMOOTHING = 0.05  # near the borders that the cue rules draw, one pixel more changes the class
SIZE_WEIGHT = 1.0  # of the diameter's loss; the classes have weight 1
SIZE_KNEE = 0.2  # error of the log diameter from which on its loss grows linearly


def weighted_mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of NxCxhxw values over the pixels, each counted by its weight (Nx1xhxw)."""
    return (values * weight).sum() / (weight.sum() * values.shape[1] + EPSILON)


def dice_loss(prediction: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """1 - 2*sum(a*b) / (sum(a^2) + sum(b^2)): 0 for equal maps, 1 for maps that do not meet.

    The paper's denominator has plain sums, which is unbounded below for distances in pixels; with squares (Milletari et
    al. 2016) the loss has its minimum where prediction and truth agree, for probabilities and distances alike.
    """
    overlap = (weight * prediction * truth).sum()
    total = (weight * (prediction**2 + truth**2)).sum()
    return 1 - (2 * overlap + EPSILON) / (total + EPSILON)


def stardist_loss(
    maps: StarDistMaps, prob: Tensor, dist: Tensor, weight: Tensor, reference_radius: float | None = None
) -> dict[str, Tensor]:
    """Cross entropy of the probability, Dice and 0.3 MAE of the distances weighted by the true probability.

    Parameters
    ----------
    maps : prob as a logit and dist in pixels, as `ConvNeXtStarDist` gives them
    prob : Nx1xhxw in [0, 1]
    dist : NxRxhxw in pixels
    reference_radius : pixels; the absolute error of a pixel is divided by its mean true distance and multiplied by
        this, so that large cells do not outweigh small ones. None is the paper's plain MAE
    """
    cross_entropy = weighted_mean(F.binary_cross_entropy_with_logits(maps.prob, prob, reduction="none"), weight)
    inside = weight * prob
    dice = dice_loss(maps.dist, dist, inside)
    error = (maps.dist - dist).abs()
    if reference_radius is not None:
        error = error * (reference_radius / dist.mean(dim=1, keepdim=True).clamp(min=1))
    return {"ce": cross_entropy, "dice": dice, "mae": MAE_WEIGHT * weighted_mean(error, inside)}


def hover_gradients(hv: Tensor) -> Tensor:
    """Vertical gradient of the vertical map and horizontal gradient of the horizontal one, by central differences.

    Nx2xhxw (y, x) -> Nx2xhxw, in units a pixel; the outermost rows and columns are one-sided.
    """
    return torch.cat((torch.gradient(hv[:, :1], dim=2)[0], torch.gradient(hv[:, 1:], dim=3)[0]), dim=1)


def hover_loss(maps: HoverMaps, cell: Tensor, hv: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Cross entropy and Dice of the cell pixels, MSE of the HV maps, MSE of their gradients within cells; weights 1.

    Parameters
    ----------
    maps : cp as logits and hv, as `ConvNeXtHover` gives them
    cell : Nx1xhxw, 1 in cells and 0 outside
    hv : Nx2xhxw in [-1, 1], y then x
    """
    log_probability = F.log_softmax(maps.cp, dim=1)
    truth = torch.cat((1 - cell, cell), dim=1)
    # The mean runs over both channels, one of them 0.
    cross_entropy = -2 * weighted_mean(log_probability * truth, weight)
    dice = dice_loss(log_probability[:, 1:].exp(), cell, weight)
    mse = weighted_mean((maps.hv - hv) ** 2, weight)
    known_around = -F.max_pool2d(-weight, 3, stride=1, padding=1)  # a gradient takes both neighbours
    msge = weighted_mean((hover_gradients(maps.hv) - hover_gradients(hv)) ** 2, known_around * cell)
    return {"cp_ce": cross_entropy, "cp_dice": dice, "hv_mse": mse, "hv_msge": msge}


def router_loss(out: RouterOutput, classes: Tensor, log_diameter: Tensor) -> dict[str, Tensor]:
    """Cross entropy of the class, and the smooth absolute error of the log diameter times its weight.

    Each is a mean over the views where it is known, 0 without any.
    """
    known, classified = torch.isfinite(log_diameter), classes != NO_CLASS
    nothing = out.log_diameter.sum() * 0
    size = F.smooth_l1_loss(out.log_diameter[known], log_diameter[known], beta=SIZE_KNEE) if known.any() else nothing
    label = (
        F.cross_entropy(out.classes[classified], classes[classified], label_smoothing=LABEL_SMOOTHING)
        if classified.any()
        else nothing
    )
    return {"class": label, "size": SIZE_WEIGHT * size}
