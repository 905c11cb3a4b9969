"""Smooth activations, elementwise or along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np

from ...compiler.primitive import apply
from ...ir.errors import ShapeError
from ._shared import Array


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


def silu(x: Array) -> Array:
    """x * sigmoid(x), also known as swish; 0 at -inf."""
    return _gated(x, sigmoid)


def mish(x: Array) -> Array:
    """x * tanh(softplus(x)); 0 at -inf.

    Source: Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", BMVC 2020.
    """
    return _gated(x, lambda z: np.tanh(softplus(z)))


def gelu(x: Array, approximate: Literal["none", "tanh"] = "none") -> Array:
    """x * Phi(x) with the normal distribution Phi(x) = (1 + erf(x / sqrt 2)) / 2; 0 at -inf.

    "tanh" takes Phi(x) = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x**3))) / 2. ValueError for another
    word.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
    """
    if approximate == "none":
        return _gated(x, lambda z: 0.5 * (1 + apply("erf", z * math.sqrt(0.5))))
    if approximate != "tanh":
        raise ValueError(f"approximate must be 'none' or 'tanh', not {approximate!r}")
    slope = math.sqrt(2 / math.pi)
    return _gated(x, lambda z: 0.5 * (1 + np.tanh(slope * (z + 0.044715 * (z * z * z)))))


def _gated(x: Array, gate: Callable[[Array], Array]) -> Array:
    """x * gate(x) for a gate that rises from 0 to 1, with the limits 0 at -inf and inf at inf.

    Beyond +-800 every gate is 0 or 1 with derivative 0, in f64 too. The bounds keep 0 * inf out of
    values and derivatives.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(x == -np.inf, 0, x * gate(np.clip(x, -800, 800)))


def softsign(x: Array) -> Array:
    """x / (1 + |x|), with the limits -1 and 1 at -inf and inf."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isinf(x), np.sign(x), x / (1 + np.abs(x)))


def tanhshrink(x: Array) -> Array:
    """x - tanh(x)."""
    return x - np.tanh(x)


def glu(x: Array, axis: int = -1) -> Array:
    """a * sigmoid(b) for the halves a, b of x along `axis`, whose length must be even (ShapeError).

    Source: Dauphin et al., "Language Modeling with Gated Convolutional Networks", ICML 2017.
    """
    if x.ndim == 0 or x.shape[axis] % 2:
        raise ShapeError(f"glu: axis {axis} of shape {x.shape} has no two halves")
    a, b = np.split(x, 2, axis=axis)
    return a * sigmoid(b)


def softmax(x: Array, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along `axis`, shifted by the maximum."""
    e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


def softmin(x: Array, axis: int = -1) -> Array:
    """softmax(-x) along `axis`."""
    return softmax(-x, axis)


def log_softmax(x: Array, axis: int = -1) -> Array:
    """log(softmax(x)) along `axis`: x - logsumexp(x), finite wherever x is."""
    return x - logsumexp(x, axis=axis, keepdims=True)


def logsumexp(x: Array, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over `axis` (all axes by default) without overflow; -inf if all are."""
    # NumPy's stubs want a literal keepdims.
    return np.logaddexp.reduce(x, axis=axis, keepdims=keepdims)  # type: ignore[call-overload]


def xlogy(x: Array, y: Array) -> Array:
    """x * log(y), with the value 0 where x is 0 and log(y) is not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        product = x * np.log(y)
    return np.where((x == 0) & ((y <= 0) | (y == np.inf)), 0, product)
