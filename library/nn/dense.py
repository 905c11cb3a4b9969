"""Layers that are one product with a weight, and the encoding of labels."""

from __future__ import annotations

import numpy as np

from ._shared import Array, is_label


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x @ weight.T + bias: x (..., n), weight (m, n), bias (m,), result (..., m)."""
    y = x @ weight.T
    return y if bias is None else y + bias


def one_hot(labels: Array, num_classes: int) -> Array:
    """i64 array of shape labels.shape + (num_classes,): 1 at the label, else 0."""
    return is_label(labels, num_classes, -1).astype(np.int64)
