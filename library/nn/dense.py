"""Layers that are one product with a weight."""

from __future__ import annotations

import numpy as np

from ...ir.errors import ShapeError
from ._shared import Array


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x @ weight.T + bias: x (..., n), weight (m, n), bias (m,), result (..., m)."""
    y = x @ weight.T
    return y if bias is None else y + bias


def bilinear(input1: Array, input2: Array, weight: Array, bias: Array | None = None) -> Array:
    """y[..., k] = sum over i, j of input1[..., i] weight[k, i, j] input2[..., j], plus bias[k].

    input1 (..., n), input2 (..., m), weight (o, n, m), bias (o,), result (..., o); ShapeError if
    the shapes do not fit.
    """
    lead, n, m = np.shape(input1)[:-1], np.shape(input1)[-1:], np.shape(input2)[-1:]
    if np.shape(input2)[:-1] != lead or np.ndim(weight) != 3 or weight.shape[1:] != n + m:
        raise ShapeError(
            f"bilinear: inputs {np.shape(input1)}, {np.shape(input2)} and weight"
            f" {np.shape(weight)} must be (..., n), (..., m) and (o, n, m)"
        )
    y = np.einsum("...i,kij,...j->...k", input1, weight, input2)
    return y if bias is None else y + bias
