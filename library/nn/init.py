"""Initial weights: functions of a key (see `tl.random`), a shape and a dtype.

    w = tl.nn.init.he_normal(key, (128, 64))                             # for tl.nn.linear(x, w)
    W = tl.nn.init.he_normal(key, (64, 128), in_axis=0, out_axis=1)      # for x @ W

fan_in and fan_out count how many numbers meet in an output, and where an input goes: the extents
of the input and the output axis, each times those of all others (the kernel of a convolution).
By default the axes are those of torch's weights, (out, in, ...): in_axis=1, out_axis=0. Weights
with fewer than two axes have no fans: ShapeError.

Sources: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
networks", AISTATS 2010 (glorot, also called xavier); He et al., "Delving Deep into Rectifiers",
ICCV 2015 (he, also called kaiming); LeCun et al., "Efficient BackProp", 1998 (lecun); Saxe,
McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
neural networks", ICLR 2014 (orthogonal).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from ...ir.errors import ShapeError
from .. import random
from ..random import Key
from ._shared import Array

Shape = Sequence[int]

__all__ = [
    "constant",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "normal",
    "ones",
    "orthogonal",
    "uniform",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]


def zeros(key: Key | None, shape: Shape, dtype: DTypeLike = np.float64) -> Array:
    """All 0; the key is not used."""
    return np.zeros(shape, dtype)


def ones(key: Key | None, shape: Shape, dtype: DTypeLike = np.float64) -> Array:
    """All 1; the key is not used."""
    return np.ones(shape, dtype)


def constant(
    key: Key | None, shape: Shape, dtype: DTypeLike = np.float64, *, value: float
) -> Array:
    """All `value`; the key is not used."""
    return np.full(shape, value, dtype)


def normal(
    key: Key, shape: Shape, dtype: DTypeLike = np.float64, *, mean: float = 0.0, std: float = 1.0
) -> Array:
    """Normal numbers."""
    return random.normal(key, shape, mean, std, dtype)


def uniform(
    key: Key, shape: Shape, dtype: DTypeLike = np.float64, *, a: float = 0.0, b: float = 1.0
) -> Array:
    """Numbers from [a, b)."""
    return random.uniform(key, shape, a, b, dtype)


def glorot_uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike = np.float64,
    *,
    gain: float = 1.0,
    in_axis: int = 1,
    out_axis: int = 0,
) -> Array:
    """Uniform within +-gain * sqrt(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(6 / sum(_fans(shape, in_axis, out_axis)))
    return random.uniform(key, shape, -bound, bound, dtype)


def glorot_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike = np.float64,
    *,
    gain: float = 1.0,
    in_axis: int = 1,
    out_axis: int = 0,
) -> Array:
    """Normal with standard deviation gain * sqrt(2 / (fan_in + fan_out))."""
    std = gain * math.sqrt(2 / sum(_fans(shape, in_axis, out_axis)))
    return random.normal(key, shape, 0.0, std, dtype)


def he_uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike = np.float64,
    *,
    negative_slope: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    in_axis: int = 1,
    out_axis: int = 0,
) -> Array:
    """Uniform with the standard deviation of `he_normal`: within +-sqrt(3) times it."""
    bound = math.sqrt(3) * _he(shape, negative_slope, mode, in_axis, out_axis)
    return random.uniform(key, shape, -bound, bound, dtype)


def he_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike = np.float64,
    *,
    negative_slope: float = 0.0,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    in_axis: int = 1,
    out_axis: int = 0,
) -> Array:
    """Normal with standard deviation sqrt(2 / (1 + negative_slope**2) / fan), for layers before a
    (leaky) ReLU; `mode` names the fan."""
    std = _he(shape, negative_slope, mode, in_axis, out_axis)
    return random.normal(key, shape, 0.0, std, dtype)


def lecun_uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike = np.float64,
    *,
    in_axis: int = 1,
    out_axis: int = 0,
) -> Array:
    """Uniform within +-sqrt(3 / fan_in)."""
    bound = math.sqrt(3 / _fans(shape, in_axis, out_axis)[0])
    return random.uniform(key, shape, -bound, bound, dtype)


def lecun_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike = np.float64,
    *,
    in_axis: int = 1,
    out_axis: int = 0,
) -> Array:
    """Normal with standard deviation sqrt(1 / fan_in), not truncated."""
    std = math.sqrt(1 / _fans(shape, in_axis, out_axis)[0])
    return random.normal(key, shape, 0.0, std, dtype)


def orthogonal(
    key: Key, shape: Shape, dtype: DTypeLike = np.float64, *, gain: float = 1.0
) -> Array:
    """gain times a matrix (shape[0], all others) with orthonormal rows, or columns if it has more
    rows than columns, uniform among these. Outside a trace only."""
    if len(shape) < 2:
        raise ShapeError(f"orthogonal weights need two axes, not shape {tuple(shape)}")
    rows, columns = shape[0], math.prod(shape[1:])
    # In f64: the rounding of the factorization would show in f32.
    tall = random.normal(key, (max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    # Without these signs the distribution depends on those that QR chooses.
    q = q * np.where(np.diagonal(r) < 0, -1.0, 1.0)
    return (gain * np.reshape(q if rows >= columns else q.T, shape)).astype(dtype)


xavier_uniform, xavier_normal = glorot_uniform, glorot_normal
kaiming_uniform, kaiming_normal = he_uniform, he_normal


def _he(shape: Shape, negative_slope: float, mode: str, in_axis: int, out_axis: int) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', not {mode!r}")
    fan = _fans(shape, in_axis, out_axis)[mode == "fan_out"]
    return math.sqrt(2 / (1 + negative_slope**2) / fan)


def _fans(shape: Shape, in_axis: int, out_axis: int) -> tuple[int, int]:
    """(fan_in, fan_out)."""
    if len(shape) < 2:
        raise ShapeError(
            f"weights of shape {tuple(shape)} have no fans: they need an input and an output axis"
        )
    ends = in_axis % len(shape), out_axis % len(shape)
    kernel = math.prod(n for k, n in enumerate(shape) if k not in ends)
    # An empty weight has nothing to draw, and no fan to divide by.
    return max(shape[in_axis] * kernel, 1), max(shape[out_axis] * kernel, 1)
