"""Gradients kept below a global norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...compiler import tree

Grads = Any
"""Arrays in nested containers (see `tl.tree`)."""


def global_norm(grads: Grads) -> Any:
    """The Euclidean norm of all leaves taken together, an f64 scalar.

    Squares are summed in f64, so f32 gradients neither overflow nor lose their small parts.
    """
    squares = [np.sum(np.square(g.astype(np.float64))) for g in tree.leaves(grads)]
    return np.sqrt(sum(squares[1:], squares[0])) if squares else 0.0


def clip_by_global_norm(grads: Grads, max_norm: Any) -> Grads:
    """`grads`, scaled down to a global norm of `max_norm` where it is above; new arrays of the
    same shapes and dtypes. NaN anywhere makes every gradient NaN, so it cannot go unnoticed.

    Source: Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural
    networks", ICML 2013, algorithm 1.
    """
    factor = max_norm / np.maximum(global_norm(grads), max_norm)
    return tree.map(lambda g: g * factor.astype(g.dtype), grads)
