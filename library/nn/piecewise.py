"""Activations made of pieces: straight lines, exponentials below 0, and what shrinks to 0."""

from __future__ import annotations

import numpy as np

from ...ir.errors import ShapeError
from ._shared import Array

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def relu(x: Array) -> Array:
    """max(x, 0), NaN kept. Unlike `np.maximum(x, 0)` the derivative at 0 is 0, not one half."""
    # The second branch is 0, or NaN for NaN, and has no derivative.
    return np.where(x > 0, x, np.maximum(np.sign(x), 0))


def relu6(x: Array) -> Array:
    """min(max(x, 0), 6), with derivative 0 at both bounds."""
    return hardtanh(x, 0, 6)


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else negative_slope * x, which is also the derivative taken at 0."""
    return np.where(x > 0, x, negative_slope * x)


def prelu(x: Array, weight: Array) -> Array:
    """x where x > 0, else weight * x: a leaky ReLU whose slope is trained.

    `weight` has shape () or (1,), one slope for all, or (channels,) for x of shape
    (n, channels, ...); ShapeError otherwise. The derivative at 0 is the slope.

    Source: He et al., "Delving Deep into Rectifiers", ICCV 2015.
    """
    slopes = np.shape(weight)
    if slopes not in ((), (1,)):
        if x.ndim < 2 or slopes != x.shape[1:2]:
            raise ShapeError(f"prelu: weight {slopes} does not fit axis 1 of shape {x.shape}")
        weight = np.reshape(weight, slopes + (1,) * (x.ndim - 2))
    elif slopes:
        weight = weight[0]
    return np.where(x > 0, x, weight * x)


def elu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    with np.errstate(over="ignore"):
        return np.where(x > 0, x, alpha * np.expm1(x))


def selu(x: Array) -> Array:
    """scale * elu(x, alpha), with the constants that keep mean 0 and variance 1.

    Source: Klambauer et al., "Self-Normalizing Neural Networks", NeurIPS 2017.
    """
    return SELU_SCALE * elu(x, SELU_ALPHA)


def celu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha * (exp(x / alpha) - 1): an ELU with slope 1 at 0 for any alpha.

    Source: Barron, "Continuously Differentiable Exponential Linear Units", 2017.
    """
    with np.errstate(over="ignore"):
        return np.where(x > 0, x, alpha * np.expm1(x / alpha))


def threshold(x: Array, threshold: float, value: float) -> Array:
    """x where x > threshold, else value, with derivative 0 there; NaN kept."""
    return np.where(x <= threshold, value, x)


def hardtanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """x between the bounds, the bound outside; derivative 0 at the bounds (`np.clip`: 0.5)."""
    return np.where(x <= min_val, min_val, np.where(x >= max_val, max_val, x))


def hardsigmoid(x: Array) -> Array:
    """x / 6 + 1 / 2 between 0 and 1, with derivative 0 at both bounds."""
    return np.where(x <= -3, 0, np.where(x >= 3, 1, x / 6 + 0.5))


def hardswish(x: Array) -> Array:
    """x * hardsigmoid(x), with derivative 0 at -3 and 1 at 3.

    Source: Howard et al., "Searching for MobileNetV3", ICCV 2019.
    """
    with np.errstate(over="ignore"):
        return np.where(x <= -3, 0, np.where(x >= 3, x, x * (x + 3) / 6))


def softshrink(x: Array, lambd: float = 0.5) -> Array:
    """x moved towards 0 by lambd, 0 with derivative 0 where |x| <= lambd; NaN kept."""
    # The last branch is 0, or NaN for NaN, and has no derivative.
    inner = np.where(x < -lambd, x + lambd, 0 * np.sign(x))
    return np.where(x > lambd, x - lambd, inner)


def hardshrink(x: Array, lambd: float = 0.5) -> Array:
    """x where |x| > lambd, else 0 with derivative 0; NaN kept."""
    return np.where(np.abs(x) <= lambd, 0, x)


def maxout(x: Array, pieces: int, axis: int = -1) -> Array:
    """The maximum over groups of `pieces` neighbours along `axis`, whose length they divide."""
    axis %= x.ndim
    if x.shape[axis] % pieces:
        raise ShapeError(f"maxout: {pieces} pieces do not divide axis {axis} of shape {x.shape}")
    groups = x.shape[axis] // pieces
    grouped = np.reshape(x, (*x.shape[:axis], groups, pieces, *x.shape[axis + 1 :]))
    return np.max(grouped, axis=axis + 1)
