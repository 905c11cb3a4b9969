"""Elementwise work only: tanh, softplus, ELU and sigmoid of 10^6 elements, three gradients."""

from typing import Any

import numpy as np

from ..functions import numpy_nn
from ..training import Problem
from ..workload import Array, Params


def loss(nn: Any, p: Any, x: Any, y: Any) -> Any:
    s = nn.softplus(nn.tanh(p["a"] * x + p["b"]))
    return nn.mse_loss(nn.sigmoid(nn.elu(p["c"] * s)), y)


def backprop(p: Params, x: Array, y: Array) -> tuple[Any, Params]:
    h = np.tanh(p["a"] * x + p["b"])
    s = numpy_nn.softplus(h)
    u = p["c"] * s
    e = np.expm1(np.minimum(u, 0))
    o = numpy_nn.sigmoid(np.where(u > 0, u, e))
    r = o - y
    gu = r * np.float32(2 / x.size) * o * (1 - o) * np.where(u > 0, 1, e + 1)
    gz = gu * p["c"] * numpy_nn.sigmoid(h) * (1 - h * h)
    return np.mean(r * r), {"a": gz * x, "b": gz, "c": gu * s}


def problem(n: int = 10**6) -> Problem:
    """Three parameters of n elements each."""

    def normal(rng: np.random.Generator) -> Array:
        return rng.standard_normal(n).astype(np.float32)

    return Problem(
        name="elem",
        what=f"{n:,} elements: tanh, softplus, ELU, sigmoid, 3 gradients",
        params=lambda rng: {k: normal(rng) for k in "abc"},
        batch=lambda rng: (normal(rng), rng.random(n, dtype=np.float32)),
        loss=loss,
        backprop=backprop,
        learning_rate=n / 100,  # a mean over n elements has gradients of 1 / n
    )
