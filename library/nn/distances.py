"""Lengths, angles and distances of vectors along an axis."""

from __future__ import annotations

import numpy as np

from ._shared import Array


def normalize(input: Array, p: float = 2.0, axis: int = 1, eps: float = 1e-12) -> Array:
    """input / max(|input|_p, eps) along `axis`, 1 by default as in torch.

    A vector shorter than eps is divided by eps, a constant: at 0 the derivative is 1 / eps.
    """
    norm = _norm(input, p, axis)
    return input / np.where(norm < eps, eps, norm)


def cosine_similarity(x1: Array, x2: Array, axis: int = 1, eps: float = 1e-8) -> Array:
    """The cosine of the angle between vectors along `axis`; lengths below eps count as eps.

    x1 and x2 broadcast; the result has their shape without `axis`.
    """
    x1, x2 = np.broadcast_arrays(x1, x2)
    return np.sum(normalize(x1, 2, axis, eps) * normalize(x2, 2, axis, eps), axis=axis)


def pairwise_distance(x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6) -> Array:
    """|x1 - x2 + eps|_p along the last axis: of (n, d) and (n, d), or (d,), shape (n,) or ().

    eps keeps the derivative finite where x1 equals x2.
    """
    return np.squeeze(_norm(x1 - x2 + eps, p, -1), -1)


def _norm(x: Array, p: float, axis: int) -> Array:
    """sum(|x|**p)**(1/p) along an axis that stays, with extent 1; the largest |x| for p = inf."""
    if p == 2:
        return np.sqrt(np.sum(x * x, axis=axis, keepdims=True))
    size = np.abs(x)
    if p == 1:
        return np.sum(size, axis=axis, keepdims=True)
    if p == np.inf:
        return np.max(size, axis=axis, keepdims=True)
    return np.sum(size**p, axis=axis, keepdims=True) ** (1 / p)
