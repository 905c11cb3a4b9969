"""Activations, elementwise or along an axis."""

from __future__ import annotations

import numpy as np

from ...ir.errors import ShapeError
from ._shared import Array


def relu(x: Array) -> Array:
    """max(x, 0), NaN kept. Unlike `np.maximum(x, 0)` the derivative at 0 is 0, not one half."""
    # The second branch is 0, or NaN for NaN, and has no derivative.
    return np.where(x > 0, x, np.maximum(np.sign(x), 0))


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else negative_slope * x, which is also the derivative taken at 0."""
    return np.where(x > 0, x, negative_slope * x)


def elu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha * (exp(x) - 1)."""
    with np.errstate(over="ignore"):
        return np.where(x > 0, x, alpha * np.expm1(x))


def silu(x: Array) -> Array:
    """x * sigmoid(x), also known as swish."""
    return x * sigmoid(x)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return np.tanh(x)


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), exact in both tails."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def logsigmoid(x: Array) -> Array:
    """log(sigmoid(x)) without overflow: -softplus(-x)."""
    return -softplus(-x)


def softplus(x: Array, beta: float = 1.0) -> Array:
    """log(1 + exp(beta x)) / beta without overflow and without a linear threshold."""
    z = x if beta == 1 else beta * x
    y = np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
    return y if beta == 1 else y / beta


def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along `axis`, shifted by the maximum."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """log(softmax(x)) along `axis`: x - logsumexp(x), finite wherever x is."""
    return x - logsumexp(x, axis=axis, keepdims=True)


def logsumexp(x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over `axis` (all axes by default) without overflow; -inf if all are."""
    # NumPy's stubs want a literal keepdims.
    return np.logaddexp.reduce(x, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]


def maxout(x: Array, pieces: int, axis: int = -1) -> Array:
    """The maximum over groups of `pieces` neighbours along `axis`, whose length they divide."""
    axis %= x.ndim
    if x.shape[axis] % pieces:
        raise ShapeError(f"maxout: {pieces} pieces do not divide axis {axis} of shape {x.shape}")
    groups = x.shape[axis] // pieces
    grouped = np.reshape(x, (*x.shape[:axis], groups, pieces, *x.shape[axis + 1 :]))
    return np.max(grouped, axis=axis + 1)


def xlogy(x: Array, y: Array) -> Array:
    """x * log(y), with the value 0 where x is 0 and log(y) is not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        product = x * np.log(y)
    return np.where((x == 0) & ((y <= 0) | (y == np.inf)), 0, product)
