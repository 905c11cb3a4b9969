"""Thirty-odd functions of two square matrices, for promises that must hold whatever a step does.

`NUMPY` are written in NumPy's own functions, so that other libraries with NumPy's names can run
them; `ALL` are those and functions of `tl.nn`, gradients, and what NumPy's methods do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tapeless as tl

Function = Callable[[Any, Any], Any]
N = 6
"""The matrices are N x N."""

WITH_NUMPY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "polynomial": lambda np, x, y: 3 * x**2 - x * y + 0.5,
    "exponential": lambda np, x, y: np.exp(x) * np.log1p(y * y),
    "hyperbolic": lambda np, x, y: np.tanh(x) / np.cosh(y),
    "circular": lambda np, x, y: np.sin(x) * np.cos(y) + np.arctan2(x, 2 + y * y),
    "roots": lambda np, x, y: np.sqrt(1 + x * x) - np.abs(y),
    "choice": lambda np, x, y: np.where(x > y, np.exp(x), y),
    "extrema": lambda np, x, y: np.maximum(x, y) - np.minimum(x, 0.3),
    "clip": lambda np, x, y: np.clip(x, -0.5, 0.5) * y,
    "sum": lambda np, x, y: np.sum(x * y),
    "sums": lambda np, x, y: np.sum(x, axis=0) + np.sum(y, axis=1),
    "mean": lambda np, x, y: np.mean(x, axis=1, keepdims=True) * y,
    "variance": lambda np, x, y: np.var(x, axis=0) + np.std(y),
    "maximum": lambda np, x, y: np.max(x, axis=1) - np.min(y),
    "product": lambda np, x, y: np.prod(x, axis=0) * y,
    "matmul": lambda np, x, y: x @ y,
    "transposed": lambda np, x, y: x.T @ y.T,
    "gram": lambda np, x, y: x.T @ x,
    "vector": lambda np, x, y: x @ y[0],
    "outer": lambda np, x, y: np.outer(x[0], y[:, 1]),
    "einsum": lambda np, x, y: np.einsum("ij,kj->ki", x, y),
    "running": lambda np, x, y: np.cumsum(x, axis=0) * y,
    "slices": lambda np, x, y: x[::-1, 1:] - y[:, :-1],
    "rows": lambda np, x, y: x[np.array([2, 0, 2])] * y[1],
    "concatenated": lambda np, x, y: np.concatenate([x, y[:2]]) ** 2,
    "rolled": lambda np, x, y: np.roll(x, 2, axis=1) + np.flip(y, axis=0),
    "padded": lambda np, x, y: np.pad(x, 1) * 2,
    "reshaped": lambda np, x, y: np.reshape(x * y, (-1,))[::5],
    "norm": lambda np, x, y: np.linalg.norm(x - y),
    "solved": lambda np, x, y: np.linalg.solve(x + 8 * np.eye(N, dtype=x.dtype), y),
    "trace": lambda np, x, y: np.trace(x @ y) + np.diagonal(y),
}


def _numpys(function: Callable[[Any, Any, Any], Any]) -> Function:
    return lambda x, y: function(np, x, y)


NUMPY: dict[str, Function] = {name: _numpys(f) for name, f in WITH_NUMPY.items()}

ALL: dict[str, Function] = NUMPY | {
    "softmax": lambda x, y: tl.nn.softmax(x) * tl.nn.sigmoid(y),
    "logsumexp": lambda x, y: tl.nn.logsumexp(x, axis=1) + tl.nn.softplus(y),
    "cross entropy": lambda x, y: tl.nn.cross_entropy(x, np.arange(N) % 3) + np.sum(y),
    "convolution": lambda x, y: tl.nn.conv2d(x[None, None], y[None, None, :3, :3]),
    "pooling": lambda x, y: tl.nn.max_pool2d((x * y)[None, None], 2),
    "gradient": lambda x, y: tl.grad(lambda x: np.sum(np.tanh(x @ y)))(x),
    "method": lambda x, y: x.sum(0) + y.mean(axis=1) + (x * y).max(),
    "sorted": lambda x, y: np.sort(x, axis=1) + y,
    "positions": lambda x, y: (np.argmax(x, axis=0), np.argsort(y[0]), x > 0),
}


def matrices(dtype: Any, seed: int = 0) -> tuple[Any, Any]:
    """Two matrices away from the kinks of the functions."""
    rng = np.random.default_rng(seed)
    x, y = (rng.uniform(0.1, 1.2, (N, N)) * rng.choice([-1, 1], (N, N)) for _ in "xy")
    return x.astype(dtype), y.astype(dtype)


def together(names: list[str]) -> Callable[[Any, Any], list[Any]]:
    """One step that computes several of them."""
    functions = [ALL[name] for name in names]
    return lambda x, y: [f(x, y) for f in functions]


GROUPS = [list(ALL)[k::4] for k in range(4)]
"""The names in a few groups, so that few programs are compiled."""
