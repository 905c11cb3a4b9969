"""Losses between predictions and targets, between distributions, and between vectors.

`reduction` is "mean" over all elements unless said otherwise, "sum", or "none".
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from ...ir.errors import ShapeError
from ._shared import Array, Reduction, reduced, same_shape
from .activations import softplus, xlogy
from .distances import pairwise_distance
from .piecewise import relu


def mse_loss(input: Array, target: Array, *, reduction: Reduction = "mean") -> Array:
    """(input - target)**2, of equal shapes."""
    same_shape("mse_loss", input, target)
    return reduced(np.square(input - target), reduction)


def l1_loss(input: Array, target: Array, *, reduction: Reduction = "mean") -> Array:
    """|input - target|, of equal shapes; derivative 0 where they are equal."""
    same_shape("l1_loss", input, target)
    return reduced(np.abs(input - target), reduction)


def huber_loss(
    input: Array, target: Array, reduction: Reduction = "mean", delta: float = 1.0
) -> Array:
    """d**2 / 2 where d = |input - target| < delta, else delta (d - delta / 2); of equal shapes.

    ValueError unless delta > 0.

    Source: Huber, "Robust Estimation of a Location Parameter", 1964.
    """
    same_shape("huber_loss", input, target)
    if delta <= 0:
        raise ValueError(f"huber_loss: delta must be above 0, it is {delta}")
    distance = np.abs(input - target)
    with np.errstate(over="ignore"):
        near = 0.5 * distance * distance
    return reduced(np.where(distance < delta, near, delta * (distance - 0.5 * delta)), reduction)


def smooth_l1_loss(
    input: Array, target: Array, *, reduction: Reduction = "mean", beta: float = 1.0
) -> Array:
    """huber_loss with delta = beta, divided by beta: slope 1 far away. beta = 0 is `l1_loss`.

    ValueError if beta < 0.

    Source: Girshick, "Fast R-CNN", ICCV 2015.
    """
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: beta must not be below 0, it is {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction=reduction)
    return huber_loss(input, target, reduction, beta) / beta


def kl_div(
    input: Array,
    target: Array,
    *,
    reduction: Reduction | Literal["batchmean"] = "mean",
    log_target: bool = False,
) -> Array:
    """target * (log(target) - input), elementwise: `input` and, with log_target, `target` are
    logarithms of probabilities, of equal shapes.

    0 where the target's probability is 0, whatever the input, and with derivative 0. "batchmean",
    the divergence per sample, divides the sum by the length of the first axis.
    """
    same_shape("kl_div", input, target)
    with np.errstate(all="ignore"):
        if log_target:
            loss = np.where(target == -np.inf, 0, np.exp(target) * (target - input))
        else:
            loss = np.where(target == 0, 0, target * (np.log(target) - input))
    if reduction != "batchmean":
        return reduced(loss, reduction)
    if loss.ndim == 0:
        raise ShapeError("kl_div: 'batchmean' needs a first axis of samples")
    return np.sum(loss) / loss.shape[0]


def gaussian_nll_loss(
    input: Array,
    target: Array,
    var: Array,
    full: bool = False,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
) -> Array:
    """(log(v) + (input - target)**2 / v) / 2 with v = max(var, eps); full adds log(2 pi) / 2.

    `input` and `target` have one shape; `var` has it too, or 1 as its last extent, or no last axis
    (one variance for all outputs of a sample). The derivative with respect to a variance below eps
    is 0, as that of the value (torch takes it at eps). ValueError unless eps > 0.

    Source: Nix and Weigend, "Estimating the mean and variance of the target probability
    distribution", ICNN 1994.
    """
    same_shape("gaussian_nll_loss", input, target)
    if eps <= 0:
        raise ValueError(f"gaussian_nll_loss: eps must be above 0, it is {eps}")
    shape = np.shape(input)
    if shape and np.shape(var) == shape[:-1] != shape:
        var = np.expand_dims(var, -1)
    if np.shape(var) not in (shape, (*shape[:-1], 1)):
        raise ShapeError(f"gaussian_nll_loss: var {np.shape(var)} does not fit input {shape}")
    v = np.where(var < eps, eps, var)
    loss = 0.5 * (np.log(v) + np.square(input - target) / v)
    return reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def poisson_nll_loss(
    input: Array,
    target: Array,
    log_input: bool = True,
    full: bool = False,
    *,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
) -> Array:
    """exp(input) - target * input, or without log_input: input - target * log(input + eps).

    full adds Stirling's approximation of log(target!) where the target is above 1. Equal shapes.
    """
    same_shape("poisson_nll_loss", input, target)
    loss = np.exp(input) - target * input if log_input else input - target * np.log(input + eps)
    if full:
        with np.errstate(divide="ignore", invalid="ignore"):
            stirling = target * np.log(target) - target + 0.5 * np.log(2 * math.pi * target)
        loss = loss + np.where(target > 1, stirling, 0)
    return reduced(loss, reduction)


def cosine_embedding_loss(
    input1: Array,
    input2: Array,
    target: Array,
    margin: float = 0.0,
    *,
    reduction: Reduction = "mean",
) -> Array:
    """1 - cos where the target is 1, max(0, cos - margin) where it is -1, else 0.

    cos is the cosine of the angle between input1 and input2, both (n, d) with targets (n,), or (d,)
    with (). ShapeError otherwise.
    """
    same_shape("cosine_embedding_loss", input1, input2)
    if np.ndim(input1) not in (1, 2) or np.shape(target) != np.shape(input1)[:-1]:
        raise ShapeError(
            f"cosine_embedding_loss: inputs {np.shape(input1)} and target {np.shape(target)} must"
            " be (n, d) and (n,), or (d,) and ()"
        )
    tiny = 1e-12  # keeps the quotient finite at 0
    squares = (np.sum(x * x, axis=-1) + tiny for x in (input1, input2))
    cosine = np.sum(input1 * input2, axis=-1) / np.sqrt(math.prod(squares))
    apart = np.where(target == -1, relu(cosine - margin), 0)
    return reduced(np.where(target == 1, 1 - cosine, apart), reduction)


def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    *,
    reduction: Reduction = "mean",
) -> Array:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin) with `pairwise_distance`.

    All three (n, d), or (d,). swap takes the negative's distance to the positive where it is less.

    Source: Balntas et al., "Learning local feature descriptors with triplets", BMVC 2016.
    """
    same_shape("triplet_margin_loss", anchor, positive)
    same_shape("triplet_margin_loss", anchor, negative)
    near, far = (pairwise_distance(anchor, x, p, eps) for x in (positive, negative))
    if swap:
        far = np.minimum(far, pairwise_distance(positive, negative, p, eps))
    return reduced(relu(near - far + margin), reduction)


def soft_margin_loss(input: Array, target: Array, *, reduction: Reduction = "mean") -> Array:
    """log(1 + exp(-y s)) for scores s and targets y of -1 or 1, of equal shapes."""
    same_shape("soft_margin_loss", input, target)
    return reduced(softplus(-target * input), reduction)


def hinge(scores: Array, targets: Array, *, reduction: Reduction = "mean") -> Array:
    """max(0, 1 - y s) for targets y of -1 or 1, of the shape of the scores."""
    same_shape("hinge", scores, targets)
    return reduced(relu(1 - targets * scores), reduction)


def binary_cross_entropy(
    input: Array, target: Array, weight: Array | None = None, *, reduction: Reduction = "mean"
) -> Array:
    """-(y log p + (1 - y) log(1 - p)) of probabilities p; inf where p contradicts y.

    `weight` multiplies the elements and broadcasts; the mean still divides by their number.
    """
    target = _targets("binary_cross_entropy", input, target)
    loss = -(xlogy(target, input) + xlogy(1 - target, 1 - input))
    return reduced(loss if weight is None else loss * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    *,
    reduction: Reduction = "mean",
    pos_weight: Array | None = None,
) -> Array:
    """`binary_cross_entropy(sigmoid(z), y)` as y softplus(-z) + (1 - y) softplus(z).

    Its gradient is (1 - y) sigmoid(z) - y sigmoid(-z), which keeps both tails, where the usual
    p - y rounds to 0. `weight` multiplies the elements, `pos_weight` their first term; both
    broadcast.
    """
    target = _targets("binary_cross_entropy_with_logits", input, target)
    positive = target if pos_weight is None else target * pos_weight
    loss = positive * softplus(-input) + (1 - target) * softplus(input)
    return reduced(loss if weight is None else loss * weight, reduction)


def _targets(name: str, input: Array, target: Array) -> Array:
    """Targets of the input's shape; integers and Booleans take its dtype, so f32 stays f32."""
    same_shape(name, input, target)
    return target if target.dtype.kind == "f" else target.astype(input.dtype)
